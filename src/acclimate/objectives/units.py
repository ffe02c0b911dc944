"""Tokens, words and spans of words chosen at random from the rows of a batch, all rows at once.

What is chosen of a row depends on that row and its own generator alone, so that it is the same in any batch.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from acclimate.objectives.rows import Rows, begin_stretches, ranges
from acclimate.randomness import uniform

# SpanBERT's span lengths in words: geometric with p = 0.2, cut at 10 (mean 3.8).
MAX_SPAN = 10
_GEOMETRIC = 0.2 * 0.8 ** np.arange(MAX_SPAN)
SPAN_LENGTHS = _GEOMETRIC / _GEOMETRIC.sum()
_CUMULATED = np.cumsum(SPAN_LENGTHS)[:-1].tolist()
# How often a span that overlaps what is chosen, or runs over the end of its text, is drawn anew before it is cut.
_SPAN_TRIES = 10

Span = tuple[int, int]  # its first word, and the word behind its last


class Units(NamedTuple):
    """Units of tokens of the rows of a batch, those of a row together; U units of N tokens.

    Attributes:
        tokens: [N] where the tokens stand in the rows end to end, unit by unit, ascending in each.
        lengths: [U] tokens of each unit.
        rows: [U] the row of each unit, ascending.
    """

    tokens: NDArray[np.int64]
    lengths: NDArray[np.int64]
    rows: NDArray[np.int64]

    def some(self, numbers: NDArray[np.int64]) -> Units:
        """The units of some numbers, in their order."""
        firsts, lengths = np.cumsum(self.lengths) - self.lengths, self.lengths[numbers]
        return Units(self.tokens[ranges(firsts[numbers], lengths)], lengths, self.rows[numbers])


def units_of(rows: Rows, *, by_token: bool) -> Units:
    """The candidates of some rows, each by itself or grouped into words: a word ends where the next starts, at a
    special token, and at its text's end."""
    tokens = np.flatnonzero(rows.tokens.candidates)
    if by_token:
        return Units(tokens, np.ones(len(tokens), dtype=np.int64), rows.row_ids[tokens])
    begins = rows.tokens.word_starts[tokens] | begin_stretches(tokens)
    begins |= np.diff(rows.piece_ids[tokens], prepend=-1) > 0
    firsts = np.flatnonzero(begins)
    return Units(tokens, np.diff(firsts, append=len(tokens)), rows.row_ids[tokens[firsts]])


def share_of_units(units: Units, share: float, rngs: Sequence[np.random.Generator]) -> Units:
    """Units that are a share of each row's tokens on average, at least one; each unit of a row is as likely as any
    other, whatever its length.

    The units are laid end to end in random order on a circle, and those that start within an arc of `share` of it at a
    random place are chosen: the arc covers any start with a probability of `share`.
    """
    num_units = np.bincount(units.rows, minlength=len(rngs))
    order = _in_random_order(num_units, rngs)
    lengths = units.lengths[order]
    starts = np.cumsum(lengths) - lengths
    # Of each row, then as of each of its units.
    filled = num_units > 0
    firsts = (np.cumsum(num_units) - num_units)[filled]
    circumferences = np.bincount(units.rows, weights=units.lengths, minlength=len(rngs))
    arcs = uniform(rngs, np.ones_like(num_units)) * circumferences
    around = circumferences[units.rows]
    distances = starts - np.repeat(starts[firsts], num_units[filled]) - arcs[units.rows]
    distances += np.where(distances < 0, around, 0)
    chosen = distances < share * around
    if len(firsts):
        for first in firsts[~np.logical_or.reduceat(chosen, firsts)].tolist():
            last = first + num_units[units.rows[first]]
            chosen[first + distances[first:last].argmin()] = True
    return units.some(order[chosen])


def some_units(rows: Rows, units: Units, number: int, rngs: Sequence[np.random.Generator]) -> Units:
    """Just so many units of every piece of the rows, or all where it has fewer; any of them alike."""
    num_units = np.bincount(_pieces_of(rows, units), minlength=int(rows.num_pieces.sum()))
    of_pieces = itertools.chain.from_iterable(map(itertools.repeat, rngs, rows.num_pieces.tolist()))
    order = _in_random_order(num_units, of_pieces)
    return units.some(order[ranges(np.zeros_like(num_units), num_units) < number])


