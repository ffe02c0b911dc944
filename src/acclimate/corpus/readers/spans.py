"""Accounts for a text that is made of pieces of another one, character by character."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

MARKUP = "markdown_markup"


class SpanWriter:
    """Builds a text out of spans of a source, in order, and books every character of the source exactly once.

    What lies between two spans is dropped as markup, unless it was dropped for another reason, or serves to keep
    two blocks apart. What the source does not have is counted as added.

    Args:
        source: the text that spans are cut from.
        reserved: `(start, end, reason)`, sorted and disjoint: parts that are booked under their own reason wherever
            they fall between spans.
    """

    def __init__(self, source: str, reserved: Sequence[tuple[int, int, str]] = ()) -> None:
        self.source = source
        self.cursor = 0
        self.added = 0
        self.removed: dict[str, int] = {}
        self._reserved = list(reserved)
        self._reserved_ends = [end for _, end, _ in self._reserved]
        self._parts: list[str] = []
        self._markers: list[tuple[int, int]] = []
        self._cell = ""
        self._separated = False  # a line break is due before the next text
        self._room = 0  # how many more line feeds of the source may serve as that line break
        self._held = 0  # line feeds of the source that will

    def separate(self, most: int) -> None:
        """Begin the next text on a new line, after as many line feeds as the source has there, but `most` at most."""
        if self._parts:
            self._separated = True
            self._room = max(most - self._held, 0)
        self._cell = ""

    def mark(self, start: int, end: int) -> None:
        """A list marker, kept if any text follows before the next block."""
        self._markers.append((start, end))

    def unmark(self) -> None:
        """Forget list markers that no text followed."""
        self._markers.clear()

    def next_cell(self, separator: str) -> None:
        """Put `separator` before the next text of the same line."""
        self._cell += separator

    def blank(self) -> None:
        """Keep what comes next apart from what came before, by a blank where there is no white space."""
        if self._parts and not self._separated and not self._cell and not self._parts[-1][-1].isspace():
            self._cell = " "

    def keep(self, start: int, end: int) -> None:
        """Take the span into the text."""
        if start < self.cursor:  # the reader went back: never book a character twice
            repeated = self.source[start : min(end, self.cursor)]
            self._append(repeated)
            self.added += len(repeated)
            start = self.cursor
        if start < end:
            self._arrive(start)
            self._append(self.source[start:end])
            self.cursor = end

    def drop(self, start: int, end: int, reason: str) -> None:
        """Leave the span out, for this reason."""
        start = max(start, self.cursor)
        if start < end:
            self._gap(start)
            self._book(reason, end - start)
            self.cursor = end

    def add(self, text: str, position: int) -> None:
        """Write what the source does not have in this form, at a position of the source."""
        if text:
            self._arrive(max(position, self.cursor))
            self._append(text)
            self.added += len(text)

    def finish(self) -> str:
        """Book the rest of the source and return the text."""
        self._room = 0
        self._gap(len(self.source))
        self._book(MARKUP, self._held)
        return "".join(self._parts)

    def _append(self, text: str) -> None:
        if text:
            self._parts.append(text)

    def _arrive(self, position: int) -> None:
        """Write what is due before a text at this position."""
        markers = self._markers_before(position)
        if self._separated:
            self._gap(markers[0][0] if markers else position)
            self._append("\n" * self._held if self._held else "\n")
            self.added += 0 if self._held else 1
            self._separated, self._held, self._room = False, 0, 0
        for start, end in markers:
            self._gap(start)
            self._append(self.source[start:end])
            self.cursor = end
        self._write_cell(position)
        self._gap(position)

    def _markers_before(self, position: int) -> list[tuple[int, int]]:
        """The list markers between the cursor and a position; none is given twice."""
        markers, last = [], self.cursor
        for start, end in self._markers:
            if last <= start and end <= position:
                markers.append((start, end))
                last = end
        self._markers.clear()
        return markers

    def _write_cell(self, position: int) -> None:
        separator, self._cell = self._cell, ""
        if separator == " " and self.source[position : position + 1].isspace():
            return
        for character in separator:
            found = self.source.find(character, self.cursor, position)
            if found < 0:
                self.added += 1
            else:
                self._gap(found)
                self.cursor = found + 1
            self._append(character)

    def _gap(self, end: int) -> None:
        """Book what lies between the cursor and `end`."""
        while self.cursor < end:
            index = bisect_right(self._reserved_ends, self.cursor)
            start, stop, reason = self._reserved[index] if index < len(self._reserved) else (end, end, "")
            if start <= self.cursor:
                stop = min(stop, end)
                self._book(reason, stop - self.cursor)
            else:
                stop = min(start, end)
                line_feeds = min(self._room, self.source.count("\n", self.cursor, stop))
                self._room -= line_feeds
                self._held += line_feeds
                self._book(MARKUP, stop - self.cursor - line_feeds)
            self.cursor = stop

    def _book(self, reason: str, characters: int) -> None:
        if characters:
            self.removed[reason] = self.removed.get(reason, 0) + characters
