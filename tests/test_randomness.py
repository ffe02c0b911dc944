"""Pseudo-random choices are functions of seed, purpose and number, and of nothing else."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from acclimate.randomness import Purpose, generator, uniform

SEEDS = st.integers(0, 2**32 - 1)
NUMBERS = st.integers(0, 2**63)


def test_the_numbers_are_the_same_on_every_machine() -> None:
    # Golden: masks stored with one version must be those that the next one draws. Philox-4x64-10 has a published
    # definition, so that these depend on neither machine nor thread.
    drawn = generator(42, Purpose.CORRUPTION, 7).integers(0, 1000, size=6)
    assert drawn.tolist() == [306, 649, 525, 884, 37, 553]
    assert {purpose.name: int(purpose) for purpose in Purpose} == {
        "CORRUPTION": 0,
        "ORDER": 1,
        "DROPOUT": 2,
        "BOOTSTRAP": 3,
        "SAMPLES": 4,
        "PAIRS": 5,
    }


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox-4x64-10 as it is published (Salmon et al. 2011; Random123's constants)."""
    mask = 2**64 - 1
    a, b, c, d = counter
    k, m = key
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
        a, b, c, d = (second >> 64) ^ b ^ k, second & mask, (first >> 64) ^ d ^ m, first & mask
        k, m = (k + 0x9E3779B97F4A7C15) & mask, (m + 0xBB67AE8584CAA73B) & mask
    return [a, b, c, d]


def test_the_numbers_are_those_of_philox() -> None:
    # Random123's known answers for a counter and a key of zeros, and of ones.
    assert philox([0] * 4, [0] * 2) == [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    ones = 2**64 - 1
    assert philox([ones] * 4, [ones] * 2) == [
        *[0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0],
    ]
    # numpy counts before it draws.
    for seed, purpose, number in (
        (0, Purpose.CORRUPTION, 0),
        (42, Purpose.PAIRS, 7),
        (2**32 - 1, Purpose.ORDER, 2**63),
    ):
        expected = [philox([block, 0, 0, int(purpose)], [seed, number]) for block in (1, 2)]
        assert generator(seed, purpose, number).bit_generator.random_raw(8).tolist() == sum(expected, [])


def test_uniform_numbers_are_each_generators_own() -> None:
    rngs = [generator(1, Purpose.CORRUPTION, number) for number in range(3)]
    found = uniform(rngs, np.array([2, 0, 3])).tolist()
    first, last = (generator(1, Purpose.CORRUPTION, number).random(3).tolist() for number in (0, 2))
    assert found == first[:2] + last


@given(SEEDS, st.sampled_from(Purpose), NUMBERS, st.integers(0, 50))
def test_what_was_drawn_before_does_not_matter(seed: int, purpose: Purpose, number: int, before: int) -> None:
    other = generator(seed, purpose, number + 1 if number < 2**63 else 0)
    other.random(before)
    again, once = generator(seed, purpose, number), generator(seed, purpose, number)
    assert np.array_equal(again.random(8), once.random(8))


@given(st.lists(st.tuples(SEEDS, st.sampled_from(Purpose), NUMBERS), min_size=2, max_size=2, unique=True))
def test_different_keys_draw_different_numbers(keys: list[tuple[int, Purpose, int]]) -> None:
    one, other = (generator(*key).integers(0, 2**63, size=4) for key in keys)
    assert not np.array_equal(one, other)


def test_streams_of_different_purposes_never_meet() -> None:
    # The purpose is the highest of the counter's four words: 2**192 blocks lie between two streams. So not one value
    # of one stream is found in another, also far on.
    streams = {purpose: generator(0, purpose).integers(0, 2**63, size=4096) for purpose in Purpose}
    for one, other in itertools.combinations(Purpose, 2):
        assert not np.intersect1d(streams[one], streams[other]).size


def test_numbers_next_to_each_other_are_independent() -> None:
    # First draws for 20,000 numbers in a row: mean 1/2 within 4 standard errors (0.2887 / sqrt(20000) = 0.00204), and
    # no correlation from one to the next (standard error 1 / sqrt(20000) = 0.0071).
    first = np.array([generator(3, Purpose.CORRUPTION, number).random() for number in range(20_000)])
    assert abs(first.mean() - 0.5) < 4 * 0.00204
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 4 * 0.0071
