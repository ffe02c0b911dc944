"""The stream of examples: every row once an epoch, nothing repeated or dropped at ragged ends, resumable anywhere."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from acclimate.tokens.packing import Plan
from acclimate.training.stream import StreamSampler, TokenCounter, keys, permutation


@given(num_rows=st.integers(1, 40), epochs=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_each_epoch_has_each_row_once(num_rows: int, epochs: int, seed: int) -> None:
    stream = keys(0, epochs * num_rows, num_rows, seed)
    assert sorted(stream) == list(range(epochs * num_rows))
    for epoch in range(epochs):
        part = stream[epoch * num_rows : (epoch + 1) * num_rows]
        assert set(part // num_rows) == {epoch}


@given(num_rows=st.integers(1, 40), batch=st.integers(1, 50), stretches=st.integers(1, 4), seed=st.integers(0, 1000))
def test_the_samplers_stretches_are_the_stream(num_rows: int, batch: int, stretches: int, seed: int) -> None:
    sampler = StreamSampler(num_rows, batch, seed)
    assert len(sampler) % batch == 0
    assert 0 <= len(sampler) - num_rows < batch
    drawn = []
    for epoch in range(stretches):
        sampler.set_epoch(epoch)
        drawn += list(sampler)
    assert drawn == keys(0, len(drawn), num_rows, seed).tolist()


@given(num_rows=st.integers(1, 40), start=st.integers(0, 200), length=st.integers(0, 200))
def test_any_stretch_can_be_read_by_itself(num_rows: int, start: int, length: int) -> None:
    whole = keys(0, start + length, num_rows, 7)
    assert keys(start, start + length, num_rows, 7).tolist() == whole[start:].tolist()


def test_order_changes_with_epoch_and_seed() -> None:
    assert permutation(50, 0, 1).tolist() != permutation(50, 1, 1).tolist()
    assert permutation(50, 0, 1).tolist() != permutation(50, 0, 2).tolist()
    assert permutation(50, 3, 1).tolist() == permutation(50, 3, 1).tolist()


def test_three_rows_fill_a_batch_of_eight() -> None:
    # 8 = 3 + 3 + 2: two whole epochs, and two rows of the third.
    sampler = StreamSampler(3, 8, seed=0)
    drawn = np.array(list(sampler))
    assert (drawn // 3).tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert sorted(drawn[:3] % 3) == [0, 1, 2]


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=30), upto=st.integers(0, 100))
def test_tokens_are_counted_as_they_come(lengths: list[int], upto: int) -> None:
    ends = np.cumsum(lengths)
    pieces = np.stack([ends - lengths, ends], axis=1)
    plan = Plan(np.arange(len(lengths) + 1), pieces, row_length=12, frame_length=2)
    expected = sum(lengths[key % len(lengths)] + 2 for key in keys(0, upto, len(lengths), 5))
    assert TokenCounter(plan, 5).upto(upto) == expected
