"""Rows of tokens before corruption, read from a token store."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acclimate.objectives.vocabulary import Vocabulary
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
        segment_ids: [L] int64; which piece of the row a token belongs to, from 0.
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

    def __len__(self) -> int:
        return len(self.input_ids)

    def piece(self, segment: int) -> Row:
        """One piece of the row by itself."""
        chosen = self.segment_ids == segment
        return Row(
            self.input_ids[chosen],
            self.candidates[chosen],
            self.word_starts[chosen],
            self.sentence_starts[chosen],
            np.zeros(int(chosen.sum()), dtype=np.int64),
            self.position_ids[chosen],
            self.places[chosen],
        )

    def without_candidates(self, mask: NDArray[np.bool_]) -> Row:
        """The row with fewer candidates: none where `mask` [L] is true."""
        return dataclasses.replace(self, candidates=self.candidates & ~mask)

    @property
    def num_pieces(self) -> int:
        return int(self.segment_ids[-1]) + 1 if len(self) else 0


def read_row(store: TokenStore, pieces: NDArray[np.int64], vocabulary: Vocabulary, frame: Frame | None = None) -> Row:
    """The tokens of some pieces ([k, 2] token ranges of the store), each framed (default: as the tokenizer does)."""
    frame = vocabulary.frame if frame is None else frame
    read = [_framed(store, int(start), int(end), frame) for start, end in pieces]
    ids, inside, starts, sentences, places = (np.concatenate(part) for part in zip(*read, strict=True))
    lengths = [len(part[0]) for part in read]
    return Row(
        input_ids=ids,
        candidates=inside & ~vocabulary.special[ids],
        word_starts=starts,
        sentence_starts=sentences,
        segment_ids=np.repeat(np.arange(len(lengths)), lengths),
        position_ids=np.concatenate([np.arange(length) for length in lengths]),
        places=places,
    )


def _framed(
    store: TokenStore, start: int, end: int, frame: Frame
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """Ids, whether they are text, whether they begin a word or a sentence, and their places."""
    before, after = len(frame.prefix), len(frame.suffix)
    flags = store.flags[start:end]
    ids = np.concatenate([frame.prefix, store.ids[start:end], frame.suffix]).astype(np.int64)
    # Joints are ours, not the text's.
    inside = np.pad((flags & JOINT) == 0, (before, after))
    word_starts = np.pad((flags & WORD_START) != 0, (before, after))
    sentence_starts = np.pad((flags & SENTENCE_START) != 0, (before, after))
    if end > start:
        word_starts[before] = True
    places = np.pad(np.arange(start, end), (before, after), constant_values=NO_PLACE)
    return ids, inside, word_starts, sentence_starts, places


def count_places(places: Collection[NDArray[np.int64]], size: int) -> NDArray[np.int64]:
    """How often each token of a store occurs in some arrays of places: [size]."""
    counts = np.zeros(size, dtype=np.int64)
    for part in places:
        np.add.at(counts, part[part != NO_PLACE], 1)
    return counts
