"""Rows of two segments, A and B, for next-sentence prediction and sentence-order prediction.

A document is cut into halves of a row, at ends of sentences where one comes late enough in the half and between words
otherwise; neighbouring halves are a pair. Nothing is truncated and nothing is left over: what is too short for another
pair is halved itself. 10 % of the pairs are shorter (Devlin et al. 2019).

For next-sentence prediction half of the pairs of an epoch, chosen anew each time, exchange their second halves, always
between documents. So every token is in just one row of an epoch, and A and B by themselves look the same in both kinds
of pairs: nothing but whether they belong together tells them apart. Rejected: BERT's own script, which puts back the
text that a random B displaced, decides once for all epochs, and truncates what does not fit.

Labelled pairs (the `pair` setting of a source) are rows as they are; of one that is too long, the longer text loses its
end, as in `tokenizer(a, b, truncation="longest_first")`, and the plan counts what was lost.
"""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from acclimate.errors import DataError
from acclimate.randomness import Purpose, generator
from acclimate.tokens.packing import Plan
from acclimate.tokens.store import IS_RANDOM, JOINT, SECOND_START, SENTENCE_START, WORD_START, Isolate, TokenStore

IntArray: TypeAlias = NDArray[np.int64]
Piece: TypeAlias = tuple[int, int]

# Devlin et al. 2019: 10 % of the pairs are shorter, "to minimize the mismatch between pre-training and fine-tuning".
SHORT_PAIRS = 0.1
# A sentence's end ends a half where it comes in this last share of it; otherwise a word's end does.
_LATE = 0.25
FREE = -1
IN_PLACE, SWAPPED = 0, 1  # of labels: consecutive or random, in order or swapped


@dataclasses.dataclass(frozen=True, eq=False)
class PairPlan(Plan):
    """A plan of two pieces a row, A and B.

    Attributes:
        contexts: [R] which stretch of the store (a document or group) a row is from.
        labels: [R] the label that a labelled pair came with, `FREE` for pairs cut from documents.
        num_truncated: tokens of labelled pairs that did not fit.
        num_left_out: tokens of stretches that are too short to be halved.
    """

    contexts: IntArray
    labels: IntArray
    num_truncated: int
    num_left_out: int


