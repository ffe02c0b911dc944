"""Outcomes: from one figure and its interval."""

from __future__ import annotations

import math
from typing import Any

import pytest

from acclimate.evaluation.curve import Curve, RunRecord
from acclimate.evaluation.judgement import Judgement, judge_text
from acclimate.evaluation.wording import judgement_text
from tests.evaluation.cases import evaluation, manifest, part, text


def judged(name: str = "domain", run: dict[str, Any] | None = None, **changes: Any) -> Judgement:
    found = judge_text(name, evaluation(**changes), RunRecord(run or manifest(), Curve()))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (-0.6, -0.4, "helped"),
        (-0.6, -1e-9, "helped"),
        (-0.6, 0.0, "no_difference"),  # a bound of 0 holds it
        (-0.6, 0.2, "no_difference"),
        (0.0, 0.6, "no_difference"),
        (1e-9, 0.6, "harmed"),
        (0.4, 0.6, "harmed"),
    ],
)
@pytest.mark.parametrize("name", ["domain", "general"])
def test_the_interval_decides(name: str, low: float, high: float, outcome: str) -> None:
    found = judged(name, **{name: text(part(2.0, (low + high) / 2, low, high))})
    assert found.outcome == outcome
    assert found.reasons == ()


def test_figures() -> None:
    found = judged(domain=text(part(2.5, -0.5, -0.6, -0.4)))
    assert (found.measure, found.before, found.after) == ("loss", 2.5, 2.0)
    assert found.difference == {"mean": -0.5, "low": -0.6, "high": -0.4}
    assert found.relative == pytest.approx(-0.2)


WITH_BITS = {
    **part(2.5, -0.5, -0.6, -0.4),
    "before": {"loss": 2.5, "bits_per_byte": 1.0},
    "after": {"loss": 2.0, "bits_per_byte": 1.1},
    "bits_per_byte_difference": {"mean": 0.1, "low": 0.05, "high": 0.2},
}


def test_models_that_write_are_judged_by_bits_per_byte() -> None:
    found = judged(objective="clm", domain=text(WITH_BITS))
    assert (found.measure, found.outcome, found.before) == ("bits_per_byte", "harmed", 1.0)


def test_masked_models_are_judged_by_the_loss_unless_tokenizers_differ() -> None:
    assert judged(objective="mlm", domain=text(WITH_BITS)).outcome == "helped"
    found = judged(objective="mlm", domain=text({**WITH_BITS, "difference": None}))
    assert (found.measure, found.outcome) == ("bits_per_byte", "harmed")


def test_the_first_part_is_judged_but_for_rtd() -> None:
    first, second = part(2.0, -0.5, -0.6, -0.4), part(0.3, 0.1, 0.05, 0.2)
    assert judged(objective="mlm_nsp", domain=text(first, second)).outcome == "helped"
    rtd = {**text(first, second), "parts": {"generator": first, "discriminator": second}}
    assert judged(objective="rtd", domain=rtd).outcome == "harmed"


@pytest.mark.parametrize(
    ("model", "reasons"),
    [
        ({"from_scratch": True, "new_parameters": ["head"]}, ("from_scratch",)),
        ({"new_parameters": ["head"]}, ("head_not_warmed_up",)),
        ({"new_parameters": ["head"], "head_warmup": {"leveled_off": False, "steps": 9}}, ("head_still_warming",)),
        (
            {"new_parameters": ["head"], "head_warmup": {"leveled_off": True, "steps": 9}, "unseen_tokens": 3},
            ("tokens_added",),
        ),
    ],
)
def test_no_claim_and_why(model: dict[str, Any], reasons: tuple[str, ...]) -> None:
    for name in ("domain", "general"):
        found = judged(name, manifest(model=model), claim=False)
        assert (found.outcome, found.reasons) == ("no_claim", reasons)
        assert found.difference is not None
    # The evaluation says whether a claim is made, nobody else.
    assert judged(run=manifest(model=model), claim=True).outcome == "helped"


def test_a_reason_that_is_not_known_stands_in_the_evaluations_words() -> None:
    notes = ["general: nothing is held out of it", "the base cannot be reached"]
    assert judged(claim=False, notes=notes).reasons == ("the base cannot be reached",)
    assert judged(claim=False).reasons == ("not_comparable",)


def test_rows_carry_no_claim() -> None:
    found = judged(domain=text(part(2.5, -0.5, -0.6, -0.4), unit="row"))
    assert (found.outcome, found.reasons) == ("no_claim", ("interval_over_rows",))


def test_text_that_was_trained_on_carries_no_claim() -> None:
    found = judged(domain={**text(part(2.5, -0.5, -0.6, -0.4)), "trained_on": 0.5})
    assert (found.outcome, found.reasons) == ("no_claim", ("trained_on",))


def test_what_is_no_number_carries_no_claim() -> None:
    found = judged(domain=text(part(2.5, math.nan, math.nan, math.nan)))
    assert (found.outcome, found.reasons) == ("no_claim", ("not_a_number",))
    # As it stands in evaluation.json.
    unknown = {"before": {"loss": 2.5}, "after": {"loss": None}, "difference": dict.fromkeys(("mean", "low", "high"))}
    assert judged(domain=text(unknown)) == found
    assert judgement_text(found.to_json(), "domain") == "No claim on held-out documents: a loss is no number."


def test_nothing_held_out() -> None:
    note = "domain: nothing is held out of c, since it has too few documents; there is no honest figure for it"
    for notes in ([note], []):
        found = judged(domain=None, claim=False, notes=notes)
        assert (found.outcome, found.reasons, found.before) == ("no_claim", ("nothing_held_out",), None)
    found = judged(domain=None, notes=["domain: what is held out of c cannot be scored: one document only"])
    assert found.reasons == ("domain: what is held out of c cannot be scored: one document only",)


def test_general_text_that_was_not_given_has_no_judgement() -> None:
    record = RunRecord(manifest(), Curve())
    assert judge_text("general", evaluation(general=None), record) is None
    found = judge_text("general", evaluation(general=None, notes=["general: nothing is held out of g"]), record)
    assert found is not None and found.reasons == ("nothing_held_out",)
