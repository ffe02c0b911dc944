"""What readers hand to the builder: pieces of text together with the account of their characters."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
BYTE_ORDER_MARK = "\ufeff"
REPLACEMENT = "\ufffd"


@dataclass(slots=True)
class Piece:
    """One unit that a reader found (a file, a record, a line, a passage) and what became of its characters.

    At all times `characters + added == len(text) + sum(removed.values())`.

    Attributes:
        text: what is left of the unit.
        characters: decoded characters that came in.
        anchor: where in its file the unit stands, such as `L12`; "" stands for the whole file.
        added: characters that did not come in, such as a title's separator.
        removed: characters taken out of the text, by reason.
        metadata: plain data that goes with the text.
        dropped: the reason for which the reader passes the whole unit over; None keeps it.
        detail: what was wrong with it, in words.
        documents: 0 for what stands between units (blank lines, a file's front matter), which is no unit itself.
        running: for a unit of running text (a line, a passage), the digest of the whole file; None for a document of
            its own.
    """

    text: str
    characters: int
    anchor: str = ""
    added: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    dropped: str | None = None
    detail: str = ""
    documents: int = 1
    running: bytes | None = None

    def clean(self) -> Piece:
        """Mend what no text should have: a byte order mark, CR line ends, halves of surrogate pairs."""
        text = self.text
        if text.startswith(BYTE_ORDER_MARK):
            text = text[1:]
            self._remove("byte_order_mark", 1)
        if "\r" in text:
            returns = text.count("\r")
            self._remove("carriage_return", returns)
            self.added += returns - text.count("\r\n")
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if not text.isascii() and (broken := len(_LONE_SURROGATE.findall(text))):
            text = _LONE_SURROGATE.sub(REPLACEMENT, text)
            self._remove("lone_surrogate", broken)
            self.added += broken
        self.text = text
        return self

    def _remove(self, reason: str, characters: int) -> None:
        self.removed[reason] = self.removed.get(reason, 0) + characters


def failed(reason: str, detail: str, *, anchor: str = "", text: str = "") -> Piece:
    """A unit that could not be read; `text` is what of it is known."""
    return Piece(text, len(text), anchor=anchor, dropped=reason, detail=detail)
