"""Packing: small plans by hand, then what every plan keeps: nothing lost, nothing too long, little padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acclimate.tokens import Plan, pack
from acclimate.tokens.encoding import BREAK


def spans_of(lengths: Any, gap: int = 1) -> np.ndarray:
    """Spans of these lengths, a joint between them."""
    ends = np.cumsum(np.asarray(lengths, np.int64) + gap) - gap
    return np.stack([ends - lengths, ends], axis=1)


def flags_for(spans: np.ndarray, word_length: int = 2) -> np.ndarray:
    """A row may break at each span's start and every `word_length` tokens."""
    flags = np.zeros(int(spans[-1, 1]) + 1 if len(spans) else 0, np.uint8)
    for start, end in spans:
        flags[start:end:word_length] = BREAK
    return flags


def plan_of(lengths: Any, row_length: int, frame_length: int = 2, word_length: int = 2, **options: Any) -> Plan:
    spans = spans_of(lengths)
    return pack(spans, flags_for(spans, word_length), row_length=row_length, frame_length=frame_length, **options)


def check(plan: Plan, spans: np.ndarray) -> None:
    """What every plan keeps."""
    costs = plan.pieces[:, 1] - plan.pieces[:, 0] + plan.frame_length
    assert (plan.pieces[:, 1] > plan.pieces[:, 0]).all(), "no empty piece"
    assert plan.rows[0] == 0 and plan.rows[-1] == len(plan.pieces)
    assert (np.diff(plan.rows) >= 1).all(), "no empty row"
    for index in range(len(plan)):
        assert costs[plan.rows[index] : plan.rows[index + 1]].sum() <= plan.row_length
        assert (np.diff(plan.row(index)[:, 0]) > 0).all(), "pieces stand in the order of the stream"
    assert (np.diff(plan.pieces[plan.rows[:-1], 0]) > 0).all(), "and rows by their first piece"
    # The pieces, in order, run through each span from its start to its end.
    pieces = plan.pieces[np.argsort(plan.pieces[:, 0])].tolist()
    for start, end in spans.tolist():
        while start < end:
            first, start_of_next = pieces.pop(0)
            assert first == start
            start = start_of_next
        assert start == end
    assert pieces == []


def test_spans_that_fit_are_put_together_largest_first() -> None:
    # Rows of 10, frames of 2. Costs 9, 4, 6, 5, 5 → rows 9 | 6 + 4 | 5 + 5.
    plan = plan_of([7, 2, 4, 3, 3], 10)
    #         spans: 0-7, 8-10, 11-15, 16-19, 20-23
    assert [plan.row(index).tolist() for index in range(len(plan))] == [
        [[0, 7]],
        [[8, 10], [11, 15]],
        [[16, 19], [20, 23]],
    ]
    assert plan.num_tokens == 19
    assert plan.padding_share() == pytest.approx(1 / 30)


def test_a_long_span_is_cut_between_words() -> None:
    # Rows of 34 hold 32; words of 5 start at 0, 5, …, 30, …: 32 → 30. Then 60 - 30 = 30 fit.
    plan = plan_of([60], 34, word_length=5)
    assert plan.pieces.tolist() == [[0, 30], [30, 60]]


def test_unpacked_rows_hold_one_piece() -> None:
    plan = plan_of([3, 2, 9, 0, 1], 10, packed=False)
    #      spans: 0-3, 4-6, 7-16, (17-17), 18-19; rows hold 8 tokens and have parts of 2 at least: 7 + 2
    assert np.diff(plan.rows).tolist() == [1] * len(plan)
    assert plan.pieces.tolist() == [[0, 3], [4, 6], [7, 13], [13, 16], [18, 19]]


def test_nothing_gives_nothing() -> None:
    for spans in ([], [[3, 3]]):
        plan = pack(np.array(spans, np.int64), np.zeros(4, np.uint8), row_length=8, frame_length=2)
        assert (len(plan), plan.num_tokens, plan.padding_share()) == (0, 0, 0.0)
        assert plan.pieces.shape == (0, 2)


def test_an_empty_store_gives_nothing() -> None:
    plan = pack(np.zeros((0, 2), np.int64), np.zeros(0, np.uint8), row_length=8, frame_length=2)
    assert len(plan) == 0


def test_three_short_lines_are_a_row() -> None:
    plan = plan_of([5, 6, 7], 128)
    assert len(plan) == 1
    assert plan.row(0).tolist() == [[0, 5], [6, 12], [13, 20]]


@pytest.mark.parametrize(("row_length", "frame_length"), [(2, 2), (1, 2), (0, 0), (8, -1)])
def test_a_row_must_have_room_beside_the_frame(row_length: int, frame_length: int) -> None:
    with pytest.raises(ValueError, match="must exceed frame_length"):
        pack([[0, 4]], np.zeros(4, np.uint8), row_length=row_length, frame_length=frame_length)


