"""The loss by source, length and document."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from acclimate.evaluation.breakdown import UnitFacts, break_down
from acclimate.scoring.score import UnitScores
from tests.scoring.test_bootstrap import scores


def numbered(losses: list[float], counts: list[float], units: list[int]) -> UnitScores:
    return replace(scores(losses, counts), units=np.array(units))


def test_groups_by_hand() -> None:
    # Six documents of source a and one of b; of unit 3 nothing was scored.
    facts = [UnitFacts(f"{number}.md", "b" if number == 7 else "a", 100 * (number + 1)) for number in range(8)]
    units = [0, 1, 2, 4, 5, 6, 7]
    counts = [20.0, 20, 20, 20, 20, 20, 5]
    before = numbered([40, 40, 40, 40, 40, 40, 10], counts, units)
    after = numbered([20, 30, 40, 50, 40, 40, 15], counts, units)
    found = break_down(before, after, facts, 200)
    a, b = found.source
    assert (a.name, a.num_units, a.num_targets, a.before, a.after) == ("a", 6, 120, 2.0, pytest.approx(220 / 120))
    assert a.difference is not None and a.difference.mean == pytest.approx(-20 / 120)
    assert (b.name, b.before, b.after, b.difference) == ("b", 2.0, 3.0, None)  # too few to draw from
    # 100 tokens; 200, 300, 500; 600, 700, 800.
    assert [(group.name, group.num_units) for group in found.length] == [
        ("1–128 tokens", 1),
        ("129–512 tokens", 3),
        ("513–2048 tokens", 3),
    ]
    # The largest gain first, the largest loss last; the one of five targets and those without a change are in neither.
    assert [(group.name, group.after - group.before) for group in found.document] == [
        ("0.md", -1.0),
        ("1.md", -0.5),
        ("4.md", 0.5),
    ]


def test_one_source_is_the_whole_and_not_told_again() -> None:
    facts = [UnitFacts(f"{number}.md", "a", 10) for number in range(3)]
    found = break_down(scores([1, 2, 3], [10, 10, 10]), scores([1, 1, 4], [10, 10, 10]), facts, 100)
    assert found.source == found.length == ()
    assert len(found.document) == 2
