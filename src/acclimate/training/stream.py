"""The order of examples: one endless stream of epochs, a pure function of (seed, position).

Position p of the stream is example `permutation(epoch)[p % n]` of epoch `p // n`, for n rows. Batches are cut from the
stream without regard to epochs: no example is dropped or repeated at a ragged end, and a corpus of fewer rows than a
batch trains, its rows running on across epochs. Resuming at step s is going on at position s times the batch.

Where a share of general text is replayed, its examples are a stream of their own, put evenly between those of the
documents; they do not count in epochs. Keys of replayed examples are negative: `-1 - key`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.objectives.base import Fields, Objective
from acclimate.randomness import Purpose, generator
from acclimate.tokens.packing import Plan
from acclimate.tokens.store import TokenStore

# The seed of replayed examples' order and masks differs from the documents' by this.
_REPLAY_SEED = 1 << 31


class ExampleDataset(torch.utils.data.Dataset[Fields]):
    """Examples by key (`epoch * num_rows + row`); has no state, so that loader workers cannot differ."""

    def __init__(self, objective: Objective, store: TokenStore, plan: Plan) -> None:
        self.objective = objective
        self.store = store
        self.plan = plan

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, key: int) -> Fields:
        return self.objective.example(self.store, self.plan, key)

    def __getitems__(self, keys: Sequence[int]) -> list[Fields]:
        """The examples of some keys, made together: what a `DataLoader` asks for, a batch at a time."""
        return self.objective.examples(self.store, self.plan, keys) if len(keys) else []


class ReplayDataset(ExampleDataset):
    """Examples of documents by key from 0, and of replayed general text by key from -1 downwards."""

    def __init__(self, documents: ExampleDataset, replayed: ExampleDataset, share: float) -> None:
        """
        Args:
            documents: what is trained on, and what epochs are counted by.
            replayed: general text, in rows of the same objective; at least one.
            share: of the examples of the stream that are replayed, in (0, 1).
        """
        super().__init__(documents.objective, documents.store, documents.plan)
        self.replayed = replayed
        self.share = share

    def __getitem__(self, key: int) -> Fields:
        return super().__getitem__(key) if key >= 0 else self.replayed[-1 - key]

    def __getitems__(self, keys: Sequence[int]) -> list[Fields]:
        documents = iter(super().__getitems__([key for key in keys if key >= 0]))
        replayed = iter(self.replayed.__getitems__([-1 - key for key in keys if key < 0]))
        return [next(documents if key >= 0 else replayed) for key in keys]


@dataclass(frozen=True)
class Order:
    """Which key stands at which position of the stream.

    Attributes:
        num_rows: rows of the documents, at least 1.
        seed: of the order.
        num_replayed: rows of general text; 0 for none.
        replay_share: share of the stream that is replayed.
    """

    num_rows: int
    seed: int
    num_replayed: int = 0
    replay_share: float = 0.0

    @classmethod
    def of(cls, dataset: ExampleDataset, seed: int) -> Order:
        if isinstance(dataset, ReplayDataset):
            return cls(len(dataset), seed, len(dataset.replayed), dataset.share)
        return cls(len(dataset), seed)

    @property
    def _share(self) -> Fraction:
        return Fraction(self.replay_share).limit_denominator(10_000)

    def replayed_before(self, position: int) -> int:
        """How many of the first `position` examples are replayed."""
        return int(position * self._share)

    def documents_before(self, position: int) -> int:
        """How many of the first `position` examples are of the documents."""
        return position - self.replayed_before(position)

    @property
    def epoch_length(self) -> Fraction:
        """Examples of the stream for one pass over the documents."""
        return self.num_rows / (1 - self._share)

    def keys(self, start: int, end: int) -> NDArray[np.int64]:
        """The keys at positions `start` to `end` of the stream: [end - start]."""
        documents = keys(self.documents_before(start), self.documents_before(end), self.num_rows, self.seed)
        first, last = self.replayed_before(start), self.replayed_before(end)
        if first == last:
            return documents
        positions = np.arange(start, end + 1)
        share = self._share
        is_replayed = np.diff(positions * share.numerator // share.denominator) > 0
        mixed = np.empty(end - start, dtype=np.int64)
        mixed[~is_replayed] = documents
        mixed[is_replayed] = -1 - keys(first, last, self.num_replayed, self.seed ^ _REPLAY_SEED)
        return mixed


class StreamSampler(torch.utils.data.Sampler[int]):
    """Yields the keys of one epoch of the `Trainer`: the next stretch of the stream, whole batches of it.

    The stretch is one pass over the documents, rounded up to whole global batches, so that `accelerate` never has to
    repeat examples to fill a batch up.
    """

    def __init__(self, order: Order, batch_size: int) -> None:
        """
        Args:
            batch_size: global: over all processes and accumulation steps.
        """
        self.order = order
        self.stretch = int(-(-order.epoch_length // batch_size)) * batch_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each of its epochs."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.stretch

    def __iter__(self) -> Iterator[int]:
        start = self.epoch * self.stretch
        return iter(self.order.keys(start, start + self.stretch).tolist())


def permutation(num_rows: int, epoch: int, seed: int) -> NDArray[np.int64]:
    """The order of the rows in one epoch."""
    return generator(seed, Purpose.ORDER, epoch).permutation(num_rows)


def keys(start: int, end: int, num_rows: int, seed: int) -> NDArray[np.int64]:
    """The keys at positions `start` to `end` of the endless stream of one text."""
    parts = []
    for epoch in range(start // num_rows, -(-end // num_rows)):
        first = epoch * num_rows
        order = permutation(num_rows, epoch, seed)
        parts.append(first + order[max(start - first, 0) : end - first])
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


class TokenCounter:
    """How many tokens the first so many examples of the stream have, padding not counted: a pure function, so that
    it needs no state in checkpoints."""

    def __init__(self, dataset: ExampleDataset, seed: int) -> None:
        self._order = Order.of(dataset, seed)
        self._documents = _StreamLengths(dataset, seed)
        self._replayed = (
            _StreamLengths(dataset.replayed, seed ^ _REPLAY_SEED) if isinstance(dataset, ReplayDataset) else None
        )

    def upto(self, num_examples: int) -> int:
        """Tokens in the first `num_examples` examples."""
        return self._documents.upto(self._order.documents_before(num_examples)) + self.replayed_upto(num_examples)

    def replayed_upto(self, num_examples: int) -> int:
        """Of these, the tokens that were replayed."""
        return 0 if self._replayed is None else self._replayed.upto(self._order.replayed_before(num_examples))


class _StreamLengths:
    """Cumulated lengths of the examples of one text's stream."""

    def __init__(self, dataset: ExampleDataset, seed: int) -> None:
        self._lengths: Callable[[int], NDArray[np.int64]] = lambda epoch: dataset.objective.row_lengths(
            dataset.plan, epoch
        )
        self._num_rows = len(dataset)
        self._seed = seed
        self._epoch = -1
        self._whole = [0]  # tokens in the first so many epochs
        self._cumulated: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def upto(self, num_examples: int) -> int:
        epoch, rest = divmod(num_examples, self._num_rows)
        while len(self._whole) <= epoch:
            self._whole.append(self._whole[-1] + int(self._lengths(len(self._whole) - 1).sum()))
        if rest == 0:
            return self._whole[epoch]
        if epoch != self._epoch:
            order = permutation(self._num_rows, epoch, self._seed)
            self._cumulated = np.concatenate([[0], np.cumsum(self._lengths(epoch)[order])])
            self._epoch = epoch
        return self._whole[epoch] + int(self._cumulated[rest])
