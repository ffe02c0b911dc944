"""Ids as people read them: behind a text, with the blanks that are the text's, without special tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from acclimate.tokens.added import sentinel_ids

# Characters between which WordPiece's blanks are none of the text's.
_CJK = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_BLANK_AT_CJK = re.compile(f"(?<=[{_CJK}]) | (?=[{_CJK}])")


class TokenReader:
    """Reads what a model wrote.

    Attributes:
        hidden: special tokens, which are not shown; sentinels are.
        makes_blanks: whether the tokenizer drops blanks and its decoder puts one between any two words.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, vocabulary_size: int) -> None:
        self.tokenizer = tokenizer
        added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
        self.hidden = frozenset({*tokenizer.all_special_ids, *added} - {*sentinel_ids(tokenizer)})
        self.makes_blanks = _is_word_piece(tokenizer)
        self._anchor = self._plain_ids(vocabulary_size)
        self._anchor_text = self.read(self._anchor)

    def _plain_ids(self, vocabulary_size: int) -> list[int]:
        """Tokens behind which any other is decoded as in the middle of a text."""
        for text in ("a", "A", "0"):
            ids = list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
            if ids and not self.hidden & {*ids}:
                return ids
        return [next(token for token in range(vocabulary_size) if token not in self.hidden)]

    def read(self, ids: Sequence[int]) -> str:
        """The text of some ids."""
        text: str = self.tokenizer.decode(
            [token for token in ids if token not in self.hidden],
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
        )
        return text

    def alone(self, ids: Sequence[int]) -> str:
        """A whole text, without blanks that are none."""
        return _without_blanks("", self.read(ids)) if self.makes_blanks else self.read(ids)

    def behind(self, text: str, ids: Sequence[int]) -> str:
        """A continuation as it stands behind a text: with its first blank, and without any that are none."""
        read = self.read([*self._anchor, *ids])
        if not read.startswith(self._anchor_text):  # a character of several tokens, cut off
            return self.read(ids)
        read = read[len(self._anchor_text) :]
        return _without_blanks(text, read) if self.makes_blanks else read

    def put_in(self, before: str, ids: Sequence[int]) -> str:
        """A text with ids at its end, in the place of a mask: its blank at the mask is theirs where tokens have blanks;
        a piece that continues a word joins the word."""
        if self.makes_blanks:
            first = str(self.tokenizer.convert_ids_to_tokens(ids[0])) if len(ids) else ""
            before = before.rstrip() if first.startswith("##") else before
            return before + self.behind(before, ids)
        before = before.rstrip(" ")
        filling = self.behind(before, ids)
        return before + filling if before else filling.removeprefix(" ")


def _without_blanks(before: str, text: str) -> str:
    """A WordPiece decoder's text without the blanks that it puts where the text before has one, and around Chinese."""
    if not before or before[-1].isspace():
        text = text.removeprefix(" ")
    last = before[-1:]
    return _BLANK_AT_CJK.sub("", last + text)[len(last) :]


def _is_word_piece(tokenizer: PreTrainedTokenizerBase) -> bool:
    if not tokenizer.is_fast:
        return False
    return type(tokenizer.backend_tokenizer.model).__name__ in ("WordPiece", "WordLevel")
