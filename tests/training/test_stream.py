"""The stream of examples: every row once an epoch, nothing repeated or dropped at ragged ends, resumable anywhere."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from acclimate.training.stream import Order, ReplayDataset, StreamSampler, TokenCounter, keys, permutation


@given(num_rows=st.integers(1, 40), epochs=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_each_epoch_has_each_row_once(num_rows: int, epochs: int, seed: int) -> None:
    stream = keys(0, epochs * num_rows, num_rows, seed)
    assert sorted(stream) == list(range(epochs * num_rows))
    for epoch in range(epochs):
        part = stream[epoch * num_rows : (epoch + 1) * num_rows]
        assert set(part // num_rows) == {epoch}


@given(num_rows=st.integers(1, 40), batch=st.integers(1, 50), stretches=st.integers(1, 4), seed=st.integers(0, 1000))
def test_the_samplers_stretches_are_the_stream(num_rows: int, batch: int, stretches: int, seed: int) -> None:
    sampler = StreamSampler(Order(num_rows, seed), batch)
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
    sampler = StreamSampler(Order(3, seed=0), 8)
    drawn = np.array(list(sampler))
    assert (drawn // 3).tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert sorted(drawn[:3] % 3) == [0, 1, 2]


class Lengths:
    """Stands for a dataset of rows of given lengths, that are one longer in each epoch."""

    def __init__(self, lengths: list[int]) -> None:
        self.plan = None
        self.objective = self
        self.lengths = np.array(lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def row_lengths(self, plan: object, epoch: int) -> np.ndarray:
        return self.lengths + epoch


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=30), upto=st.integers(0, 100))
def test_tokens_are_counted_as_they_come(lengths: list[int], upto: int) -> None:
    num_rows = len(lengths)
    expected = sum(lengths[key % num_rows] + key // num_rows for key in keys(0, upto, num_rows, 5))
    assert TokenCounter(Lengths(lengths), 5).upto(upto) == expected


def test_replayed_examples_are_spread_evenly() -> None:
    # A quarter of the stream: int(p / 4) of the first p examples, so the 4th, 8th, … are replayed, one after another
    # of their own stream, and between them the documents' stream goes on as if they were not there.
    order = Order(num_rows=5, seed=3, num_replayed=2, replay_share=0.25)
    drawn = order.keys(0, 12)
    assert (drawn < 0).tolist() == [False, False, False, True] * 3
    assert drawn[drawn >= 0].tolist() == keys(0, 9, 5, 3).tolist()
    replayed = -1 - drawn[drawn < 0]
    assert sorted(replayed[:2]) == [0, 1] and replayed[2] in (2, 3)
    # Epochs count the documents: five of them take 5 / (3/4) examples of the stream.
    assert order.epoch_length == Fraction(20, 3)


@given(
    share=st.sampled_from([0.01, 0.1, 0.25, 1 / 3, 0.5, 0.9]),
    start=st.integers(0, 300),
    length=st.integers(0, 200),
)
def test_any_stretch_of_a_replaying_stream_can_be_read_by_itself(share: float, start: int, length: int) -> None:
    order = Order(7, 1, num_replayed=3, replay_share=share)
    whole = order.keys(0, start + length)
    assert order.keys(start, start + length).tolist() == whole[start:].tolist()
    assert (whole < 0).sum() == order.replayed_before(start + length)
    assert abs(order.replayed_before(1_000_000) - 1_000_000 * share) < 100


def test_replayed_tokens_are_counted_by_themselves() -> None:
    dataset = ReplayDataset.__new__(ReplayDataset)
    dataset.objective, dataset.plan = Lengths([10, 10]), Lengths([10, 10])  # type: ignore[assignment]
    dataset.replayed, dataset.share = Lengths([3]), 0.5  # type: ignore[assignment]
    counter = TokenCounter(dataset, 0)
    # Four examples: two of the documents (10 each), two replayed, of epochs 0 and 1 of their text (3 and 4).
    assert counter.upto(4) == 20 + 7
    assert counter.replayed_upto(4) == 7