def _in_random_order(counts: NDArray[np.int64], rngs: Iterable[np.random.Generator]) -> NDArray[np.int64]:
    """The numbers from 0 on in groups of some sizes, those of each group in an order of its generator's."""
    orders = [rng.permutation(count) for rng, count in zip(rngs, counts.tolist(), strict=True)]
    numbers: NDArray[np.int64] = np.concatenate(orders) + np.repeat(np.cumsum(counts) - counts, counts)
    return numbers


def _pieces_of(rows: Rows, units: Units) -> NDArray[np.int64]:
    """[U] the piece that each unit is in, counted through all rows."""
    pieces: NDArray[np.int64] = rows.piece_ids[units.tokens[np.cumsum(units.lengths) - units.lengths]]
    return pieces


# ---- spans -----------------------------------------------------------------------------------------------------


def share_of_spans(rows: Rows, words: Units, share: float, rngs: Sequence[np.random.Generator]) -> Units:
    """Spans of words at random places that are a share of each row's tokens on average; at least one."""
    ends = np.concatenate([[0], np.cumsum(words.lengths)])
    pieces = _pieces_of(rows, words)
    chosen = []
    for rng, first, last in zip(rngs, *_bounds(words.rows, len(rngs)), strict=True):
        spans = spans_at_random(pieces[first:last].tolist(), rng)
        row_ends = ends[first : last + 1].tolist()
        budget = share * (row_ends[-1] - row_ends[0])
        chosen += [(first + start, first + end) for start, end in _spend(budget, spans, row_ends, rng)]
    return _joined(words, ends, chosen)


def some_spans(rows: Rows, words: Units, number: int, rngs: Sequence[np.random.Generator]) -> Units:
    """Just so many spans of words of every piece of the rows, or fewer where it has no more words."""
    ends = np.concatenate([[0], np.cumsum(words.lengths)])
    firsts, lasts = _bounds(_pieces_of(rows, words), int(rows.num_pieces.sum()))
    of_pieces = itertools.chain.from_iterable(map(itertools.repeat, rngs, rows.num_pieces.tolist()))
    chosen = []
    for rng, first, last in zip(of_pieces, firsts, lasts, strict=True):
        spans = itertools.islice(spans_at_random([0] * (last - first), rng), number)
        chosen += [(first + start, first + end) for start, end in spans]
    return _joined(words, ends, chosen)


def _bounds(groups: NDArray[np.int64], num_groups: int) -> tuple[list[int], list[int]]:
    """Where each of some groups begins and ends in an ascending array."""
    ends = np.cumsum(np.bincount(groups, minlength=num_groups)).tolist()
    return [0, *ends[:-1]], ends


def _joined(words: Units, ends: NDArray[np.int64], spans: list[Span]) -> Units:
    """Spans of words as units; `ends` are the tokens of the first so many words."""
    bounds = np.array(spans, dtype=np.int64).reshape(-1, 2)
    firsts = ends[bounds[:, 0]]
    lengths = ends[bounds[:, 1]] - firsts
    return Units(words.tokens[ranges(firsts, lengths)], lengths, words.rows[bounds[:, 0]])


def _spend(budget: float, spans: Iterator[Span], ends: list[int], rng: np.random.Generator) -> list[Span]:
    """Take spans until the budget of tokens is spent; at least one. The span that would overrun it is taken with the
    probability that keeps the expected number of tokens exact."""
    chosen: list[Span] = []
    left = budget
    for start, end in spans:
        length = ends[end] - ends[start]
        if length > left and chosen and rng.random() >= left / length:
            break
        chosen.append((start, end))
        left -= length
        if left <= 0:
            break
    return chosen


def spans_at_random(pieces: list[int], rng: np.random.Generator) -> Iterator[Span]:
    """Spans of SpanBERT's lengths at random places, not overlapping, until every word is in one.

    Args:
        pieces: the piece that each word is in, ascending; no span crosses from one into another.
    """
    num_words = num_left = len(pieces)
    taken = [False] * num_words
    while num_left:
        length = bisect.bisect(_CUMULATED, rng.random()) + 1
        for _ in range(_SPAN_TRIES):
            start = int(rng.random() * num_words)
            end = start + length
            if end <= num_words and pieces[start] == pieces[end - 1] and True not in taken[start:end]:
                break
        else:
            # No room for a whole one: what fits, from a free word on.
            free = [word for word in range(num_words) if not taken[word]]
            start = free[int(rng.random() * len(free))]
            end = start + 1
            while end < min(start + length, num_words) and not taken[end] and pieces[end] == pieces[start]:
                end += 1
        taken[start:end] = [True] * (end - start)
        num_left -= end - start
        yield start, end
