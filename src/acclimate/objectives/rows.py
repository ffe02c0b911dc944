"""Rows of tokens before corruption, read from a token store: one by one, or those of a batch end to end."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acclimate.objectives.vocabulary import Vocabulary
from acclimate.tokens.packing import Plan
from acclimate.tokens.store import JOINT, SENTENCE_START, WORD_START, TokenStore
from acclimate.tokens.tokenizers import Frame

NO_PLACE = -1  # of a token that stands for nothing in the store


@dataclass(frozen=True)
class Row:
    """One row before corruption, without padding.

    Attributes:
        input_ids: [L] int64, each piece framed as the objective frames a text.
        candidates: [L] bool; tokens of the text itself: no frame, no joint, no special token.
        word_starts: [L] bool; where a word begins. The first token of a piece begins one.
        sentence_starts: [L] bool; where a sentence begins.
        segment_ids: [L] int64; which piece of the row a token belongs to, ascending from 0.
        position_ids: [L] int64; position within the piece, frame included, from 0.
        places: [L] int64; where in the token stream a token stands, `NO_PLACE` for those of a frame.
    """

    input_ids: NDArray[np.int64]
    candidates: NDArray[np.bool_]
    word_starts: NDArray[np.bool_]
    sentence_starts: NDArray[np.bool_]
    segment_ids: NDArray[np.int64]
    position_ids: NDArray[np.int64]
    places: NDArray[np.int64]

    @classmethod
    def of_text(cls, ids: NDArray[np.int64], vocabulary: Vocabulary, frame: Frame) -> Row:
        """A text by itself as a row of one piece; its places are those within the text."""
        before, length = len(frame.prefix), len(ids) + len(frame)
        input_ids = np.concatenate([frame.prefix, ids, frame.suffix]).astype(np.int64)
        places = np.full(length, NO_PLACE, dtype=np.int64)
        places[before : before + len(ids)] = np.arange(len(ids))
        is_text, first = places != NO_PLACE, places == 0
        return cls(
            input_ids=input_ids,
            candidates=is_text & ~vocabulary.special[input_ids],
            word_starts=first,
            sentence_starts=first,
            segment_ids=np.zeros(length, dtype=np.int64),
            position_ids=np.arange(length),
            places=places,
        )

    def __len__(self) -> int:
        return len(self.input_ids)

    def piece(self, segment: int) -> Row:
        """One piece of the row by itself."""
        if self.num_pieces == 1:
            return self
        start, end = self.segment_ids.searchsorted((segment, segment + 1)).tolist()
        return self.only(slice(start, end), segment)

    def only(self, chosen: NDArray[np.bool_] | slice, first_segment: int = 0) -> Row:
        """Some of the tokens; pieces are counted from `first_segment` on."""
        return Row(
            self.input_ids[chosen],
            self.candidates[chosen],
            self.word_starts[chosen],
            self.sentence_starts[chosen],
            self.segment_ids[chosen] - first_segment,
            self.position_ids[chosen],
            self.places[chosen],
        )

    @property
    def num_pieces(self) -> int:
        return int(self.segment_ids[-1]) + 1 if len(self) else 0


@dataclass(frozen=True)
class Rows:
    """The rows of a batch, end to end, so that what is done to each can be done to all at once. T tokens, P pieces.

    Attributes:
        tokens: [T] in each field; segments and positions are those of each row.
        lengths: [B] tokens in each row.
    """

    tokens: Row
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Rows:
        """Some rows, at least one, put end to end."""
        if len(rows) == 1:
            return cls(rows[0], np.array([len(rows[0])]))
        fields = [field.name for field in dataclasses.fields(Row)]
        tokens = Row(*(np.concatenate([getattr(row, name) for row in rows]) for name in fields))
        return cls(tokens, np.array([len(row) for row in rows]))

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.lengths)

    def __iter__(self) -> Iterator[Row]:
        start = 0
        for end in np.cumsum(self.lengths).tolist():
            yield self.tokens.only(slice(start, end))
            start = end

    @functools.cached_property
    def row_ids(self) -> NDArray[np.int64]:
        """[T] which row a token belongs to, from 0."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @functools.cached_property
    def num_pieces(self) -> NDArray[np.int64]:
        """[B] pieces in each row."""
        counts = np.zeros(len(self), dtype=np.int64)
        filled = self.lengths > 0
        counts[filled] = self.tokens.segment_ids[np.cumsum(self.lengths)[filled] - 1] + 1
        return counts

    @functools.cached_property
    def piece_ids(self) -> NDArray[np.int64]:
        """[T] which piece a token belongs to, counted through all rows."""
        return self.tokens.segment_ids + np.repeat(np.cumsum(self.num_pieces) - self.num_pieces, self.lengths)

    def without_candidates(self, mask: NDArray[np.bool_]) -> Rows:
        """The rows with fewer candidates: none where `mask` [T] is true."""
        candidates = self.tokens.candidates & ~mask
        return dataclasses.replace(self, tokens=dataclasses.replace(self.tokens, candidates=candidates))

    def split(self, fields: Mapping[str, NDArray[Any]]) -> list[dict[str, NDArray[Any]]]:
        """Fields of all tokens, [T] each, as the fields of each row."""
        ends = np.cumsum(self.lengths).tolist()
        return [
            {name: values[start:end] for name, values in fields.items()}
            for start, end in zip([0, *ends], ends, strict=False)
        ]


