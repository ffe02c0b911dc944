"""What `acclimate evaluate` prints of probes."""

from __future__ import annotations

import pytest

from acclimate.cli.evaluate import print_evaluation
from acclimate.evaluation.asked import Blank, Guess, Probe
from acclimate.evaluation.results import Evaluation


def test_probes_tell_where_the_expected_answer_stands(capsys: pytest.CaptureFixture[str]) -> None:
    guesses = tuple(Guess(text, 0.1) for text in ("the", "of", "a", "key"))
    asked = Blank(guesses, guesses[::-1], "key", 1234, 1)
    open_question = Blank(guesses, guesses)
    result = Evaluation(
        run="runs/docs",
        objective="mlm",
        before="the base",
        domain=None,
        general=None,
        claim=False,
        probes=(
            Probe("a [MASK] b", "probes.txt:1", (asked,), ("key",)),
            Probe("c [MASK] d", "probes.txt:2", (open_question,)),
        ),
    )
    print_evaluation(result)
    told = capsys.readouterr().out
    assert "expected key: place 1,234 → 1" in told
    assert told.count("expected") == 1
    # The three best guesses before and after.
    assert "the, of, a" in told and "key, a, of" in told and "the, of, a, key" not in told
