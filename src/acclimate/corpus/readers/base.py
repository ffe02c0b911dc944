"""What a reader is, and how files are opened for one."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from acclimate.corpus.pieces import Piece
from acclimate.corpus.settings import SourceSettings

# What opening or decompressing a file may raise.
UNREADABLE = (OSError, EOFError, zlib.error)
# What `errors="surrogateescape"` makes of bytes that are not in the encoding.
UNDECODED = re.compile("[\udc80-\udcff]")
COMPRESSIONS = (".gz", ".zst")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a source.

    Attributes:
        path: where to open it.
        name: its POSIX path relative to the source, which names its documents.
        named: whether the user named it; a file that was merely found in a folder may turn out to hold no documents.
    """

    path: Path
    name: str
    named: bool = False

    def open_bytes(self) -> IO[bytes]:
        """The bytes, decompressed where the name ends in .gz or .zst."""
        name = self.name.lower()
        if name.endswith(".gz"):
            return cast(IO[bytes], gzip.open(self.path, "rb"))
        if name.endswith(".zst"):
            import pyarrow as pa  # unlike `zstandard`, it tells a truncated stream from a whole one

            return cast(IO[bytes], pa.input_stream(self.path, compression="zstd"))
        return open(self.path, "rb")

    @contextmanager
    def open_text(self, encoding: str, newline: str, errors: str = "strict") -> Iterator[IO[str]]:
        """The decoded text, line ends untranslated: `newline` says what ends a line, as in `open`."""
        with self.open_bytes() as file, io.TextIOWrapper(file, encoding, errors, newline) as text:
            yield text

    def read_text(self, encoding: str) -> str:
        """The whole decoded text, line ends untranslated."""
        with self.open_text(encoding, "") as file:
            return file.read()


@dataclass(frozen=True, slots=True)
class Reader:
    """How one format is read.

    Attributes:
        suffixes: names that the format is recognised by, without those of compression.
        read: yields the pieces of a file, in order. What it raises of `UNREADABLE` and `UnicodeDecodeError` goes to
            the ledger.
        streams: the units (`SourceSettings.unit`) for which it reads a file piece by piece, whatever the file's size.
        whole: whether a file is one document unless lines or passages are asked for; others hold records.
    """

    suffixes: tuple[str, ...]
    read: Callable[[SourceFile, SourceSettings], Iterator[Piece]]
    streams: frozenset[str] = frozenset()
    whole: bool = False
