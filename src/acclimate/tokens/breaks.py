"""Where a row may break, told by the tokens alone: every token store knows it, for the price of a look-up.

Word starts proper (`words.py`) are told by the text: they need offsets, which slow the tokenizer down by a third, and
in Chinese a segmenter. A row breaks once in its length; for that it is enough to know which tokens stand outside of a
word whatever is before them:

- with WordPiece, any token without `##`;
- a token that begins with a blank or a line break (`Ġthe`, `▁the`);
- one that begins with punctuation or a symbol;
- one that begins with a character of a script that writes no blanks (Chinese, kana, Thai).

Where tokens of blanks alone stand before it, a row breaks before them, since they belong to the word behind. So a row
never breaks within a run of letters and digits. In Chinese it breaks between characters, not only between words. A word
that none of these marks tells (`b` of `a.b` under byte-level BPE) is passed over for one before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from acclimate.tokens.words import is_within_word

_METASPACE = "▁"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
# First bytes of characters that blanks do not separate: symbols, Chinese, kana, full-width forms, emoji.
_SEPARATE_FIRST_BYTES = frozenset([0xE2, 0xE3, *range(0xE4, 0xEA), 0xEF, *range(0xF0, 0xF5)])


@dataclass(frozen=True)
class BreakRule:
    """Which tokens a row may break at.

    Attributes:
        before: [V] bool; ids before which it may, unless a blank is before them.
        blank: [V] bool; ids that stand for nothing visible. None where there are none.
        after: [V] bool; ids behind which it may: those that say that a word ends with them (`</w>`). None where there
            are none.
    """

    before: npt.NDArray[np.bool_]
    blank: npt.NDArray[np.bool_] | None = None
    after: npt.NDArray[np.bool_] | None = None

    def breaks(self, ids: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
        """Before which of the tokens `ids` [t] a row may break: [t]."""
        places: npt.NDArray[np.bool_] = self.before[ids]
        if self.blank is not None:
            places[1:] &= ~self.blank[ids[:-1]]
        if self.after is not None:
            places[1:] |= self.after[ids[:-1]]
        return places


def break_rule(state: Mapping[str, Any]) -> BreakRule:
    """The rule of a fast tokenizer, from its `tokenizer.json` (parsed)."""
    model = state["model"]
    vocabulary: Mapping[str, int] = (
        model["vocab"]
        if isinstance(model["vocab"], Mapping)
        else {piece: index for index, (piece, _) in enumerate(model["vocab"])}
    )
    added = [token["id"] for token in state["added_tokens"]]
    before = np.ones(max([-1, *vocabulary.values(), *added]) + 1, np.bool_)
    if model["type"] == "WordLevel":
        return BreakRule(before)
    prefix, suffix = model.get("continuing_subword_prefix"), model.get("end_of_word_suffix")
    byte_of = _byte_alphabet() if _is_byte_level(state) else {}
    if prefix:
        before[[index for piece, index in vocabulary.items() if piece.startswith(prefix)]] = False
        return BreakRule(before)
    blank, after = np.zeros(len(before), np.bool_), np.zeros(len(before), np.bool_)
    for piece, index in vocabulary.items():
        text = _bytes_of(piece, byte_of)
        before[index], blank[index] = _begins_outside(text), _is_blank(text)
        after[index] = bool(suffix) and piece.endswith(suffix)
    return BreakRule(before, blank if blank.any() else None, after if after.any() else None)


def _is_byte_level(state: Mapping[str, Any]) -> bool:
    parts = [state.get("normalizer"), state.get("pre_tokenizer"), state.get("decoder")]
    return '"ByteLevel"' in json.dumps(parts)


def _byte_alphabet() -> dict[str, int]:
    """The bytes that letters of byte-level pieces (GPT-2's) stand for: printable ones themselves, others U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + number): byte for number, byte in enumerate(others)}


def _bytes_of(piece: str, byte_of: Mapping[str, int]) -> bytes:
    """The bytes of UTF-8 that a piece stands for."""
    if (byte := _BYTE.fullmatch(piece)) is not None:
        return bytes([int(byte[1], 16)])
    if byte_of and all(letter in byte_of for letter in piece):
        return bytes(byte_of[letter] for letter in piece)
    return piece.replace(_METASPACE, " ").encode("utf-8", "surrogatepass")


def _is_blank(text: bytes) -> bool:
    """Whether a token of this text shows nothing."""
    return text.decode("utf-8", "replace").isspace()


def _begins_outside(text: bytes) -> bool:
    """Whether a token of this text stands outside of a word, whatever is before it."""
    if not text:
        return True
    if 0x80 <= text[0] < 0xC0:  # within a character
        return False
    length = 1 + (text[0] >= 0xC0) + (text[0] >= 0xE0) + (text[0] >= 0xF0)
    try:
        return not is_within_word(text[:length].decode("utf-8"))
    except UnicodeDecodeError:  # a part of a character
        return text[0] in _SEPARATE_FIRST_BYTES
