"""The verdict as a whole: plain data in, plain data out."""

from __future__ import annotations

import json

from acclimate.evaluation.curve import RunRecord
from acclimate.evaluation.verdict import judge
from tests.evaluation.cases import FLAT, curve, evaluation, manifest, part, text


def test_a_verdict_is_plain_data() -> None:
    found = judge(
        evaluation(general=text(part(2.0, 0.2, 0.1, 0.3))), RunRecord(manifest(), curve(FLAT, passes=2.0))
    ).to_json()
    assert json.loads(json.dumps(found)) == found
    assert sorted(found) == ["advice", "domain", "general", "objective"]
    assert sorted(found["domain"]) == ["after", "before", "difference", "measure", "outcome", "reasons", "relative"]
    assert (found["domain"]["outcome"], found["general"]["outcome"]) == ("helped", "harmed")
    assert [one["condition"] for one in found["advice"]] == ["general_forgotten"]


def test_nothing_to_judge() -> None:
    found = judge(evaluation(domain=None, general=None, claim=False), RunRecord({}, curve([]))).to_json()
    assert found["general"] is None
    assert found["domain"]["outcome"] == "no_claim"
    assert [one["condition"] for one in found["advice"]] == ["few_held_out", "no_general_text"]
