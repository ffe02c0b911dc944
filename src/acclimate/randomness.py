"""Pseudo-random choices that are pure functions of a seed and a number: nothing depends on what was drawn before."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray


class Purpose(IntEnum):
    """What numbers are drawn for; streams of different purposes never meet, even for the same seed and number."""

    CORRUPTION = 0
    ORDER = 1
    DROPOUT = 2
    BOOTSTRAP = 3
    SAMPLES = 4
    PAIRS = 5


# The purpose is the highest word of a stream's counter.
_COUNTERS = {purpose: np.array([0, 0, 0, int(purpose)], dtype=np.uint64) for purpose in Purpose}


class _Key(ISeedSequence):
    """Hands Philox its key. (`Philox(key=…)` asks the system for entropy first, which it does not use, and which takes
    three times as long as all else.)"""

    def __init__(self, *words: int) -> None:
        self._words = np.array(words, dtype=np.uint64)

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[Any]:
        return self._words


def generator(seed: int, purpose: Purpose, number: int = 0) -> np.random.Generator:
    """A generator keyed by seed, purpose and number (counter-based: Philox, Salmon et al. 2011)."""
    key: Any = _Key(seed, number)  # numpy's stubs know of no seed sequence but its own
    return np.random.Generator(np.random.Philox(key, counter=_COUNTERS[purpose]))


def uniform(rngs: Iterable[np.random.Generator], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Numbers from [0, 1): of each generator so many, end to end."""
    return np.concatenate([rng.random(count) for rng, count in zip(rngs, counts.tolist(), strict=True)])
