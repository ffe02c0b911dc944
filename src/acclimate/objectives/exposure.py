"""How often each token of a corpus is an input, and how often a target: the ledger of what a model gets to see.

Counted from the places that every example carries, so that it holds for any objective, zero included: a token that is
never predicted, or that a plan has no room for, is there to see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acclimate.objectives.base import INPUT_PLACES, LABEL_PLACES, Objective
from acclimate.objectives.rows import count_places
from acclimate.progress import Listener, Progress, Silent
from acclimate.tokens.packing import Plan
from acclimate.tokens.store import JOINT, TokenStore

# Examples that are counted at a time: enough that counting costs little beside making them.
_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Exposure:
    """How often each token of a store was met.

    Attributes:
        inputs: [T] int64 how often a token stood in a row as the model gets it, masked ones and those that were
            replaced included.
        targets: [T] int64 how often it was to be predicted.
        is_joint: [T] bool which of the tokens stand between texts; the others are text.
        epochs: in so many epochs.
    """

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    is_joint: NDArray[np.bool_]
    epochs: int

    def histograms(self) -> dict[str, dict[str, dict[int, int]]]:
        """{"text" or "joints": {"inputs" or "targets": {times: number of tokens}}}, ascending, numbers above 0."""
        return {
            kind: {"inputs": histogram(self.inputs[chosen]), "targets": histogram(self.targets[chosen])}
            for kind, chosen in (("text", ~self.is_joint), ("joints", self.is_joint))
        }


def histogram(counts: NDArray[np.int64]) -> dict[int, int]:
    """How many entries each count has: {count: number of entries}, ascending."""
    values, numbers = np.unique(counts, return_counts=True)
    return dict(zip(values.tolist(), numbers.tolist(), strict=True))


def exposure(
    objective: Objective, store: TokenStore, plan: Plan, epochs: int = 1, *, listener: Listener | None = None
) -> Exposure:
    """Count over every example of the first `epochs` epochs; exact, since each example is a function of its key.

    Args:
        store, plan: the tokens, and the rows that the objective cut from them.
        epochs: at least 1.
        listener: hears how far counting has come.
    """
    listener = listener or Silent()
    total = epochs * len(plan)
    inputs, targets = np.zeros(len(store), dtype=np.int64), np.zeros(len(store), dtype=np.int64)
    for start in range(0, total, _CHUNK):
        end = min(start + _CHUNK, total)
        examples = objective.examples(store, plan, range(start, end))
        inputs += count_places([example[INPUT_PLACES] for example in examples], len(store))
        targets += count_places([example[LABEL_PLACES] for example in examples], len(store))
        listener.progress(Progress("counting", end, total, "row"))
    return Exposure(inputs, targets, (store.flags[:] & JOINT) != 0, epochs)
