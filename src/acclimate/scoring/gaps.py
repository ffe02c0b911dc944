"""The gaps of a text: where its masks stand, and the ids of the text with a token in each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from transformers import PreTrainedTokenizerBase

from acclimate.errors import DataError

Found = TypeVar("Found")

# People write the mask as they know it; each of these stands for the tokenizer's own.
MASKS = ("[MASK]", "<mask>")
# Characters of a text in an error.
_SHOWN = 200


class GapFinder:
    """Finds masks as people write them, or as the tokenizer does."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, shown: str, *others: str) -> None:
        """
        Args:
            shown: how a mask is written, for errors.
            others: further ways to write one.
        """
        self.tokenizer = tokenizer
        self.shown = shown
        names = {name for name in (*MASKS, tokenizer.mask_token, shown, *others) if name}
        self._masks = re.compile("|".join(re.escape(name) for name in sorted(names, key=lambda name: -len(name))))

    def find(self, text: str) -> list[re.Match[str]]:
        """The masks of a text.

        Raises:
            DataError: there is none, or the text is no Unicode.
        """
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(f"{text!r} is no valid Unicode text: {error}") from error
        gaps = list(self._masks.finditer(text))
        if not gaps:
            shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
            raise DataError(f"there is no {self.shown} in {shown!r}; write it where a token is wanted")
        return gaps

    def marked(self, text: str, token: str) -> str:
        """The text with a token in each gap."""
        return self._masks.sub(lambda _: token, text)

    def joined(self, text: str, token: str) -> str:
        """The text with a token in each gap, and no blank before it: that belongs to the word that is missing, as it
        does in training."""
        parts = self._masks.split(text)
        return token.join([part.rstrip(" ") for part in parts[:-1]] + parts[-1:])

    def ids(self, text: str, token: str) -> tuple[list[int], list[int]]:
        """The ids of a text, unframed, `joined` by a token, and where this stands in them.

        Raises:
            DataError: the text has the token where there is no mask.
        """
        ids = list(self.tokenizer(self.joined(text, token), add_special_tokens=False, verbose=False)["input_ids"])
        return ids, self.places(text, ids, token)

    def places(self, text: str, ids: Sequence[int], token: str) -> list[int]:
        """Where in the ids of a text the token of its gaps stands.

        Raises:
            DataError: not once for each gap.
        """
        wanted = self.tokenizer.convert_tokens_to_ids(token)
        places = [place for place, found in enumerate(ids) if found == wanted]
        count = len(self._masks.findall(text))
        if len(places) != count:
            raise DataError(f"{text!r} does not become tokens with {count} gaps for this tokenizer")
        return places


def found_or_error(find: Callable[..., Found], *arguments: Any, **options: Any) -> Found | DataError:
    """What a function finds, or the error that it raises for a text that cannot be used."""
    try:
        return find(*arguments, **options)
    except DataError as error:
        return error


def texts_between(text: str, gaps: Sequence[re.Match[str]]) -> list[str]:
    """What stands before, between and behind the gaps of a text."""
    starts = [0, *(gap.end() for gap in gaps)]
    ends = [*(gap.start() for gap in gaps), len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]
