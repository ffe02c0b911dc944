"""Labelled pairs: two texts of a record, and whether the second one follows the first or was chosen at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acclimate.corpus.document import PAIR, Pair
from acclimate.corpus.pieces import Piece
from acclimate.corpus.settings import PairSettings
from acclimate.errors import DataError, RecipeError

SEPARATOR = "\n"

# Labels that say themselves what they mean, lower case, without blanks, hyphens and underscores; true: random.
_WORDS = {
    "next": False,
    "isnext": False,
    "consecutive": False,
    "random": True,
    "notnext": True,
    "israndom": True,
}
# Conventions by label. 1 belongs to two: with 0 it is the larger of both numbers, with 2 the smaller.
_WORDS_ONLY = frozenset({"words"})
_TRUTH_VALUES = frozenset({"true and false"})
_NUMBERS: dict[int, frozenset[str]] = {
    0: frozenset({"0 and 1"}),
    1: frozenset({"0 and 1", "1 and 2"}),
    2: frozenset({"1 and 2"}),
}


class MixedLabels(DataError):
    """Labels of one file that cannot all be meant in one way."""


@dataclass(frozen=True, slots=True)
class _Label:
    """A label as it was read: by which conventions, whether it is the 1 (or true) of those, or what a word says."""

    written: str
    conventions: frozenset[str]
    is_one: bool = False
    word_says_random: bool | None = None


class PairReader:
    """Turns the records of one file into pairs, all of whose labels follow one convention.

    Args:
        settings: which fields hold the texts and the label, and what a 1 means.
        where: names the file or data set in errors.
    """

    def __init__(self, settings: PairSettings, where: str) -> None:
        self._settings = settings
        self._where = where
        self._seen: dict[str, tuple[_Label, str]] = {}

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that a record must have: of the two texts, and of the label where there is one."""
        texts = self._settings.first, self._settings.second
        return (*texts, self._settings.label) if self._settings.labelled else texts

    def read(self, record: Mapping[str, Any], anchor: str) -> Piece:
        """The piece of one record, clean already; dropped with a reason where it is no pair.

        Raises:
            MixedLabels: the label does not go with one of an earlier record.
            RecipeError: the label is a number or truth value, and the settings do not say what it means.
        """
        texts = [record.get(name) for name in self.fields[:2]]
        first, second = (_clean(text) for text in texts)
        piece = Piece(
            first.text + SEPARATOR + second.text,
            first.characters + second.characters,
            anchor=anchor,
            added=first.added + second.added + len(SEPARATOR),
            removed={
                reason: first.removed.get(reason, 0) + second.removed.get(reason, 0)
                for reason in {**first.removed, **second.removed}
            },
        )
        for name, text, cleaned in zip(self.fields, texts, (first, second), strict=False):
            if not cleaned.text:
                piece.dropped = "pair_text"
                piece.detail = f"no text in {name}" if text is None or isinstance(text, str) else f"{name} is no text"
                return piece
        is_random = False
        if self._settings.labelled:
            label = _read_label(record.get(self._settings.label))
            if label is None:
                written = _shown(record.get(self._settings.label))
                piece.dropped = "pair_label"
                piece.detail = f"{self._settings.label} is {written}, which is no label"
                return piece
            self._check_convention(label, anchor)
            is_random = self._is_random(label, anchor)
        piece.metadata = {PAIR: Pair(len(first.text) + len(SEPARATOR), is_random).as_dict()}
        return piece

    def _check_convention(self, label: _Label, anchor: str) -> None:
        for earlier, place in self._seen.values():
            if not earlier.conventions & label.conventions:
                raise MixedLabels(
                    f"{self._where}: the labels in {self._settings.label} mix conventions: {earlier.written} "
                    f"({_place(place)}) and {label.written} ({_place(anchor)}); write all of them in one way"
                )
        self._seen.setdefault(label.written, (label, anchor))

    def _is_random(self, label: _Label, anchor: str) -> bool:
        if label.word_says_random is not None:
            return label.word_says_random
        if self._settings.one_means is None:
            raise RecipeError(
                f"{self._where}: {self._settings.label} is {label.written} ({_place(anchor)}), and data sets differ in "
                "what that means; say with `pair: {one_means: …}` whether a 1 (or true; of 1 and 2 the 1) is a "
                "`random` or a `consecutive` second text (for Hugging Face's classes 0 is consecutive and 1 random)"
            )
        return label.is_one == (self._settings.one_means == "random")


def _clean(text: Any) -> Piece:
    """One text, mended, without white space around it, so that the line break between two texts is a token's own."""
    if not isinstance(text, str):
        return Piece("", 0)
    piece = Piece(text, len(text)).clean()
    stripped = piece.text.strip()
    if len(stripped) < len(piece.text):
        piece.removed["pair_white_space"] = len(piece.text) - len(stripped)
        piece.text = stripped
    return piece


def _read_label(value: Any) -> _Label | None:
    if isinstance(value, bool):
        return _Label(_shown(value), _TRUTH_VALUES, is_one=value)
    if isinstance(value, str):
        return _read_word(value)
    if isinstance(value, (int, float)) and value in _NUMBERS:
        return _Label(_shown(value), _NUMBERS[int(value)], is_one=value == 1)
    return None


def _read_word(text: str) -> _Label | None:
    word = text.strip().lower()
    if word in ("true", "false"):
        return _Label(_shown(text), _TRUTH_VALUES, is_one=word == "true")
    number = {"0": 0, "0.0": 0, "1": 1, "1.0": 1, "2": 2, "2.0": 2}.get(word)
    if number is not None:
        return _Label(_shown(text), _NUMBERS[number], is_one=number == 1)
    says_random = _WORDS.get(word.translate({ord(character): None for character in " _-"}))
    return None if says_random is None else _Label(_shown(text), _WORDS_ONLY, word_says_random=says_random)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _place(anchor: str) -> str:
    """A record's anchor in words: `L12` is a line, `12` a number in a list, anything else its own id."""
    if anchor[:1] == "L" and anchor[1:].isdigit():
        return f"line {anchor[1:]}"
    return f"record {anchor}" if anchor else "the only record"
