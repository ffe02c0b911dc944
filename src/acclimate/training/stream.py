"""The order of examples: an endless stream of epochs, a pure function of (seed, position).

Position p of the stream is example `permutation(epoch)[p % n]` of epoch `p // n`, for n rows. Batches are cut from the
stream without regard to epochs: no example is dropped or repeated at a ragged end, and a corpus of fewer rows than a
batch trains, its rows running on across epochs. Resuming at step s is going on at position s times the batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.objectives.base import Fields, Objective
from acclimate.randomness import Purpose, generator
from acclimate.tokens.packing import Plan
from acclimate.tokens.store import TokenStore


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


class StreamSampler(torch.utils.data.Sampler[int]):
    """Yields the keys of one epoch of the `Trainer`: the next stretch of the stream, whole batches of it.

    The stretch is the number of rows, rounded up to whole global batches, so that `accelerate` never has to repeat
    examples to fill a batch up.
    """

    def __init__(self, num_rows: int, batch_size: int, seed: int) -> None:
        """
        Args:
            num_rows: examples in an epoch, at least 1.
            batch_size: global: over all processes and accumulation steps.
            seed: of the order.
        """
        self.num_rows = num_rows
        self.seed = seed
        self.stretch = -(-num_rows // batch_size) * batch_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each of its epochs."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.stretch

    def __iter__(self) -> Iterator[int]:
        start = self.epoch * self.stretch
        return iter(keys(start, start + self.stretch, self.num_rows, self.seed).tolist())


def permutation(num_rows: int, epoch: int, seed: int) -> NDArray[np.int64]:
    """The order of the rows in one epoch."""
    return generator(seed, Purpose.ORDER, epoch).permutation(num_rows)


def keys(start: int, end: int, num_rows: int, seed: int) -> NDArray[np.int64]:
    """The keys at positions `start` to `end` of the stream."""
    parts = []
    for epoch in range(start // num_rows, -(-end // num_rows)):
        first = epoch * num_rows
        order = permutation(num_rows, epoch, seed)
        parts.append(first + order[max(start - first, 0) : end - first])
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


class TokenCounter:
    """How many tokens the first so many examples of the stream have, padding not counted: a pure function, so that
    it needs no state in checkpoints."""

    def __init__(self, plan: Plan, seed: int) -> None:
        lengths = plan.pieces[:, 1] - plan.pieces[:, 0] + plan.frame_length
        sums = np.concatenate([[0], np.cumsum(lengths)])
        self._row_tokens = sums[plan.rows[1:]] - sums[plan.rows[:-1]]
        self._seed = seed
        self._epoch = -1
        self._cumulated: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def upto(self, num_examples: int) -> int:
        """Tokens in the first `num_examples` examples."""
        num_rows = len(self._row_tokens)
        epoch, rest = divmod(num_examples, num_rows)
        if epoch != self._epoch:
            order = permutation(num_rows, epoch, self._seed)
            self._cumulated = np.concatenate([[0], np.cumsum(self._row_tokens[order])])
            self._epoch = epoch
        return epoch * int(self._row_tokens.sum()) + int(self._cumulated[rest])
