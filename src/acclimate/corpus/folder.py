"""A corpus on disk: Parquet files, the ledger, and the manifest that says what made it."""

from __future__ import annotations

import heapq
import itertools
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from acclimate.artifacts import read_manifest
from acclimate.corpus.document import Document
from acclimate.corpus.ledger import Ledger
from acclimate.corpus.storage import DROPPED, read_documents, read_numbered, read_rows

KIND = "corpus"
DROPPED_FILE = "dropped.parquet"
FORMAT_VERSION = 1
SplitName = Literal["train", "held_out"]
ExportFormat = Literal["json", "jsonl", "txt"]
TRAIN: SplitName = "train"
HELD_OUT: SplitName = "held_out"


@dataclass(frozen=True, slots=True)
class DroppedDocument:
    """A document that was left out as a whole; `detail` says what was wrong with it, if anything was."""

    id: str
    reason: str
    detail: str
    characters: int
    text: str


class Corpus:
    """A built corpus.

    Attributes:
        folder: where it is.
        manifest: what made it and what is in it.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest

    def __repr__(self) -> str:
        return f"Corpus({str(self.folder)!r}, {self.num_documents(TRAIN)} + {self.num_documents(HELD_OUT)} documents)"

    @property
    def fingerprint(self) -> str:
        """Changes whenever a document, or what was made of it, may have changed."""
        return str(self.manifest["fingerprint"])

    @property
    def ledger(self) -> Ledger:
        """Counts of what came in, was kept and was dropped, by reason."""
        return Ledger.from_dict(self.manifest["ledger"])

    def documents(self, split: SplitName = TRAIN) -> Iterator[Document]:
        """The documents of a split in their original order, streamed."""
        return read_documents(self.folder / f"{_known(split)}.parquet")

    def all_documents(self) -> Iterator[Document]:
        """The documents of both splits, in their original order, streamed."""
        splits = [read_numbered(self.folder / f"{name}.parquet") for name in (TRAIN, HELD_OUT)]
        return (document for _, document in heapq.merge(*splits, key=operator.itemgetter(0)))

    def num_documents(self, split: SplitName = TRAIN) -> int:
        """Number of documents in a split."""
        return int(self.manifest["splits"][_known(split)]["documents"])

    def num_characters(self, split: SplitName = TRAIN) -> int:
        """Number of characters in a split."""
        return int(self.manifest["splits"][_known(split)]["characters"])

    def dropped(self) -> Iterator[DroppedDocument]:
        """What was left out as a whole, in order, streamed."""
        for row in read_rows(self.folder / DROPPED_FILE, DROPPED.names):
            yield DroppedDocument(*row)

    def export(self, path: str | Path, format: ExportFormat, split: SplitName | Literal["all"] = "all") -> int:
        """Write the texts to a file, as `acclimate.corpus.export.export_corpus` does; returns their number."""
        from acclimate.corpus.export import export_corpus

        return export_corpus(self, path, format, split)

    def head(self, number: int, split: SplitName = TRAIN) -> list[Document]:
        """The first documents of a split."""
        return list(itertools.islice(self.documents(split), number))


def _known(split: str) -> str:
    if split not in (TRAIN, HELD_OUT):
        raise ValueError(f"a corpus has the splits {TRAIN!r} and {HELD_OUT!r}, not {split!r}")
    return split


def open_corpus(folder: str | Path) -> Corpus:
    """Open a corpus built before.

    Raises:
        ArtifactError: there is none, or it is damaged.
    """
    return Corpus(Path(folder), read_manifest(folder, KIND))
