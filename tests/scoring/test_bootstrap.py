"""Paired bootstrap: exact means, intervals that cover, the same draws each time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.objectives.base import Part
from acclimate.scoring.bootstrap import paired_difference
from acclimate.scoring.score import UnitScores


def scores(losses: list[float], counts: list[float]) -> UnitScores:
    nothing = np.zeros(len(losses))
    num_bytes = 2 * np.array(counts)
    empty = np.empty(0)
    units = np.arange(len(losses))
    return UnitScores(Part("mlm"), np.array(losses), nothing, nothing, np.array(counts), num_bytes, empty, empty, units)


def test_the_mean_weighs_documents_by_targets() -> None:
    # Sums of losses 10 and 30 over 10 and 10 targets before, 8 and 15 after: (23 - 40) / 20 = -0.85.
    difference = paired_difference(scores([10, 30], [10, 10]), scores([8, 15], [10, 10]))
    assert difference.mean == pytest.approx(-0.85)
    # Only three means can be drawn: document 1 twice -0.2, both -0.85, document 2 twice -1.5.
    assert (difference.low, difference.high) == (pytest.approx(-1.5), pytest.approx(-0.2))


def test_bits_per_byte_weigh_documents_by_bytes() -> None:
    # As above, with two bytes a target: (23 - 40) / ln 2 bits over 40 bytes.
    difference = paired_difference(scores([10, 30], [10, 10]), scores([8, 15], [10, 10]), per_byte=True)
    assert difference.mean == pytest.approx(-17 / math.log(2) / 40)


def test_equal_gains_everywhere_leave_no_doubt() -> None:
    counts = [3.0, 5.0, 7.0, 11.0]
    before = scores([2 * count for count in counts], counts)
    after = scores([1.5 * count for count in counts], counts)
    difference = paired_difference(before, after)
    assert (difference.low, difference.mean, difference.high) == pytest.approx((-0.5, -0.5, -0.5))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    # 300 experiments of 80 documents whose true mean difference is -0.1: some 95 % of the intervals hold it. Binomial
    # bound of 4 standard errors, 4 * sqrt(0.95 * 0.05 / 300) = 0.05, and the percentile interval is a little narrow.
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        counts = rng.integers(5, 40, 80).astype(float)
        before = rng.normal(3.0, 0.5, 80) * counts
        after = before + rng.normal(-0.1, 0.4, 80) * counts
        difference = paired_difference(
            scores(before.tolist(), counts.tolist()), scores(after.tolist(), counts.tolist()), resamples=1000
        )
        covered += difference.low <= -0.1 <= difference.high
    assert 0.88 <= covered / 300 <= 0.99


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50), st.integers(1, 50)), min_size=1, max_size=30))
def test_interval_and_mean_agree(documents: list[tuple[float, float, int]]) -> None:
    before = scores([document[0] for document in documents], [float(document[2]) for document in documents])
    after = scores([document[1] for document in documents], [float(document[2]) for document in documents])
    first = paired_difference(before, after, resamples=200)
    assert first.low <= first.high
    assert first == paired_difference(before, after, resamples=200)
    per_document = (after.losses - before.losses) / before.counts
    assert per_document.min() - 1e-9 <= first.low and first.high <= per_document.max() + 1e-9


def test_other_targets_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="not scored on the same targets"):
        paired_difference(scores([1], [2]), scores([1], [3]))
    with pytest.raises(ValueError, match="no targets"):
        paired_difference(scores([], []), scores([], []))
