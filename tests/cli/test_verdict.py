"""The verdict on the terminal: it stands before the table."""

from __future__ import annotations

import pytest

from acclimate.cli.evaluate import print_evaluation
from acclimate.evaluation.asked import Blank, Probe
from acclimate.evaluation.curve import Curve, RunRecord
from acclimate.evaluation.results import Evaluation, PartComparison, TextComparison
from acclimate.evaluation.verdict import judge
from acclimate.scoring.bootstrap import Difference
from tests.evaluation.cases import evaluation, manifest


def test_a_probe_that_was_not_asked_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    probe = Probe("the \x1b[31m[MASK]", "p.txt:1", (Blank((), ()),), note="a text of 9 tokens is longer than the model")
    print_evaluation(Evaluation("runs/docs", "mlm", "the base", None, None, True, probes=(probe,)))
    told = capsys.readouterr().out
    # What a terminal would take for a command is shown as a sign.
    assert "not asked: a text of 9 tokens" in told and "the ·[31m[MASK]" in told and "\x1b" not in told


def test_the_verdict_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    part = PartComparison({"loss": 2.5}, {"loss": 2.0}, Difference(-0.5, -0.6, -0.4), None, 1000)
    result = Evaluation(
        run="runs/docs",
        objective="mlm",
        before="the base",
        domain=TextComparison({"mlm": part}, 9000, 50, "document"),
        general=None,
        claim=True,
        verdict=judge(evaluation(general=None), RunRecord(manifest(), Curve())),
    )
    print_evaluation(result)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Helped: on held-out documents the loss fell from 2.50 to 2.00 nats per masked token")
    assert lines[1] == "What to try next:"
    assert lines[2].startswith("- Nobody knows what was forgotten")
    assert any("Before and after" in line for line in lines[3:])
