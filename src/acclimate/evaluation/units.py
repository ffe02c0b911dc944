"""Held-out text as an evaluation reads it: with its characters, so that words, sentences and passages can be told.

A unit is what the bootstrap draws and what a token store calls a group: a document, or the lines of a held-out stretch
of a file, joined by line breaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from acclimate.corpus import Corpus
from acclimate.objectives.base import Objective
from acclimate.randomness import Purpose, generator
from acclimate.scoring.held_out import MASK_SEED
from acclimate.tokens.store import Isolate, TokenStore
from acclimate.tokens.tokenizers import plain_backend
from acclimate.tokens.words import batch_word_starts

# Of a text's held-out units at most so many are read again, or so many characters, chosen at random.
MOST_UNITS = 2_000
MOST_CHARACTERS = 4_000_000
# Tokens of context that a chosen question has, and those that an objective may add to them (sentinels, a mode).
CONTEXT, SPARE = 128, 8


@dataclass(frozen=True)
class Unit:
    """A held-out text.

    Attributes:
        number: of its group in the token store.
        name: the id of its document; of several, those of the first and the last.
        source: where it is from.
    """

    number: int
    name: str
    source: str
    text: str


@dataclass(frozen=True, eq=False)
class Encoded:
    """A unit in tokens.

    Attributes:
        ids: [T] without a frame.
        starts, ends: [T] the characters that each stands for, without the blanks around them.
        word_starts: [T] which of them begin a word.
    """

    unit: Unit
    ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    word_starts: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)

    def tokens_of(self, start: int, end: int) -> tuple[int, int] | None:
        """The first token and the end of those that stand for some characters, and for nothing else; None where there
        are none."""
        first = int(np.searchsorted(self.ends, start, side="right"))
        last = int(np.searchsorted(self.starts, end, side="left"))
        if first >= last or self.starts[first] != start or self.ends[last - 1] != end:
            return None
        return first, last

    def window(self, first: int, last: int, room: int, *, before_only: bool = False) -> tuple[int, int]:
        """At most `room` tokens around some, from the beginning of a word on: the first of them, and their end.

        Args:
            before_only: they end with the given ones.
        """
        spare = max(0, room - (last - first))
        end = last if before_only else min(len(self), last + spare // 2)
        begin = max(0, end - room)
        if not before_only:
            end = min(len(self), begin + room)
        while begin < first and begin > 0 and not self.word_starts[begin]:
            begin += 1
        return begin, end


@dataclass(frozen=True, eq=False)
class Reading:
    """Some units as one tokenizer reads them, and the objective that asks about them."""

    objective: Objective
    tokenizer: PreTrainedTokenizerBase
    units: Sequence[Encoded]

    def room(self, most: int = CONTEXT) -> int:
        """Tokens of text that a question may have."""
        return max(4, min(most, self.objective.max_length - len(self.objective.frame) - SPARE))


def can_be_encoded(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a tokenizer tells which characters its tokens stand for."""
    return bool(tokenizer.is_fast)


def encode_units(units: Sequence[Unit], tokenizer: PreTrainedTokenizerBase) -> list[Encoded]:
    """Units in tokens."""
    encodings = plain_backend(tokenizer).encode_batch([unit.text for unit in units], add_special_tokens=False)
    return [_encoded(unit, encoding.ids, encoding.offsets) for unit, encoding in zip(units, encodings, strict=True)]


def _encoded(unit: Unit, ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> Encoded:
    bounds = np.array(offsets, dtype=np.int64).reshape(-1, 2)
    words = batch_word_starts([unit.text], bounds[:, 0], bounds[:, 1], np.array([len(bounds)]))
    blank = np.fromiter(map(str.isspace, unit.text), np.bool_, len(unit.text))
    # The first character from each on that is no blank, and the end of the last one before each that is none.
    places = np.arange(len(blank))
    following = np.append(np.minimum.accumulate(np.where(blank, len(blank), places)[::-1])[::-1], len(blank))
    preceding = np.concatenate([[0], np.maximum.accumulate(np.where(blank, 0, places + 1))])
    starts = np.minimum(following[bounds[:, 0]], bounds[:, 1])
    ends = np.maximum(preceding[bounds[:, 1]], starts)
    # Bytes of one character may come in any order of their ends; searches need ascending ones.
    return Encoded(
        unit, np.array(ids, dtype=np.int64), np.maximum.accumulate(starts), np.maximum.accumulate(ends), words
    )


def read_units(corpus: Corpus, store: TokenStore, isolate: Isolate) -> list[Unit]:
    """The held-out units of a corpus, or a sample of them, in their order."""
    by_group = isolate != "document"
    groups = np.asarray(store.document_groups) if by_group else np.arange(len(store.documents))
    order = generator(MASK_SEED, Purpose.SAMPLES, 1).permutation(len(np.unique(groups)))
    chosen = set(order[:MOST_UNITS].tolist())
    sources = SourceNames(corpus)
    texts: dict[int, list[str]] = {}
    names: dict[int, list[str]] = {}
    for group, document in zip(groups.tolist(), corpus.documents("held_out"), strict=True):
        if group in chosen:
            texts.setdefault(group, []).append(document.text)
            names.setdefault(group, []).append(document.id)
    units: dict[int, Unit] = {}
    characters = 0
    for group in (group for group in order.tolist() if group in texts):
        text = "\n".join(texts[group])
        characters += len(text)
        if units and characters > MOST_CHARACTERS:
            break
        number = group if by_group else int(store.document_groups[group])
        units[group] = Unit(number, unit_name(names[group]), sources.of(names[group][0]), text)
    return [units[group] for group in sorted(units)]


def unit_name(documents: Sequence[str]) -> str:
    """How some documents that belong together are called."""
    return documents[0] if len(documents) == 1 else f"{documents[0]} … {documents[-1]}"


class SourceNames:
    """Where documents are from: the source of several that a corpus has, else the folder that its paths begin with."""

    def __init__(self, corpus: Corpus) -> None:
        inputs: Sequence[Any] = corpus.manifest.get("inputs", ())
        self._names = sorted((str(entry["name"]) for entry in inputs if entry["name"]), key=len, reverse=True)

    def of(self, document: str) -> str:
        for name in self._names:
            if document == name or document.startswith((f"{name}/", f"{name}#")):
                return name
        path = document.partition("#")[0]
        return path.partition("/")[0] if "/" in path else path if "#" in document else "."
