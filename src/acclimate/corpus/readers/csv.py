"""CSV and TSV: records with named fields, quoted as RFC 4180 has it."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator

from acclimate.corpus.pieces import BYTE_ORDER_MARK, Piece, failed
from acclimate.corpus.readers.base import UNDECODED, SourceFile
from acclimate.corpus.readers.records import PATIENCE, RecordReader
from acclimate.corpus.settings import SourceSettings
from acclimate.errors import DataError


def read_csv(file: SourceFile, settings: SourceSettings) -> Iterator[Piece]:
    """One record a row; the first row names the fields. A broken row is passed over, with its line."""
    yield from _read(file, settings, ",")


def read_tsv(file: SourceFile, settings: SourceSettings) -> Iterator[Piece]:
    """The same with tabs between the fields."""
    yield from _read(file, settings, "\t")


def _read(file: SourceFile, settings: SourceSettings, delimiter: str) -> Iterator[Piece]:
    csv.field_size_limit(sys.maxsize)  # 128 KiB by default, which a document may well exceed
    with file.open_text(settings.encoding, "", "surrogateescape") as text:
        rows = _Rows(text, delimiter)
        header = next(rows, None)
        names = _field_names(header, file.name)
        reader = RecordReader(settings, file.name, PATIENCE if file.named else None)
        reader.expect(names)
        for row in rows:
            anchor = f"L{row.line}"
            if UNDECODED.search(row.source):
                yield failed("undecodable_line", f"line {row.line} is not {settings.encoding}", anchor=anchor)
            elif row.problem is None and len(row.values) == len(names):
                yield reader.read(dict(zip(names, row.values, strict=True)), anchor)
            else:
                problem = row.problem or f"{len(row.values)} fields, the header has {len(names)}"
                yield failed("broken_csv", f"line {row.line}: {problem}", anchor=anchor, text=row.source).clean()
        reader.finish()


def _field_names(header: _Row | None, where: str) -> list[str]:
    """The fields' names.

    Raises:
        DataError: there is no header that could name them.
    """
    if header is None:
        raise DataError(f"{where} is empty; its first line must name the fields")
    if header.problem is not None or UNDECODED.search(header.source):
        raise DataError(f"{where}: the header in line {header.line} cannot be read: {header.problem or 'encoding'}")
    names = [name.strip() for name in header.values]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{where}: the header names `{twice[0]}` twice; give each field a name of its own")
    return names


class _Row:
    """A row: its first line's number, its values or what is wrong with it, and the text that it was read from."""

    __slots__ = ("line", "problem", "source", "values")

    def __init__(self, line: int, values: list[str], source: str, problem: str | None = None) -> None:
        self.line = line
        self.values = values
        self.source = source
        self.problem = problem


class _Rows:
    """The rows of a file that are not blank. After a broken one, reading goes on with the line behind it."""

    def __init__(self, lines: Iterable[str], delimiter: str) -> None:
        self._lines = iter(lines)
        self._taken: list[str] = []
        self._count = 0
        self._reader = csv.reader(self._take(), delimiter=delimiter, strict=True)

    def _take(self) -> Iterator[str]:
        for line in self._lines:
            if self._count == 0:
                line = line.removeprefix(BYTE_ORDER_MARK)
            self._count += 1
            self._taken.append(line)
            yield line

    def __iter__(self) -> Iterator[_Row]:
        return self

    def __next__(self) -> _Row:
        while True:
            self._taken.clear()
            line = self._count + 1
            try:
                values, problem = next(self._reader), None
            except csv.Error as error:
                values, problem = [], str(error)
            source = "".join(self._taken)
            if problem is not None or source.strip():
                return _Row(line, values, source, problem)
