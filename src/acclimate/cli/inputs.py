"""Texts from the command line: arguments, a file of lines, or stdin."""

from __future__ import annotations

import sys
from collections.abc import Iterable
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


def _lines(opened: TextIO | Iterable[str]) -> list[str]:
    return [line.rstrip("\r\n") for line in opened]


def tell_blank(count: int) -> None:
    """Say on stderr how many blank lines were skipped."""
    import typer

    if count:
        typer.echo(f"{count:,} blank {'line' if count == 1 else 'lines'} skipped", err=True)