def test_rows_are_counted_from_zero() -> None:
    plan = plan_of([5], 10)
    with pytest.raises(IndexError, match="row 1 of a plan of 1"):
        plan.row(1)
    with pytest.raises(IndexError):
        plan.row(-1)


def test_spans_that_fit_stay_whole_where_padding_allows() -> None:
    lengths = np.random.default_rng(1).integers(1, 127, 3000)
    spans = spans_of(lengths)
    plan = pack(spans, flags_for(spans), row_length=128, frame_length=2)
    assert len(plan.pieces) == 3000
    assert plan.padding_share() < 0.02


@pytest.mark.parametrize("length", [3, 5, 10, 30, 50, 60, 63, 64, 70, 100, 110, 119, 126, 127, 128, 133, 134, 200, 253])
@pytest.mark.parametrize("count", [400, 3000])
@pytest.mark.parametrize("frame_length", [0, 1, 2])
def test_spans_of_one_awkward_length(length: int, count: int, frame_length: int) -> None:
    plan = plan_of(np.full(count, length), 128, frame_length)
    if len(plan) >= 100:
        assert plan.padding_share() < 0.02
    parts = plan.pieces[:, 1] - plan.pieces[:, 0]
    if 50 <= length <= 120:
        assert parts.min() >= 8, "parts are long enough to learn from"


def test_words_longer_than_the_budget_bears_are_cut() -> None:
    # Words of 20 tokens in rows of 128 would leave (0 + … + 19) / 20 = 9.5 of 128 tokens a row, 7 %.
    plan = plan_of([100_000], 128, word_length=20)
    assert plan.padding_share() < 0.02
    at_words = np.mean(plan.pieces[1:, 0] % 20 == 0)
    assert 0.1 < at_words < 0.5


def test_ordinary_words_are_never_cut() -> None:
    # Words of 2 leave half a token a row, 0.4 %: well within the budget.
    plan = plan_of([100_000, 50, 70_001], 128, word_length=2)
    spans = spans_of([100_000, 50, 70_001])
    firsts = {start: int(start) for start in spans[:, 0]}
    for start in plan.pieces[:, 0]:
        span = max(first for first in firsts if first <= start)
        assert (start - span) % 2 == 0


_lengths = st.one_of(
    st.lists(st.integers(0, 60), max_size=40),
    st.lists(st.integers(0, 2000), max_size=12),
    st.builds(lambda length, count: [length] * count, st.integers(1, 300), st.integers(1, 60)),
)


@given(_lengths, st.integers(1, 200), st.integers(0, 3), st.integers(1, 40), st.booleans())
@settings(deadline=None, max_examples=300)
def test_no_token_is_lost_or_repeated_and_rows_hold_what_they_can(
    lengths: list[int], capacity: int, frame_length: int, word_length: int, packed: bool
) -> None:
    spans = spans_of(lengths) if lengths else np.zeros((0, 2), np.int64)
    flags = flags_for(spans, word_length)
    row_length = capacity + frame_length
    plan = pack(spans, flags, row_length=row_length, frame_length=frame_length, packed=packed)
    check(plan, spans)
    assert plan.num_tokens == sum(lengths)
    again = pack(spans.copy(), flags.copy(), row_length=row_length, frame_length=frame_length, packed=packed)
    assert (again.rows.tolist(), again.pieces.tolist()) == (plan.rows.tolist(), plan.pieces.tolist())


@st.composite
def _many(draw: st.DrawFn) -> list[int]:
    """A corpus of some hundred rows: a few lengths, or lengths around a few, each often."""
    kinds = draw(st.lists(st.tuples(st.integers(2, 700), st.integers(0, 30)), min_size=1, max_size=4))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    parts = []
    for length, spread in kinds:
        count = int(draw(st.integers(60, 400)) * 128 / (length + 2))
        parts.append(np.maximum(2, length + rng.integers(-spread, spread + 1, count)))
    return list(rng.permutation(np.concatenate(parts)))


@given(_many(), st.sampled_from([128, 256, 512]), st.integers(0, 2), st.integers(1, 40))
@settings(deadline=None, max_examples=150)
def test_padding_stays_under_two_percent_from_a_hundred_rows_on(
    lengths: list[int], row_length: int, frame_length: int, word_length: int
) -> None:
    plan = plan_of(lengths, row_length, frame_length, word_length)
    if len(plan) >= 100:
        assert plan.padding_share() < 0.02


@pytest.mark.parametrize("isolate", ["document", "group"])
def test_real_lines(shared_data: Any, isolate: str) -> None:
    # The lengths of 资治通鉴's lines in characters: about what its tokens are.
    text = (shared_data / "corpora" / "zizhi-tongjian" / "classical.txt").read_text("utf-8")
    lengths = np.array([len(line) for line in text.split("\n") if line])
    if isolate == "group":
        lengths = np.add.reduceat(lengths + 1, np.arange(0, len(lengths), 400)) - 1
    for row_length in (128, 512):
        assert plan_of(lengths, row_length).padding_share() < 0.02
