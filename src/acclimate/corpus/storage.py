"""The Parquet files of a corpus: how documents are written and read, a bounded number at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from acclimate.corpus.document import Document
from acclimate.errors import ArtifactError

# `index` is the document's number in the whole corpus, so that the original order can be restored.
DOCUMENTS = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("group", pa.string()),
        ("metadata", pa.string()),
        ("index", pa.int64()),
    ]
)
DROPPED = pa.schema(
    [
        ("id", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("characters", pa.int64()),
        ("text", pa.string()),
    ]
)
_ROWS = 20_000
_CHARACTERS = 8 << 20


class TableWriter:
    """Writes rows to a Parquet file; no more than one row group of them is in memory."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._columns: dict[str, list[Any]] = {name: [] for name in schema.names}
        self._rows = 0
        self._characters = 0

    def write(self, *values: Any) -> None:
        """Add a row, its values in the order of the schema."""
        for column, value in zip(self._columns.values(), values, strict=True):
            column.append(value)
            if isinstance(value, str):
                self._characters += len(value)
        self._rows += 1
        if self._rows >= _ROWS or self._characters >= _CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.table(self._columns, schema=self._schema))
        self._columns = {name: [] for name in self._schema.names}
        self._rows = self._characters = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._writer.close()


def read_rows(path: Path, columns: list[str] | None = None) -> Iterator[tuple[Any, ...]]:
    """The rows of a Parquet file, one row group at a time in memory."""
    try:
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                table = file.read_row_group(number, columns=columns)
                yield from zip(*(column.to_pylist() for column in table.columns), strict=True)
    except pa.ArrowException as error:
        raise ArtifactError(f"{path} cannot be read: {error}; build the corpus again") from error


def dump_metadata(metadata: dict[str, Any]) -> str:
    """Metadata as a JSON string, so that values of any type go into one column."""
    if not metadata:
        return "{}"
    text = json.dumps(metadata, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can write
        text = json.dumps(metadata)
    return text


def read_documents(path: Path) -> Iterator[Document]:
    """The documents of a Parquet file, in order."""
    for _, document in read_numbered(path):
        yield document


def read_numbered(path: Path) -> Iterator[tuple[int, Document]]:
    """The documents of a Parquet file, each with its number in the whole corpus, in order."""
    for name, text, group, metadata, index in read_rows(path, DOCUMENTS.names):
        yield index, Document(name, text, group, json.loads(metadata) if metadata != "{}" else {})
