"""Cuts: where a stretch of tokens is divided when it does not fit into a row.

A cut falls where a row may break (`BREAK`, or where words start), within `WINDOW` tokens, as long as the room that it
leaves is within the budget; parts have `MIN_PART` tokens or more where they can, since a shorter one has no context to
be learnt from.
"""

from __future__ import annotations

import mmap
from array import array
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from acclimate.tokens.encoding import BREAK, JOINT

MIN_PART = 8
WINDOW = 32

# Tokens after which the pages of a memory-mapped store are given back that were read.
_READ_AHEAD = 1 << 26

Piece = tuple[int, int]


@dataclass
class Budget:
    """How much room rows may leave: `slack` tokens at once, and `rate` more a row."""

    rate: float
    slack: float
    rows: int = 0
    spent: int = 0

    def allows(self, room: int) -> bool:
        """Whether the row that is being filled may be closed with `room` tokens left."""
        return self.spent + room <= self.slack + self.rate * (self.rows + 1)

    def close(self, room: int) -> None:
        """Close a row."""
        self.rows += 1
        self.spent += room


class Cutter:
    """Cuts stretches for rows that hold `row_length` tokens, of which each piece's frame takes `frame_length`."""

    def __init__(self, flags: npt.NDArray[np.uint8], row_length: int, frame_length: int, breaks: int = BREAK) -> None:
        self._file = getattr(flags, "_mmap", None)  # of a memory-mapped array
        self.flags = memoryview(np.ascontiguousarray(flags).data)  # one item is read far faster than from an array
        self.breaks = breaks
        self.row_length = row_length
        self.frame_length = frame_length
        self.capacity = row_length - frame_length
        self.min_part = max(1, min(MIN_PART, self.capacity // 4))
        self.window = min(WINDOW, self.capacity // 4)

    def cut_before(self, cut: int, low: int) -> int:
        """The last place not after `cut`, nor before `low` or the window, where a row may break; `cut` if there is
        none. No part starts with a joint."""
        for place in range(cut, max(low, cut - self.window) - 1, -1):
            if self.flags[place] & (self.breaks | JOINT) == self.breaks:
                return place
        return cut

    def cut_long(
        self, stretches: Iterable[Piece], budget: Budget
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Cut stretches that are longer than a row.

        Returns:
            [n, 2] pieces that fill a row each, and what is left: pieces that fit into a row, to be packed with others.
        """
        full, left = array("q"), array("q")  # there may be very many
        given_back = 0
        for first, end in stretches:
            start = first
            while end - start > self.capacity:
                cut = start + self.capacity
                if end - cut < self.min_part:
                    cut = self.cut_before(end - self.min_part, start + 1)
                    left.extend((start, cut))
                    start = cut
                    break
                place = self.cut_before(cut, start + 1)
                if not budget.allows(cut - place):
                    place = cut
                budget.close(cut - place)
                full.extend((start, place))
                start = place
                if start - given_back > _READ_AHEAD:
                    self._give_back()
                    given_back = start
            left.extend((start, end))
        return _pairs(full), _pairs(left)

    def _give_back(self) -> None:
        """Let go of the pages of a memory-mapped file that were read; they are read again when needed."""
        if self._file is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._file.madvise(mmap.MADV_DONTNEED)

    def lay_down(self, items: Iterable[Piece], budget: Budget) -> list[list[Piece]]:
        """Put items into rows one after the other, cut where a row ends, so that rows are full within the budget."""
        queue = deque(items)
        rows: list[list[Piece]] = []
        while queue:
            rows.append(self._fill_row(queue, budget))
        return rows

    def _fill_row(self, queue: deque[Piece], budget: Budget) -> list[Piece]:
        """Fill one row from the head of `queue`; what is cut off goes back there."""
        row = _Row(self.row_length)
        cut_off: list[Piece] = []
        while queue and row.room > self.frame_length:
            start, end = queue.popleft()
            if end - start + self.frame_length <= row.room:
                take = self._fitting_part(start, end, row.room, budget, last=not queue)
            else:
                take = self._first_part(start, end, row.room, budget, last=not queue)
            row.add(start, start + take, self.frame_length)
            if start + take < end:
                cut_off.append((start + take, end))
            if row.room < self.frame_length + self.min_part and budget.allows(row.room):
                break
        queue.extendleft(reversed(cut_off))
        budget.close(row.room)
        return row.pieces

    def _fitting_part(self, start: int, end: int, room: int, budget: Budget, *, last: bool) -> int:
        """How much to take of an item that fits: all, unless too little room would be left to put anything into."""
        length = end - start
        after = room - length - self.frame_length
        if last or after == 0 or after >= self.frame_length + self.min_part or budget.allows(after):
            return length
        give_up = max(self.min_part, self.frame_length + self.min_part - after)
        if length - give_up >= self.min_part:
            return self.cut_before(end - give_up, start + self.min_part) - start
        if after <= self.frame_length and length > self.frame_length + 1 - after:
            return length - (self.frame_length + 1 - after)
        return length

    def _first_part(self, start: int, end: int, room: int, budget: Budget, *, last: bool) -> int:
        """How much to take of an item that does not fit."""
        part = room - self.frame_length
        missing = self.min_part - (end - start - part)
        if missing > 0 and part - missing >= self.min_part and (last or budget.allows(missing)):
            # What is left of the item would be too short; the row does without those tokens.
            part -= missing
        elif missing > 0 and part - self.frame_length - self.min_part >= self.min_part:
            # The same, but the room is needed: leave enough of it for the next item's first part.
            part -= self.frame_length + self.min_part
            return self.cut_before(start + part, start + self.min_part) - start
        place = self.cut_before(start + part, start + min(self.min_part, part)) - start
        return place if budget.allows(room - self.frame_length - place) else part


def _pairs(numbers: array[int]) -> npt.NDArray[np.int64]:
    return np.frombuffer(numbers, np.int64).reshape(-1, 2) if numbers else np.empty((0, 2), np.int64)


@dataclass
class _Row:
    room: int
    pieces: list[Piece] = field(default_factory=list)

    def add(self, start: int, end: int, frame_length: int) -> None:
        self.pieces.append((start, end))
        self.room -= end - start + frame_length
