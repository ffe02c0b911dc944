"""Packing: rows of a fixed length from stretches of any length, without losing or repeating a token.

A row is made of pieces of the stream; each is framed by itself (`[CLS] … [SEP]`) and costs its length plus the frame's.
The plan is made in three steps, all pure and deterministic:

1. Stretches longer than a row are cut into full rows; what is left of each is an item like the short stretches.
2. Items are put into rows whole, largest first, each row taking the largest that still fits (first-fit decreasing).
   Equal lengths make equal rows, so rows are found by pattern rather than one by one.
3. Only if more than the budget for padding is then lost (stretches that are all a little over half a row, say), the
   rows with most room are taken apart and their items laid down one after the other, cut where a row ends.

The rejected alternative, cutting the whole stream every `row_length` tokens, pads nothing either, but cuts almost every
stretch; of a document that is cut neither part has its context.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from acclimate.tokens.cutting import Budget, Cutter, Piece
from acclimate.tokens.encoding import BREAK

IntArray = npt.NDArray[np.int64]

# Padding stays under 2 % from 100 rows on: of n rows 1.8 % less one row are the budget, since the last row may be
# nearly empty. Fewer rows may lose as much as 100 may.
_SHARE = 0.018
_MIN_ROWS = 0.8
# The share of the budget that each step may spend before the next.
_STEP_SHARE = 0.6
_SLACK = 16.0
_BLOCK = 1 << 16


@dataclass(frozen=True, eq=False)
class Plan:
    """Which tokens stand in which row.

    Attributes:
        rows: [R + 1] where each row's pieces begin in `pieces`, and the end.
        pieces: [P, 2] first token and end of each piece in the stream.
        row_length: tokens that a row holds, frames included.
        frame_length: tokens that the frame of each piece takes.
    """

    rows: IntArray
    pieces: IntArray
    row_length: int
    frame_length: int

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.rows) - 1

    def row(self, index: int) -> IntArray:
        """[k, 2] the pieces of a row, in the order of the stream."""
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of a plan of {len(self)}")
        return self.pieces[self.rows[index] : self.rows[index + 1]]

    @property
    def num_tokens(self) -> int:
        """The tokens of all pieces, without frames."""
        return int((self.pieces[:, 1] - self.pieces[:, 0]).sum())

    @property
    def row_lengths(self) -> IntArray:
        """[R] the tokens in each row, frames included."""
        sums = np.concatenate([[0], np.cumsum(self.pieces[:, 1] - self.pieces[:, 0] + self.frame_length)])
        lengths: IntArray = sums[self.rows[1:]] - sums[self.rows[:-1]]
        return lengths

    def padding_share(self) -> float:
        """The share of all places in rows that neither a token nor a frame takes; 0 for a plan without rows."""
        places = len(self) * self.row_length
        if places == 0:
            return 0.0
        return 1.0 - (self.num_tokens + self.frame_length * len(self.pieces)) / places


def pack(
    spans: npt.ArrayLike,
    flags: npt.NDArray[np.uint8],
    *,
    row_length: int,
    frame_length: int,
    packed: bool = True,
    breaks: int = BREAK,
) -> Plan:
    """Plan rows over a token stream.

    Args:
        spans: [n, 2] first token and end of each stretch to train on, such as `TokenStore.spans("group")`; they do
            not overlap. Empty ones give nothing.
        flags: [T] uint8 flags of the stream; cuts fall on `breaks` where they can.
        row_length: tokens in a row, frames included (`max_length`).
        frame_length: tokens that the frame around each piece takes, `len(text_frame(tokenizer))`.
        packed: put several pieces into a row. False for models whose attention cannot keep them apart: one piece a
            row, and padding is what it is.
        breaks: the flag of tokens before which rows may break: `BREAK`, which every store has; or `WORD_START` for an
            objective that needs the layer "words" anyway, which in Chinese tells words and not only characters.

    Returns:
        A plan whose pieces are exactly the spans: no token is lost or repeated. Packed, with `row_length` of 128 or
        more, 100 rows or more and a frame of at most 2 tokens, less than 2 % is padding (one-token spans, which
        cannot be cut, excepted).

    Raises:
        ValueError: a row has no room beside the frame.
    """
    if frame_length < 0 or row_length <= frame_length:
        raise ValueError(f"row_length ({row_length}) must exceed frame_length ({frame_length})")
    stretches = np.asarray(spans, np.int64).reshape(-1, 2)
    lengths = stretches[:, 1] - stretches[:, 0]
    stretches, lengths = stretches[lengths > 0], lengths[lengths > 0]
    cutter = Cutter(flags, row_length, frame_length, breaks)
    is_long = lengths > cutter.capacity

    allowance = _allowance(lengths, row_length, frame_length)
    long_budget = _budget(_STEP_SHARE * allowance, _num_rows(lengths, row_length, frame_length))
    if not packed:
        long_budget = Budget(rate=row_length, slack=0)
    full, left = cutter.cut_long(_one_by_one(stretches[is_long]), long_budget)
    items = np.concatenate([stretches[~is_long], left])
    del stretches, lengths, is_long, left  # a plan of billions of tokens has many rows
    if packed:
        item_pieces, item_rows = _pack_items(items, cutter, allowance - long_budget.spent)
    else:
        item_pieces, item_rows = items, np.arange(len(items))
    pieces = np.concatenate([full, item_pieces])
    rows = np.concatenate([np.arange(len(full)), item_rows + len(full)])
    del items, full, item_pieces, item_rows
    return _plan(pieces, rows, row_length, frame_length)


def _num_rows(lengths: IntArray, row_length: int, frame_length: int) -> int:
    """How many rows the stretches fill, at least one."""
    if len(lengths) == 0:
        return 1
    num_pieces = int((-(-lengths // (row_length - frame_length))).sum())
    return max(1, -(-int(lengths.sum() + frame_length * num_pieces) // row_length))


def _allowance(lengths: IntArray, row_length: int, frame_length: int) -> float:
    """How many tokens may be padding, beside the last row."""
    return max(_SHARE * _num_rows(lengths, row_length, frame_length) - 1, _MIN_ROWS) * row_length


def _budget(allowance: float, num_rows: int) -> Budget:
    """An allowance spread over `num_rows`, some of it at hand from the start."""
    slack = min(_SLACK, allowance / 4)
    return Budget(rate=max(0.0, allowance - slack) / max(1, num_rows), slack=slack)


def _pack_items(items: IntArray, cutter: Cutter, allowance: float) -> tuple[IntArray, IntArray]:
    """Put items that each fit into a row into rows.

    Returns:
        [P, 2] pieces and [P] the row of each.
    """
    costs = items[:, 1] - items[:, 0] + cutter.frame_length
    rows = _first_fit(costs, cutter.row_length)
    rooms = cutter.row_length - np.bincount(rows, weights=costs).astype(np.int64)
    if len(rooms) == 0 or rooms.sum() - rooms.max() <= allowance:
        return items, rows
    # Keep the fullest rows, as many as the budget bears; take the others apart.
    by_room = np.argsort(rooms, kind="stable")
    spent = np.cumsum(rooms[by_room])
    num_kept = int(np.searchsorted(spent, _STEP_SHARE * allowance, side="right"))
    if num_kept:
        allowance -= float(spent[num_kept - 1])
    new_number = np.full(len(rooms), -1, np.int64)
    new_number[by_room[:num_kept]] = np.arange(num_kept)
    kept = new_number[rows] >= 0

    loose = items[~kept]
    loose = loose[np.argsort(loose[:, 0], kind="stable")]
    num_rows = -(-int(costs[~kept].sum()) // cutter.row_length)
    laid = cutter.lay_down(_one_by_one(loose), _budget(max(0.0, allowance), num_rows))
    laid_rows = np.repeat(np.arange(len(laid)), [len(row) for row in laid]) + num_kept
    pieces = np.concatenate([items[kept], _as_array([piece for row in laid for piece in row])])
    return pieces, np.concatenate([new_number[rows[kept]], laid_rows])


def _first_fit(costs: IntArray, row_length: int) -> IntArray:
    """First-fit decreasing: [n] the row of each item.

    A row takes the largest item, then ever the largest that still fits. Which lengths it takes depends only on how
    many of each are there, so a row's pattern is laid out as often as the counts allow before the next is looked for.
    """
    order = np.argsort(costs, kind="stable")
    sizes, firsts, counts = (part.tolist() for part in np.unique(costs[order], return_index=True, return_counts=True))
    taken = dict(zip(sizes, firsts, strict=True))  # where in `order` the items of a size that are left begin
    remaining = dict(zip(sizes, counts, strict=True))
    rows = np.empty(len(costs), np.int64)
    num_rows = 0
    while sizes:
        pattern = _fullest(sizes, remaining, row_length)
        repeats = min(remaining[size] // number for size, number in pattern)
        for size, number in pattern:
            place = taken[size]
            chosen = order[place : place + number * repeats]
            rows[chosen] = num_rows + np.arange(number * repeats) // number
            taken[size] += number * repeats
            remaining[size] -= number * repeats
            if remaining[size] == 0:
                del sizes[bisect.bisect_left(sizes, size)]
        num_rows += repeats
    return rows


def _fullest(sizes: list[int], remaining: dict[int, int], room: int) -> list[tuple[int, int]]:
    """What a row takes, as (size, number); `sizes` are those left, ascending."""
    pattern = []
    index = len(sizes) - 1
    while index >= 0:
        size = sizes[index]
        number = min(remaining[size], room // size)
        pattern.append((size, number))
        room -= number * size
        index = bisect.bisect_right(sizes, room, 0, index) - 1
    return pattern


def _plan(pieces: IntArray, rows: IntArray, row_length: int, frame_length: int) -> Plan:
    """Sort pieces within rows, and rows by their first piece, into the order of the stream."""
    num_rows = int(rows.max()) + 1 if len(rows) else 0
    first = np.full(num_rows, np.iinfo(np.int64).max)
    np.minimum.at(first, rows, pieces[:, 0])
    bounds = np.zeros(num_rows + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=num_rows)[np.argsort(first)], out=bounds[1:])
    keys = first[rows]
    del first, rows
    order = np.lexsort((pieces[:, 0], keys))
    del keys
    return Plan(bounds, np.ascontiguousarray(pieces[order]), row_length, frame_length)


def _as_array(pieces: list[Piece]) -> IntArray:
    return np.array(pieces, np.int64).reshape(-1, 2)


def _one_by_one(pieces: IntArray) -> Iterator[Piece]:
    """The rows of an array as pairs of Python's numbers, a bounded number of them in memory."""
    for first in range(0, len(pieces), _BLOCK):
        yield from map(_piece, pieces[first : first + _BLOCK].tolist())


def _piece(bounds: list[int]) -> Piece:
    return bounds[0], bounds[1]
