"""Texts from the command line: arguments, a file of lines, or stdin."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TextIO


def read_texts(texts: list[str] | None, file: str | None, what: str) -> tuple[list[str], int]:
    """The lines of `file` and the texts of the arguments, or the lines of stdin where there is neither; and how many
    blank lines were skipped. `what` names them in errors ("prompts").

    Raises:
        SourceError: the file cannot be read, or there is no text at all.
    """
    from acclimate.errors import SourceError

    lines: list[str] = []
    if file is not None:
        try:
            with open(file, encoding="utf-8-sig", newline="\n") as opened:
                lines += _lines(opened)
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{file} cannot be read: {error}") from error
    given = [] if not texts or texts == ["-"] else texts
    if file is None and not given:
        try:
            lines += _lines(sys.stdin)
        except UnicodeDecodeError as error:
            raise SourceError(f"stdin cannot be read: {error}") from error
    filled = [line for line in lines if line.strip()]
    if not filled and not given:
        raise SourceError(f"there are no {what}; give them as arguments, by --file, or on stdin")
    return [*filled, *given], len(lines) - len(filled)


class TextStream:
    """The texts of `read_texts`, one after the other, each with its name for messages: "texts.txt, line 3" or "text 2".

    Attributes:
        num_blank: blank lines that were skipped so far.
    """

    def __init__(self, texts: list[str] | None, file: str | None, what: str) -> None:
        """
        Raises:
            SourceError: the file cannot be read, or there is no text at all.
        """
        from acclimate.errors import SourceError

        self.num_blank = 0
        given = [] if not texts or texts == ["-"] else texts
        self._texts = self._named(given, file)
        self._first = list(islice(self._texts, 1))
        if not self._first:
            raise SourceError(f"there are no {what}; give them as arguments, by --file, or on stdin")

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return chain(self._first, self._texts)

    def _named(self, given: list[str], file: str | None) -> Iterator[tuple[str, str]]:
        from acclimate.errors import SourceError

        if file is not None:
            try:
                with open(file, encoding="utf-8-sig", newline="\n") as opened:
                    yield from self._filled(file, opened)
            except (OSError, UnicodeDecodeError) as error:
                raise SourceError(f"{file} cannot be read: {error}") from error
        elif not given:
            try:
                yield from self._filled("stdin", sys.stdin)
            except UnicodeDecodeError as error:
                raise SourceError(f"stdin cannot be read: {error}") from error
        for number, text in enumerate(given, start=1):
            yield f"text {number}", text

    def _filled(self, name: str, opened: Iterable[str]) -> Iterator[tuple[str, str]]:
        for number, line in enumerate(opened, start=1):
            if line.strip():
                yield f"{name}, line {number}", line.rstrip("\r\n")
            else:
                self.num_blank += 1


def _lines(opened: TextIO | Iterable[str]) -> list[str]:
    return [line.rstrip("\r\n") for line in opened]


def tell_blank(count: int) -> None:
    """Say on stderr how many blank lines were skipped."""
    import typer

    if count:
        typer.echo(f"{count:,} blank {'line' if count == 1 else 'lines'} skipped", err=True)
