"""Texts told from token ids alone, by the conventions of vocabularies, and where in them each token stands.

Word and sentence starts are told by the text (`acclimate.tokens.words`). A data set of ids has lost its texts; they are
put together again from the tokens' names: `##` goes on with a word (WordPiece), `▁` and `Ġ` are blanks, `<0x0A>` is a
byte. What a tokenizer drops (case, accents, blanks between Chinese characters) does not change where words start.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from acclimate.errors import ModelError

_BYTE = re.compile("<0x([0-9A-F]{2})>")
# BERT's tokenizer puts Chinese characters apart; there was no blank between them.
_HAN = re.compile("[\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd]")


class Surface:
    """Puts texts together from the tokens of a tokenizer. Plain data, for loader workers."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """
        Raises:
            ModelError: its vocabulary follows none of the conventions.
        """
        if not tokenizer.is_fast:
            raise ModelError(_unknown(tokenizer, "it has no fast version"))
        state = json.loads(tokenizer.backend_tokenizer.to_str())
        self._names: list[str] = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self._kind = _kind(state)
        if self._kind is None:
            raise ModelError(_unknown(tokenizer, f"its model is of type {state['model']['type']}"))
        self._goes_on = str(state["model"].get("continuing_subword_prefix") or "##")

    def text(self, ids: Sequence[int]) -> tuple[str, NDArray[np.int64], NDArray[np.int64]]:
        """A text of ordinary tokens.

        Returns:
            The text, and [len(ids)] the first character and the end of each token in it.
        """
        pieces = self._words(ids) if self._kind == "words" else [self._bytes(token) for token in ids]
        lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
        ends = np.cumsum(lengths)
        starts = ends - lengths
        # A token may hold a part of a character, and a text begin or end with one: such bytes stand by themselves.
        text = b"".join(pieces).decode("utf-8", "surrogateescape")
        sizes = [len(character.encode("utf-8", "surrogateescape")) for character in text]
        character_of = np.append(np.repeat(np.arange(len(text)), sizes), len(text))
        lasts = np.where(ends > starts, character_of[np.maximum(ends - 1, 0)] + 1, character_of[starts])
        return text, character_of[starts], lasts

    def _words(self, ids: Sequence[int]) -> list[bytes]:
        pieces = []
        before = " "
        for token in ids:
            name = self._names[token]
            if name.startswith(self._goes_on) and len(name) > len(self._goes_on):
                piece = name[len(self._goes_on) :]
            else:
                apart = bool(_HAN.match(before) or _HAN.match(name))
                piece = name if apart else f" {name}"
            pieces.append(piece.encode("utf-8", "surrogatepass"))
            before = piece[-1]
        return pieces

    def _bytes(self, token: int) -> bytes:
        name = self._names[token]
        if self._kind == "byte-level":
            table = _byte_level()
            return b"".join(table.get(character, character.encode("utf-8")) for character in name)
        byte = _BYTE.fullmatch(name)
        return bytes([int(byte[1], 16)]) if byte else name.replace("▁", " ").encode("utf-8", "surrogatepass")


def _kind(state: dict[str, Any]) -> str | None:
    """How a vocabulary writes blanks: by its decoder, of which there may be several in a row."""
    kind = state["model"]["type"]
    if kind in ("WordPiece", "WordLevel"):
        return "words"
    told = json.dumps([state["decoder"], state["pre_tokenizer"]], ensure_ascii=False)
    if '"ByteLevel"' in told:
        return "byte-level"
    return "blanks" if '"Metaspace"' in told or "▁" in told else None


@cache
def _byte_level() -> dict[str, bytes]:
    """The byte of each character of byte-level BPE (GPT-2): visible ones stand for themselves, the others from U+0100
    on in order."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(0x100) if byte not in visible]
    table = {chr(byte): bytes([byte]) for byte in visible}
    return table | {chr(0x100 + number): bytes([byte]) for number, byte in enumerate(hidden)}


def _unknown(tokenizer: PreTrainedTokenizerBase, why: str) -> str:
    return (
        f"words cannot be told from the ids of {tokenizer.name_or_path or type(tokenizer).__name__} ({why}); give the "
        'columns `text` and `offset_mapping` beside `input_ids`, or use `unit="token"`'
    )
