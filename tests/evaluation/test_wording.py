"""Words: every condition, outcome and reason in both languages, with its figures."""

from __future__ import annotations

import ast
import inspect
import re
import string
from typing import Any

import pytest

from acclimate.evaluation import judgement as judging
from acclimate.evaluation.advice import CONDITIONS, advise
from acclimate.evaluation.curve import Curve, RunRecord
from acclimate.evaluation.judgement import judge_text
from acclimate.evaluation.verdict import judge
from acclimate.evaluation.wording import (
    ADVICE,
    LANGUAGES,
    OUTCOMES,
    REASONS,
    Lang,
    advice_text,
    judgement_text,
    verdict_text,
    whole_text,
)
from tests.evaluation.cases import evaluation, manifest, part, text
from tests.evaluation.test_advice import SHOWN

CHINESE = re.compile("[\u4e00-\u9fff]")


def judgement(mean: float, low: float, high: float, before: float = 2.41, **changes: Any) -> dict[str, Any]:
    found = judge_text("domain", evaluation(domain=text(part(before, mean, low, high))), RunRecord(manifest(), Curve()))
    assert found is not None
    return {**found.to_json(), **changes}


def test_a_gain_in_words() -> None:
    gain = judgement(-0.54, -0.60, -0.48)
    assert judgement_text(gain, "domain", "en", "mlm") == (
        "Helped: on held-out documents the loss fell from 2.41 to 1.87 nats per masked token (-0.54; 95 % interval "
        "-0.60 to -0.48)."
    )
    assert judgement_text(gain, "domain", "zh", "mlm") == (
        "有帮助：在留出的文档上，每个掩码 token 的损失从 2.41 降到 1.87 nats（-0.54；95% 区间 -0.60 到 -0.48）。"
    )


def test_forgetting_and_no_difference_in_words() -> None:
    assert judgement_text(judgement(0.2, 0.1, 0.3), "general", "en", "clm") == (
        "Forgotten: on general text the loss rose from 2.41 to 2.61 nats per target token (+0.20; 95 % interval "
        "+0.10 to +0.30)."
    )
    small = judgement(0.012, -0.02, 0.04, before=1.0, measure="bits_per_byte")
    # Small differences have a digit more.
    assert judgement_text(small, "domain", "en") == (
        "Did not help: on held-out documents bits per byte rose from 1.000 to 1.012 (+0.012; the 95 % interval "
        "-0.020 to +0.040 includes 0)."
    )
    assert "stayed at 1.000" in judgement_text(judgement(0.0001, -1, 1, before=1.0), "domain")


def test_no_claim_in_words() -> None:
    refused = judgement(-0.54, -0.6, -0.48, outcome="no_claim", reasons=["tokens_added", "the base is gone."])
    assert judgement_text(refused, "domain", "en", "rtd") == (
        "No claim: tokens were added to the vocabulary, which the model before had never seen; the base is gone. (In "
        "figures: on held-out documents the loss fell from 2.41 to 1.87 nats per judged token; -0.54; 95 % interval "
        "-0.60 to -0.48.)"
    )
    nothing = {"outcome": "no_claim", "measure": "loss", "difference": None, "reasons": ["nothing_held_out"]}
    assert judgement_text(nothing, "domain").startswith("No claim on held-out documents: nothing was held out")


def test_every_condition_has_both_languages() -> None:
    assert ADVICE.keys() == CONDITIONS.keys()
    for words in [*ADVICE.values(), *REASONS.values()]:
        assert set(words) == set(LANGUAGES)
        assert CHINESE.search("".join(words["zh"])) and not CHINESE.search("".join(words["en"]))
    for outcomes in OUTCOMES.values():
        assert set(outcomes) == set(LANGUAGES)
        assert all(set(words) == {"helped", "harmed", "no_difference", "no_claim"} for words in outcomes.values())


def test_both_languages_tell_the_same_figures() -> None:
    def figures(segments: tuple[str, ...]) -> set[str]:
        texts = [segment.partition("|")[2] or segment for segment in segments]
        return {name for text_ in texts for _, name, _, _ in string.Formatter().parse(text_) if name}

    for name, words in ADVICE.items():
        assert figures(words["en"]) == figures(words["zh"]), name


def test_every_reason_that_is_given_has_words() -> None:
    """The names in `judgement.py`, read from its source."""
    literals = {
        node.value for node in ast.walk(ast.parse(inspect.getsource(judging))) if isinstance(node, ast.Constant)
    }
    assert {name for name in REASONS if name in literals} == set(REASONS)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_advice_that_is_given_can_be_said(lang: Lang) -> None:
    for name, case in SHOWN:
        (found,) = (one for one in advise(case) if one.condition == name)
        words = advice_text(found.to_json(), lang)
        assert words.endswith(".。"[LANGUAGES.index(lang)]) and "{" not in words and "|" not in words


def test_advice_has_its_figures() -> None:
    def said(condition: str, **figures: float) -> str:
        return advice_text({"condition": condition, "figures": figures})

    assert said("general_forgotten", relative=0.12, learning_rate=3e-4) == (
        "General loss rose by 12%: mix in general text (`replay: 0.1`), lower `training.learning_rate` (its peak was "
        "0.0003), or train an adapter only (`adapter: lora`)."
    )
    assert said("general_forgotten", relative=0.12, replay=0.05, adapter=1.0) == (
        "General loss rose by 12%: mix in more general text than `replay: 0.05`, lower `training.learning_rate`."
    )
    assert said("terms_in_pieces", pieces=4.1, general_pieces=1.3) == (
        "Your terms break into 4.1 pieces a word (words of general text into 1.3): extend the vocabulary."
    )
    assert (
        said("diverged", finite=0.0)
        == "A loss became no number: lower `training.learning_rate`, or warm up for longer."
    )
    assert said("diverged", finite=1.0, lowest=2.0, last=4.0, learning_rate=0.1).startswith(
        "Training diverged: its loss was down to 2.00 and ended at 4.00: lower"
    )


def test_the_whole_verdict() -> None:
    verdict = judge(evaluation(general=None), RunRecord(manifest(), Curve())).to_json()
    assert verdict_text(verdict).splitlines() == [judgement_text(verdict["domain"], "domain", "en", "mlm")]
    assert whole_text(verdict, "zh").splitlines()[1:] == [
        "下一步可以试试：",
        f"- {advice_text({'condition': 'no_general_text'}, 'zh')}",
    ]
    assert verdict_text({"domain": None, "general": None, "advice": []}) == "There is no verdict."
