"""Pseudo-random choices that are pure functions of a seed and a number: nothing depends on what was drawn before."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What numbers are drawn for; streams of different purposes never meet, even for the same seed and number."""

    CORRUPTION = 0
    ORDER = 1
    DROPOUT = 2
    BOOTSTRAP = 3
    SAMPLES = 4
    PAIRS = 5


def generator(seed: int, purpose: Purpose, number: int = 0) -> np.random.Generator:
    """A generator keyed by seed, purpose and number (counter-based: Philox, Salmon et al. 2011)."""
    return np.random.Generator(np.random.Philox(key=[seed, number], counter=[0, 0, 0, int(purpose)]))
