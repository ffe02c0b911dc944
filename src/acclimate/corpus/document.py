"""The one type that everything after the readers knows: a document."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Document:
    """A text with a name, the context that it belongs to, and what else is known of it.

    Attributes:
        id: unique in its corpus, and the same wherever the corpus is built: the path within the source, followed
            by `#` and the line, record number or own id for a part of a file.
        text: what is kept of the text.
        group: consecutive documents of one group are neighbours in one file; a file or record read as a document
            of its own is its own group.
        metadata: plain data: the other fields of a record, the front matter of a Markdown file.
    """

    id: str
    text: str
    group: str
    metadata: dict[str, Any] = field(default_factory=dict)
