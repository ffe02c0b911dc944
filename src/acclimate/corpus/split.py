"""The held-out part: whole documents, or blocks of consecutive lines, chosen by a hash of their name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

# Consecutive lines or passages of a file that are held out together: so many, or fewer where they have so many
# characters; a file of a few long lines, each an article, can then be divided, too.
BLOCK_UNITS = 50
BLOCK_CHARACTERS = 10_000
NAME_BYTES = 8  # of a name's hash
_RANGE = 1 << 8 * NAME_BYTES


def name_hash(name: str) -> int:
    """A number from 0 to 2**64 − 1 that depends on nothing but the name, so that an edited document keeps its side."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8"), digest_size=NAME_BYTES).digest(), "big")


@dataclass(slots=True)
class Blocks:
    """Numbers the blocks of one file, unit by unit."""

    number: int = 0
    _units: int = 0
    _characters: int = 0

    def next(self, characters: int) -> int:
        """The block of the next unit, which has so many characters."""
        if self._units >= BLOCK_UNITS or self._characters >= BLOCK_CHARACTERS:
            self.number += 1
            self._units = self._characters = 0
        self._units += 1
        self._characters += characters
        return self.number


@dataclass(slots=True)
class Split:
    """Chooses the units (documents or blocks) whose hash falls into the held-out share.

    All units are shown to it first. Where there are two or more, at least one is held out and at least one is not,
    however small the corpus: the one with the smallest or the largest hash.
    """

    share: float
    units: int = 0
    chosen: int = 0
    _smallest: tuple[int, str] | None = None
    _largest: tuple[int, str] | None = None

    def show(self, hashed: int, unit: str) -> None:
        """Count a unit; `unit` is its name in the whole corpus."""
        key = (hashed, unit)
        self.units += 1
        self.chosen += self._below(hashed)
        self._smallest = key if self._smallest is None else min(self._smallest, key)
        self._largest = key if self._largest is None else max(self._largest, key)

    def is_held_out(self, hashed: int, unit: str) -> bool:
        """Whether the unit is held out."""
        if self.share == 0 or self.units < 2:
            return False
        if self.chosen == 0:
            return (hashed, unit) == self._smallest
        if self.chosen == self.units:
            return (hashed, unit) != self._largest
        return self._below(hashed)

    def _below(self, hashed: int) -> bool:
        return hashed < self.share * _RANGE
