"""Cuts by hand; `test_packing.py` has what they add up to."""

from __future__ import annotations

import numpy as np

from acclimate.tokens.cutting import Budget, Cutter
from acclimate.tokens.encoding import BREAK, JOINT, WORD_START


def flags(pattern: str) -> np.ndarray:
    """A row may break before `w`, not before `.`, nor before `j`, a joint."""
    return np.array([{"w": BREAK, ".": 0, "j": JOINT}[letter] for letter in pattern], np.uint8)


def free() -> Budget:
    return Budget(rate=1000.0, slack=0.0)


def none() -> Budget:
    return Budget(rate=0.0, slack=0.0)


def test_a_budget_grows_with_the_rows() -> None:
    budget = Budget(rate=1.0, slack=2.0)
    assert budget.allows(3) and not budget.allows(4)  # 2 at once and 1 for this row
    budget.close(3)
    assert budget.allows(1) and not budget.allows(2)
    budget.close(0)
    assert budget.allows(2)  # what a row did not spend is there for the next
    assert (budget.rows, budget.spent) == (2, 3)


def test_a_cut_goes_back_to_where_a_row_may_break() -> None:
    cutter = Cutter(flags("w..w.jw..."), row_length=130, frame_length=2)
    assert cutter.cut_before(9, 0) == 6
    assert cutter.cut_before(6, 0) == 6
    assert cutter.cut_before(5, 0) == 3, "no part starts with a joint"
    assert cutter.cut_before(5, 4) == 5, "none from 4 on: cut where it was"


def test_it_looks_back_no_further_than_the_window() -> None:
    cutter = Cutter(flags("w" + "." * 99), row_length=130, frame_length=2)
    assert cutter.window == 32
    assert (cutter.cut_before(32, 0), cutter.cut_before(33, 0)) == (0, 33)


def test_a_long_stretch_fills_rows_and_leaves_a_rest() -> None:
    # Rows of 10 hold 8; words of 3 start at 0, 3, 6, … The window is 2, parts have 2 tokens at least.
    cutter = Cutter(flags("w.." * 7), row_length=10, frame_length=2)
    full, left = cutter.cut_long([(0, 21)], free())
    # 8 → back to 6; 14 → 12; then 9 are left: with a row of 8 one token would remain, so that 2 are left: 19 → 18.
    assert full.tolist() == [[0, 6], [6, 12]]
    assert left.tolist() == [[12, 18], [18, 21]]


def test_without_a_budget_rows_are_full() -> None:
    cutter = Cutter(flags("w.." * 7), row_length=10, frame_length=2)
    full, left = cutter.cut_long([(0, 21)], none())
    assert full.tolist() == [[0, 8], [8, 16]]
    assert left.tolist() == [[16, 21]]


def test_items_are_laid_down_one_after_the_other() -> None:
    # Rows of 64 without frames hold 64; parts have 8 tokens at least. 40 fits; of the next 40, 24 fill the row.
    cutter = Cutter(flags("w" * 120), row_length=64, frame_length=0)
    assert cutter.min_part == 8
    rows = cutter.lay_down([(0, 40), (40, 80), (80, 120)], none())
    assert rows == [[(0, 40), (40, 64)], [(64, 80), (80, 120)]] or rows[0] == [(0, 40), (40, 64)]
    assert [sum(end - start for start, end in row) for row in rows] == [64, 56]


def test_a_room_too_small_for_a_part_is_made_larger() -> None:
    # Rows of 128, frames of 2, items of 60: two cost 124 and leave 4, of which 2 tokens would be a part. The second
    # item gives up 8, so that 12 are left, enough for a part of 10 of the third.
    cutter = Cutter(flags("w" * 240), row_length=128, frame_length=2)
    rows = cutter.lay_down([(0, 60), (60, 120), (120, 180), (180, 240)], none())
    assert rows[0] == [(0, 60), (60, 112), (120, 130)]
    # What was cut off comes first in the next row: 8 + 2 and 50 + 2 leave 66, in which the last item leaves 4 again;
    # there is nothing more to put there.
    assert rows[1] == [(112, 120), (130, 180), (180, 240)]


def test_a_room_within_the_budget_is_left() -> None:
    cutter = Cutter(flags("w" * 180), row_length=128, frame_length=2)
    assert cutter.lay_down([(0, 60), (60, 120), (120, 180)], free())[0] == [(0, 60), (60, 120)]


def test_words_may_be_asked_for_instead() -> None:
    told = np.array([WORD_START, BREAK, BREAK, WORD_START, WORD_START | JOINT, BREAK], np.uint8)
    assert Cutter(told, row_length=130, frame_length=2).cut_before(5, 0) == 5
    assert Cutter(told, row_length=130, frame_length=2, breaks=WORD_START).cut_before(5, 0) == 3
