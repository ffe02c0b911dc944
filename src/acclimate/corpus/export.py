"""Write the texts of a corpus back, so that a day's collecting can be used elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TextIO

from acclimate.artifacts import writing_text
from acclimate.corpus.document import Document
from acclimate.corpus.folder import Corpus, ExportFormat, SplitName


def export_corpus(
    corpus: Corpus, path: str | Path, format: ExportFormat, split: SplitName | Literal["all"] = "all"
) -> int:
    """Write the texts to a file, which appears when it is whole.

    Args:
        corpus: what to write.
        path: the file.
        format: `json`: a list of strings, indented, non-ASCII characters as they are. `jsonl`: one record a line with
            `id`, `text` and `metadata`. `txt`: documents apart by a blank line; lines of running text by line.
        split: `all` restores the original order.

    Returns:
        The number of documents written.
    """
    with writing_text(path) as file:
        return write_corpus(corpus, file, format, split)


def write_corpus(corpus: Corpus, file: TextIO, format: ExportFormat, split: SplitName | Literal["all"] = "all") -> int:
    """Like `export_corpus`, to an open file."""
    documents = corpus.all_documents() if split == "all" else corpus.documents(split)
    return _WRITERS[format](documents, file, corpus)


def _write_json(documents: Iterator[Document], file: TextIO, corpus: Corpus) -> int:
    number = 0
    file.write("[")
    for number, document in enumerate(documents, start=1):
        file.write((",\n  " if number > 1 else "\n  ") + json.dumps(document.text, ensure_ascii=False))
    file.write("\n]\n")
    return number


def _write_jsonl(documents: Iterator[Document], file: TextIO, corpus: Corpus) -> int:
    number = 0
    for document in documents:
        number += 1
        record = {"id": document.id, "text": document.text, "metadata": document.metadata}
        file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return number


def _write_txt(documents: Iterator[Document], file: TextIO, corpus: Corpus) -> int:
    by_line = all(source["unit"] == "line" for source in corpus.manifest["settings"]["sources"])
    number = 0
    for number, document in enumerate(documents, start=1):
        file.write(("\n" if number > 1 and not by_line else "") + document.text.rstrip("\n") + "\n")
    return number


_WRITERS: dict[ExportFormat, Callable[[Iterator[Document], TextIO, Corpus], int]] = {
    "json": _write_json,
    "jsonl": _write_jsonl,
    "txt": _write_txt,
}
