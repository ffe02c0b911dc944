"""A compact set of digests."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from acclimate.corpus.digests import DigestSet


# Few different bytes: digests come again, and many fall into one slot.
@given(st.lists(st.lists(st.sampled_from([0, 1, 255]), min_size=4, max_size=4).map(bytes), max_size=200))
def test_it_is_a_set(digests: list[bytes]) -> None:
    found, expected = DigestSet(4), set[bytes]()
    for digest in digests:
        assert found.add(digest) == (digest not in expected)
        expected.add(digest)
        assert len(found) == len(expected)


def test_tables_grow_and_keep_what_is_in_them() -> None:
    found = DigestSet(8)
    digests = [bytes([7]) + number.to_bytes(7, "big") for number in range(5000)]  # all in one table
    assert all(found.add(digest) for digest in digests)
    assert not any(found.add(digest) for digest in digests)
    assert len(found) == 5000


def test_it_takes_little_memory() -> None:
    found = DigestSet(16)
    for number in range(50_000):
        found.add((number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128).to_bytes(16, "big"))
    assert sum(map(sys.getsizeof, found._tables)) < 45 * 50_000
