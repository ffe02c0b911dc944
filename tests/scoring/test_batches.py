"""Batches of like length: small cases by hand, and what holds of all of them."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acclimate.errors import RecipeError
from acclimate.scoring.batches import (
    MAX_TOKENS_OF_CPU,
    WINDOW,
    batches_by_length,
    check_batch_size,
    in_windows,
    one_length_only,
    token_limit,
)
from tests.models.tiny import tiny_model

LENGTHS = [3, 9, 4, 4, 20, 3]


def test_the_longest_come_first_and_none_is_padded_beyond_the_limit() -> None:
    # 20 alone is above 12 already. 9 and 4 would be 2 * 9. 4, 4, 3 are 3 * 4; the last one would be the fourth.
    assert batches_by_length(LENGTHS, max_tokens=12) == [[4], [1], [2, 3, 0], [5]]
    assert batches_by_length(LENGTHS, max_tokens=12, max_rows=2) == [[4], [1], [2, 3], [0, 5]]
    assert batches_by_length(LENGTHS, max_tokens=12, one_length=True) == [[4], [1], [2, 3], [0, 5]]
    assert batches_by_length([], max_tokens=12) == []


@given(
    st.lists(st.integers(1, 40), max_size=60),
    st.integers(1, 200),
    st.none() | st.integers(1, 9),
    st.booleans(),
)
def test_every_row_is_in_one_batch_within_the_limits(
    lengths: list[int], max_tokens: int, max_rows: int | None, one_length: bool
) -> None:
    batches = batches_by_length(lengths, max_tokens=max_tokens, max_rows=max_rows, one_length=one_length)
    assert sorted(itertools.chain(*batches)) == list(range(len(lengths)))
    for batch in batches:
        sizes = [lengths[index] for index in batch]
        assert len(batch) == 1 or len(batch) * max(sizes) <= max_tokens
        assert max_rows is None or len(batch) <= max_rows
        assert not one_length or len(set(sizes)) == 1
    # No batch is closed early: its successor's first row would have been too much.
    for batch, following in itertools.pairwise(batches):
        longest = lengths[batch[0]]
        more = (len(batch) + 1) * longest > max_tokens or len(batch) == max_rows
        assert more or (one_length and lengths[following[0]] != longest)


def test_an_endless_iterator_is_answered_as_it_comes() -> None:
    read = itertools.count()
    answers = in_windows(read, lambda window: [-number for number in window])
    assert list(itertools.islice(answers, WINDOW + 2)) == [-number for number in range(WINDOW + 2)]
    assert next(read) == 2 * WINDOW


def test_large_vocabularies_get_fewer_tokens() -> None:
    def model(vocabulary: int) -> SimpleNamespace:
        return SimpleNamespace(config=SimpleNamespace(vocab_size=vocabulary), parameters=lambda: iter([torch.empty(1)]))

    assert token_limit(model(30_000)) == MAX_TOKENS_OF_CPU
    assert token_limit(model(1_000_000)) == 2**28 // 1_000_000  # 268 rows of logits are 1 GiB
    assert token_limit(torch.nn.Linear(1, 1)) == MAX_TOKENS_OF_CPU  # no configuration


@pytest.mark.parametrize(
    ("model_type", "head", "expected"),
    [
        ("bert", "AutoModelForMaskedLM", False),
        ("convbert", "AutoModelForMaskedLM", True),
        ("funnel", "AutoModelForMaskedLM", True),
        ("longt5", "AutoModelForSeq2SeqLM", False),
    ],
)
def test_types_that_see_padding_get_none(model_type: str, head: str, expected: bool) -> None:
    assert one_length_only(tiny_model(model_type, head)) is expected


def test_a_batch_of_nothing_is_refused() -> None:
    check_batch_size(None)
    check_batch_size(1)
    with pytest.raises(RecipeError, match="`batch_size`: expected a number of at least 1, got 0"):
        check_batch_size(0)


def test_the_last_window_may_be_short() -> None:
    assert list(in_windows(range(WINDOW + 3), lambda window: [len(window)])) == [WINDOW, 3]