def read_rows(
    store: TokenStore, plan: Plan, numbers: Sequence[int], vocabulary: Vocabulary, frame: Frame | None = None
) -> Rows:
    """The rows of a plan of some numbers, each piece framed (default: as the tokenizer does), read in one go."""
    pieces, counts = pieces_of(plan, numbers)
    return read_pieces(store, pieces, counts, vocabulary, frame)


def pieces_of(plan: Plan, numbers: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pieces of some rows of a plan, [P, 2] token ranges, and how many each row has: [B].

    Raises:
        IndexError: the plan has no such row.
    """
    rows = np.asarray(numbers, dtype=np.int64)
    if len(rows) and not (rows.min() >= 0 and rows.max() < len(plan)):
        raise IndexError(f"rows {rows.min()} to {rows.max()} of a plan of {len(plan)}")
    firsts = plan.rows[rows]
    counts = plan.rows[rows + 1] - firsts
    return plan.pieces[ranges(firsts, counts)], counts


def read_row(store: TokenStore, pieces: NDArray[np.int64], vocabulary: Vocabulary, frame: Frame | None = None) -> Row:
    """The tokens of some pieces ([P, 2] token ranges of the store), each framed (default: as the tokenizer does), as
    one row."""
    return read_pieces(store, pieces, np.array([len(pieces)]), vocabulary, frame).tokens


def read_pieces(
    store: TokenStore,
    pieces: NDArray[np.int64],
    counts: NDArray[np.int64],
    vocabulary: Vocabulary,
    frame: Frame | None = None,
) -> Rows:
    """The rows that some pieces make, read in one go.

    Args:
        pieces: [P, 2] token ranges of the store.
        counts: [B] how many of them each row has.
        frame: around each piece; default the tokenizer's.
    """
    frame = vocabulary.frame if frame is None else frame
    before, after = len(frame.prefix), len(frame.suffix)
    sizes = pieces[:, 1] - pieces[:, 0]
    lengths = sizes + (before + after)
    ends = np.cumsum(lengths)
    firsts = ends - lengths
    total = int(lengths.sum())
    # Where the tokens of the store go, and where they are from: one gather for the whole batch.
    text, stream = ranges(firsts + before, sizes), ranges(pieces[:, 0], sizes)

    ids = np.empty(total, dtype=np.int64)
    ids[text] = store.ids[stream]
    for offset, token in enumerate(frame.prefix):
        ids[firsts + offset] = token
    for offset, token in enumerate(frame.suffix):
        ids[ends - after + offset] = token
    # Joints are ours, not the text's; so is the frame.
    flags = np.full(total, JOINT, dtype=np.uint8)
    flags[text] = store.flags[stream]
    places = np.full(total, NO_PLACE, dtype=np.int64)
    places[text] = stream
    word_starts = (flags & WORD_START) != 0
    word_starts[(firsts + before)[sizes > 0]] = True
    within_row = np.arange(len(pieces)) - np.repeat(np.cumsum(counts) - counts, counts)
    tokens = Row(
        input_ids=ids,
        candidates=((flags & JOINT) == 0) & ~vocabulary.special[ids],
        word_starts=word_starts,
        sentence_starts=(flags & SENTENCE_START) != 0,
        segment_ids=np.repeat(within_row, lengths),
        position_ids=np.arange(total) - np.repeat(firsts, lengths),
        places=places,
    )
    row_ends = np.concatenate([[0], ends])[np.cumsum(counts)]
    return Rows(tokens, np.diff(row_ends, prepend=0))


def ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The whole numbers from each start on, so many as its length says, end to end."""
    ends = lengths.cumsum()
    total = int(ends[-1]) if len(ends) else 0
    shifts: NDArray[np.int64] = starts - ends + lengths
    return np.arange(total) + np.repeat(shifts, lengths)


def begin_stretches(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of some ascending whole numbers begin a stretch of neighbours: those that do not follow the one before."""
    begins = np.ones(len(numbers), dtype=bool)
    np.not_equal(numbers[1:], numbers[:-1] + 1, out=begins[1:])
    return begins


def count_places(places: Collection[NDArray[np.int64]], size: int) -> NDArray[np.int64]:
    """How often each token of a store occurs in some arrays of places: [size]."""
    counts = np.zeros(size, dtype=np.int64)
    for part in places:
        np.add.at(counts, part[part != NO_PLACE], 1)
    return counts
