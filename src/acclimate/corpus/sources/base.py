"""What the builder knows of a source, whatever its kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from acclimate.corpus.pieces import Piece


@dataclass(slots=True)
class Notes:
    """What a source tells beside its documents: files passed over, by suffix or kind, and messages for the user."""

    skipped: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)


class Source(Protocol):
    """A place that documents come from, once it has been found."""

    label: str
    """Its short name, for ids where a corpus has several sources; for a single file, the file's name."""
    single: bool
    """Whether it is a single file."""
    notes: Notes

    def fingerprint(self) -> Any:
        """Plain data, or an iterator of it, that changes whenever the documents may have changed; names nothing of this
        machine."""

    def pieces(self, scratch: Path, num_workers: int) -> Iterator[tuple[str, Piece]]:
        """The pieces in order, each with the name of its file; `scratch` is a folder for what must be fetched."""
