"""Paired bootstrap intervals (Efron & Tibshirani 1993; for comparing two models on one test set, Koehn 2004).

Documents are drawn with replacement, both models' losses on a drawn document together; each draw gives the difference
of the mean loss per target, so that documents weigh by their targets. The interval holds the middle 95 % of draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acclimate.randomness import Purpose, generator
from acclimate.scoring.score import UnitScores

_CHUNK = 4_000_000


@dataclass(frozen=True)
class Difference:
    """Mean difference (after - before) of the loss per target (nats) or of the bits per byte, and the bounds of its
    95 % interval."""

    mean: float
    low: float
    high: float


def paired_difference(
    before: UnitScores, after: UnitScores, *, resamples: int = 10_000, seed: int = 0, per_byte: bool = False
) -> Difference:
    """The difference between two models scored on the same targets.

    Args:
        before, after: scores by unit, in the same order, with the same counts.
        resamples: how many times the units are drawn.
        per_byte: of the bits per byte of text, instead of the nats per target.

    Raises:
        ValueError: the scores are not of the same targets, or there are none.
    """
    if not np.array_equal(before.counts, after.counts):
        raise ValueError("the two models were not scored on the same targets")
    if before.num_targets == 0:
        raise ValueError("there are no targets to compare the models on")
    differences = after.losses - before.losses
    counts = before.counts
    if per_byte:
        differences, counts = differences / math.log(2), before.num_bytes
    return mean_difference(differences, counts, resamples=resamples, seed=seed)


def mean_difference(
    differences: NDArray[np.float64], counts: NDArray[np.float64], *, resamples: int = 10_000, seed: int = 0
) -> Difference:
    """Σ differences / Σ counts, and its interval.

    Args:
        differences: [units] sums of after - before.
        counts: [units] over how many targets, bytes or questions each is summed.
    """
    means = _resampled_means(differences, counts, resamples, seed)
    low, high = np.percentile(means, [2.5, 97.5])
    return Difference(float(differences.sum() / counts.sum()), float(low), float(high))


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
        # A draw without any target, as of units that have none in this part, says nothing.
        totals = counts[draws].sum(axis=1)
        means.append((sums[draws].sum(axis=1) / np.maximum(totals, 1e-300))[totals > 0])
    return np.concatenate(means)