def plan_pairs(store: TokenStore, isolate: Isolate, *, row_length: int, frame_length: int, seed: int) -> PairPlan:
    """Cut a store into pairs.

    Args:
        isolate: what a pair may not cross; "none" counts as "group".
        row_length: tokens in a row, frame included.
        frame_length: tokens of the frame around both segments (3 for BERT).
        seed: of which pairs are shorter.

    Raises:
        DataError: a row has no room for two segments.
    """
    room = row_length - frame_length
    if room < 4:
        raise DataError(f"`max_length` of {row_length} leaves no room for two segments of text; give at least 8")
    spans = store.spans("document" if isolate == "document" else "group")
    rng = generator(seed, Purpose.PAIRS)
    cutter = _Cutter(store, room, rng)
    seconds = np.flatnonzero(store.flags[:] & SECOND_START) if store.has_pairs else np.empty(0, dtype=np.int64)
    pieces: list[Piece] = []
    contexts: list[int] = []
    labels: list[int] = []
    truncated = left_out = 0
    for context, (start, end) in enumerate(spans.tolist()):
        second = seconds[np.searchsorted(seconds, start) :][:1]
        if len(second) and second[0] < end:
            halves, lost = _labelled(store, start, int(second[0]), end, room)
            truncated += lost
            label = int(bool(store.flags[second[0]] & IS_RANDOM))
        else:
            halves, label = cutter.halves(start, end), FREE
            left_out += end - start if not halves else 0
        pieces += halves
        contexts += [context] * (len(halves) // 2)
        labels += [label] * (len(halves) // 2)
    return PairPlan(
        rows=np.arange(0, len(pieces) + 1, 2, dtype=np.int64),
        pieces=np.array(pieces, dtype=np.int64).reshape(-1, 2),
        row_length=row_length,
        # Three frame tokens for two pieces: `row_lengths` of the plan is not used for pairs.
        frame_length=frame_length // 2,
        contexts=np.array(contexts, dtype=np.int64),
        labels=np.array(labels, dtype=np.int64),
        num_truncated=truncated,
        num_left_out=left_out,
    )


class _Cutter:
    """Cuts stretches into an even number of halves."""

    def __init__(self, store: TokenStore, room: int, rng: np.random.Generator) -> None:
        flags = store.flags[:]
        self.sentences = np.flatnonzero(flags & SENTENCE_START)
        # No half starts with a joint, where words are told.
        self.words = np.flatnonzero((flags & (WORD_START | JOINT)) == WORD_START)
        self.room = room
        self.rng = rng

    def halves(self, start: int, end: int) -> list[Piece]:
        """The halves of a stretch, an even number; none where it has fewer than two tokens."""
        if end - start < 2:
            return []
        halves: list[Piece] = []
        length = 0
        while start < end:
            if len(halves) % 2 == 0:
                length = self._length()
            # One token more than `length` is no overflow, and it spares a rest that could not be halved.
            cut = end if end - start <= length + 1 else self._boundary(start, length)
            halves.append((start, cut))
            start = cut
        if len(halves) % 2:
            # The last half has no partner: it is halved itself.
            first, last = halves.pop()
            middle = self._boundary(first, (last - first + 1) // 2)
            halves += [(first, middle), (middle, last)]
        return halves

    def _length(self) -> int:
        """How long the halves of the next pair may be, but for one token that a row keeps in reserve for each."""
        longest = self.room // 2 - 1
        if self.rng.random() < SHORT_PAIRS:
            return max(1, min(longest, int(self.rng.integers(2, self.room)) // 2))
        return longest

    def _boundary(self, start: int, length: int) -> int:
        """Where a half that begins at `start` ends, at most `length` tokens on: at a sentence's end that comes late in
        it, else at a word's end."""
        latest = start + length
        late = start + max(1, int((1 - _LATE) * length))
        for boundaries, earliest in ((self.sentences, late), (self.words, start + 1)):
            index = int(np.searchsorted(boundaries, latest, side="right")) - 1
            if index >= 0 and boundaries[index] >= earliest:
                return int(boundaries[index])
        return latest


def _labelled(store: TokenStore, start: int, second: int, end: int, room: int) -> tuple[list[Piece], int]:
    """The two texts of a labelled pair, cut to fit, and how many tokens that cost."""
    first_end = second
    while first_end > start and store.flags[first_end - 1] & JOINT:
        first_end -= 1
    lengths = [first_end - start, end - second]
    excess = max(0, sum(lengths) - room)
    for _ in range(excess):
        lengths[int(lengths[1] > lengths[0])] -= 1
    return [(start, start + lengths[0]), (second, second + lengths[1])], excess


def exchange(plan: PairPlan, epoch: int, seed: int) -> tuple[IntArray, IntArray]:
    """Which row's second segment each row has in an epoch, and each row's label: [R], [R].

    Half of the free pairs have one from another context. They exchange theirs among each other by turning a list that
    is sorted by context; only where one context has more than half of them do the ones that would meet their own
    context borrow from any other row.
    """
    partners = np.arange(len(plan))
    labels = np.where(plan.labels == FREE, IN_PLACE, plan.labels)
    free = np.flatnonzero(plan.labels == FREE)
    if len(free) == 0:
        return partners, labels
    rng = generator(seed, Purpose.PAIRS, 1 + epoch)
    order = rng.permutation(free)
    chosen = order[: (len(free) + int(rng.integers(2))) // 2]
    chosen = chosen[np.argsort(plan.contexts[chosen], kind="stable")]
    if len(chosen) == 0:
        return partners, labels
    largest = int(np.unique(plan.contexts[chosen], return_counts=True)[1].max())
    given = np.roll(chosen, -largest)
    same = plan.contexts[given] == plan.contexts[chosen]
    for context in np.unique(plan.contexts[chosen[same]]):
        lonely = same & (plan.contexts[chosen] == context)
        given[lonely] = rng.choice(free[plan.contexts[free] != context], size=int(lonely.sum()))
    partners[chosen] = given
    labels[chosen] = SWAPPED
    return partners, labels


def check_contexts(plan: PairPlan, name: str) -> None:
    """Refuse a plan in which no second segment can come from elsewhere.

    Raises:
        DataError: all pairs are of one document.
    """
    free = plan.contexts[plan.labels == FREE]
    if len(free) and len(np.unique(free)) < 2:
        raise DataError(
            f"`{name}` takes every other second segment from a different document, and this corpus has only one "
            "(with `isolate: group` a file read by line is one document); add documents, set `isolate: document` where "
            "lines are texts of their own, or use `mlm`, or `mlm_sop` on ALBERT"
        )
