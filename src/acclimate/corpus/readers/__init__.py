"""Readers: one file per format, and the one table that knows them all.

A new format is a file with a function that yields the pieces of a file, and a row here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from acclimate.corpus.pieces import Piece, failed
from acclimate.corpus.readers.base import COMPRESSIONS, UNREADABLE, Reader, SourceFile
from acclimate.corpus.readers.csv import read_csv, read_tsv
from acclimate.corpus.readers.json import read_json, read_jsonl
from acclimate.corpus.readers.markdown import read_markdown
from acclimate.corpus.readers.pairs import MixedLabels
from acclimate.corpus.readers.text import read_text
from acclimate.corpus.settings import SourceSettings
from acclimate.errors import DataError

_RUNNING = frozenset({"line", "paragraph"})
_ALL = frozenset({"auto", "file"}) | _RUNNING

READERS: dict[str, Reader] = {
    "text": Reader((".txt", ".text"), read_text, streams=_RUNNING, whole=True),
    "markdown": Reader((".md", ".markdown", ".mdx"), read_markdown, whole=True),
    "json": Reader((".json",), read_json),
    "jsonl": Reader((".jsonl", ".ndjson"), read_jsonl, streams=_ALL),
    "csv": Reader((".csv",), read_csv, streams=_ALL),
    "tsv": Reader((".tsv",), read_tsv, streams=_ALL),
}
_BY_SUFFIX = {suffix: name for name, reader in READERS.items() for suffix in reader.suffixes}
SUFFIXES = tuple(_BY_SUFFIX)


def reader_for(file: SourceFile, settings: SourceSettings) -> Reader:
    """The reader of a file: by `format`, else by its suffix, else plain text."""
    if settings.format != "auto":
        return READERS[settings.format]
    return READERS[_BY_SUFFIX.get(content_suffix(file.name), "text")]


def content_suffix(name: str) -> str:
    """The suffix that tells the format: lower case, without that of a compression."""
    path = PurePosixPath(name)
    if path.suffix.lower() in COMPRESSIONS:
        path = path.with_suffix("")
    return path.suffix.lower()


def read_file(file: SourceFile, settings: SourceSettings) -> Iterator[Piece]:
    """The pieces of one file; what cannot be read is a piece with the reason.

    Raises:
        DataError: the file was named by the user and holds no documents; or labels of pairs mix conventions.
        RecipeError: labels of pairs do not say what they mean.
    """
    found = 0
    try:
        reader = reader_for(file, settings)
        if settings.pair is not None and reader.whole:
            raise DataError(f"{file.name} holds no records, and so no pairs; say its format (csv, tsv, json or jsonl)")
        for piece in reader.read(file, settings):
            found += 1
            yield piece
    except UnicodeError as error:
        yield failed("undecodable_file", f"not {settings.encoding}: {error}")
    except UNREADABLE as error:
        yield failed("unreadable_file", str(error))
    except DataError as error:
        if file.named or isinstance(error, MixedLabels):
            raise
        piece = failed("no_text", str(error))
        piece.documents = 0 if found else 1
        yield piece
