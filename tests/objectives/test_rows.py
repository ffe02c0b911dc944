"""Rows before corruption: pieces of the token stream framed, and what is known of each token."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from acclimate.objectives.rows import NO_PLACE, Row, Rows, begin_stretches, count_places, ranges, read_row, read_rows
from acclimate.tokens.packing import Plan
from acclimate.tokens.store import WORD_START
from acclimate.tokens.tokenizers import Frame
from tests.objectives.tiny import CLS, SEP, UNK, memory_store, row, vocabulary

NEWLINE = 9


def test_pieces_by_hand() -> None:
    # Places: 10 11 12 [9] 13 14 [SEP]
    #          0  1  2  3   4  5   6     two lines of one group, a line break between them, a joint behind.
    store = memory_store([[10, 11, UNK], [13, 14]], flags=[[1, 0, 1], [1, 0]], groups="aa", newline=NEWLINE)
    assert store.ids.tolist() == [10, 11, UNK, NEWLINE, 13, 14, SEP]
    read = read_row(store, np.array([[0, 5], [5, 6]]), vocabulary())
    assert read.input_ids.tolist() == [CLS, 10, 11, UNK, NEWLINE, 13, SEP, CLS, 14, SEP]
    # Neither frame, nor unknown token, nor the line break that joins the lines.
    assert read.candidates.tolist() == [False, True, True, False, False, True, False, False, True, False]
    # Place 5 goes on with a word; as the first token of a piece it begins one.
    assert read.word_starts.tolist() == [False, True, False, True, True, True, False, False, True, False]
    assert read.segment_ids.tolist() == [0] * 7 + [1] * 3
    assert read.position_ids.tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2]
    assert read.places.tolist() == [NO_PLACE, 0, 1, 2, 3, 4, NO_PLACE, NO_PLACE, 5, NO_PLACE]
    assert len(read) == 10
    assert read.num_pieces == 2


def test_another_frame() -> None:
    store = memory_store([[10, 11]])
    read = read_row(store, np.array([[0, 2]]), vocabulary(), Frame((), (SEP, SEP)))
    assert read.input_ids.tolist() == [10, 11, SEP, SEP]
    assert read.places.tolist() == [0, 1, NO_PLACE, NO_PLACE]
    assert read.word_starts.tolist() == [True, True, False, False]


def test_a_piece_of_nothing_is_a_frame() -> None:
    read = read_row(memory_store([[10]]), np.array([[0, 0]]), vocabulary())
    assert read.input_ids.tolist() == [CLS, SEP]
    assert not read.candidates.any() and not read.word_starts.any()


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_a_piece_by_itself_is_what_is_read_by_itself(lengths: list[int]) -> None:
    store = memory_store([list(range(10, 10 + sum(lengths)))], flags=[([WORD_START, 0] * sum(lengths))[: sum(lengths)]])
    ends = np.cumsum(lengths)
    pieces = np.stack([ends - lengths, ends], axis=1)
    whole = read_row(store, pieces, vocabulary())
    assert whole.num_pieces == len(lengths)
    for number in range(len(lengths)):
        mine, alone = whole.piece(number), read_row(store, pieces[number : number + 1], vocabulary())
        for name in Row.__dataclass_fields__:
            assert np.array_equal(getattr(mine, name), getattr(alone, name)), name


def test_rows_end_to_end_by_hand() -> None:
    # Three texts in two rows, the second row first.
    store = memory_store([[10, 11, 12], [13], [14, 15]])
    plan = Plan(np.array([0, 1, 3]), np.array([[0, 3], [4, 5], [6, 8]]), row_length=8, frame_length=2)
    rows = read_rows(store, plan, [1, 0, 1], vocabulary())
    assert len(rows) == 3 and rows.lengths.tolist() == [7, 5, 7]
    assert rows.tokens.input_ids.tolist() == [CLS, 13, SEP, CLS, 14, 15, SEP, CLS, 10, 11, 12, SEP] + [
        *[CLS, 13, SEP, CLS, 14, 15, SEP]
    ]
    assert rows.tokens.segment_ids.tolist() == [0] * 3 + [1] * 4 + [0] * 5 + [0] * 3 + [1] * 4
    assert rows.row_ids.tolist() == [0] * 7 + [1] * 5 + [2] * 7
    assert rows.num_pieces.tolist() == [2, 1, 2]
    assert rows.piece_ids.tolist() == [0] * 3 + [1] * 4 + [2] * 5 + [3] * 3 + [4] * 4
    assert [part["x"].tolist() for part in rows.split({"x": rows.row_ids})] == [[0] * 7, [1] * 5, [2] * 7]
    for number, one in zip([1, 0, 1], rows, strict=True):
        alone = read_row(store, plan.row(number), vocabulary())
        for name in Row.__dataclass_fields__:
            assert np.array_equal(getattr(one, name), getattr(alone, name)), name
    again = Rows.of(list(rows))
    assert np.array_equal(again.tokens.places, rows.tokens.places) and np.array_equal(again.lengths, rows.lengths)


def test_ranges_and_stretches_by_hand() -> None:
    assert ranges(np.array([5, 0, 7]), np.array([2, 0, 3])).tolist() == [5, 6, 7, 8, 9]
    assert ranges(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)).tolist() == []
    assert begin_stretches(np.array([0, 1, 2, 5, 7, 8])).tolist() == [True, False, False, True, True, False]
    assert begin_stretches(np.empty(0, dtype=np.int64)).tolist() == []


def test_counting_places() -> None:
    places = [np.array([NO_PLACE, 0, 2, 2]), np.array([2, 3, NO_PLACE])]
    assert count_places(places, 5).tolist() == [1, 0, 3, 1, 0]
    assert count_places([], 2).tolist() == [0, 0]


def test_rows_of_the_tests_are_as_rows_that_are_read() -> None:
    # `tiny.row` stands in for `read_row` in the other tests.
    store = memory_store([[10, 11, UNK], [13]], joint=None)
    read, made = read_row(store, np.array([[0, 3], [3, 4]]), vocabulary()), row([10, 11, UNK], [13])
    for name in Row.__dataclass_fields__:
        assert np.array_equal(getattr(read, name), getattr(made, name)), name
