"""A set of digests that takes little more than their bytes."""

from __future__ import annotations

_TABLES = 256
_FIRST_SLOTS = 16
# A table is doubled when it is three quarters full.
_FULL = 0.75


class DigestSet:
    """Digests of one length, in tables with open addressing.

    A set of `bytes` takes some 100 bytes for each; this one 22 to 43 for a digest of 16 bytes. There are 256 tables, so
    that one that grows is copied alone.

    Args:
        size: bytes of a digest, two or more.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._empty = bytes(size)
        self._tables = [bytearray(size * _FIRST_SLOTS) for _ in range(_TABLES)]
        self._counts = [0] * _TABLES
        self._has_zero = False

    def __len__(self) -> int:
        return sum(self._counts) + self._has_zero

    def add(self, digest: bytes) -> bool:
        """Add a digest; returns whether it was not there yet."""
        assert len(digest) == self._size, "digests of one length"
        if digest == self._empty:  # what an empty slot holds
            is_new, self._has_zero = not self._has_zero, True
            return is_new
        number = digest[0]
        table = self._tables[number]
        place = self._place(table, digest)
        if table[place : place + self._size] == digest:
            return False
        table[place : place + self._size] = digest
        self._counts[number] += 1
        if self._counts[number] * self._size > _FULL * len(table):
            self._tables[number] = self._doubled(table)
        return True

    def _place(self, table: bytearray, digest: bytes) -> int:
        """Where a digest stands, or the empty slot that it would have."""
        size = self._size
        place = int.from_bytes(digest[1:8], "little") * size % len(table)
        while (found := table[place : place + size]) != digest and found != self._empty:
            place = (place + size) % len(table)
        return place

    def _doubled(self, table: bytearray) -> bytearray:
        larger = bytearray(2 * len(table))
        for start in range(0, len(table), self._size):
            digest = bytes(table[start : start + self._size])
            if digest != self._empty:
                place = self._place(larger, digest)
                larger[place : place + self._size] = digest
        return larger
