"""Paired bootstrap intervals (Efron & Tibshirani 1993; for comparing two models on one test set, Koehn 2004).

Documents are drawn with replacement, both models' losses on a drawn document together; each draw gives the difference
of the mean loss per target, so that documents weigh by their targets. The interval holds the middle 95 % of draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acclimate.randomness import Purpose, generator
from acclimate.scoring.score import UnitScores

_CHUNK = 4_000_000


@dataclass(frozen=True)
class Difference:
    """Mean difference (after - before) of the loss per target, in nats, and the bounds of its 95 % interval."""

    mean: float
    low: float
    high: float


def paired_difference(before: UnitScores, after: UnitScores, *, resamples: int = 10_000, seed: int = 0) -> Difference:
    """The difference between two models scored on the same targets.

    Args:
        before, after: scores by unit, in the same order, with the same counts.
        resamples: how many times the units are drawn.

    Raises:
        ValueError: the scores are not of the same targets, or there are none.
    """
    if not np.array_equal(before.counts, after.counts):
        raise ValueError("the two models were not scored on the same targets")
    if before.num_targets == 0:
        raise ValueError("there are no targets to compare the models on")
    differences = after.losses - before.losses
    means = _resampled_means(differences, before.counts, resamples, seed)
    low, high = np.percentile(means, [2.5, 97.5])
    return Difference(float(differences.sum() / before.counts.sum()), float(low), float(high))


def _resampled_means(
    sums: NDArray[np.float64], counts: NDArray[np.float64], resamples: int, seed: int
) -> NDArray[np.float64]:
    """Σ sums / Σ counts over units drawn with replacement: [resamples]."""
    rng = generator(seed, Purpose.BOOTSTRAP)
    num_units = len(sums)
    per_chunk = max(1, _CHUNK // num_units)
    means = []
    for start in range(0, resamples, per_chunk):
        draws = rng.integers(num_units, size=(min(per_chunk, resamples - start), num_units))
        means.append(sums[draws].sum(axis=1) / counts[draws].sum(axis=1))
    return np.concatenate(means)
