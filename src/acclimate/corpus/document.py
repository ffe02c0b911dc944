"""The one type that everything after the readers knows: a document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# The key of a document's metadata that makes it a labelled pair.
PAIR = "pair"


@dataclass(frozen=True, slots=True)
class Pair:
    """Where in a document's text the second one of two texts begins, and what its label says of it.

    Attributes:
        second: first character of the second text; a line break stands before it.
        is_random: whether the second text was chosen at random, instead of following the first.
    """

    second: int
    is_random: bool

    def as_dict(self) -> dict[str, Any]:
        """As it stands in a document's metadata."""
        return {"second": self.second, "is_random": self.is_random}


def pair_of(metadata: Mapping[str, Any]) -> Pair | None:
    """The pair that metadata tell of; None for a document that is none."""
    if PAIR not in metadata:
        return None
    data = metadata[PAIR]
    # A field of a record may have the same name.
    match data:
        case {"second": int(second), "is_random": bool(is_random), **others} if second > 0 and not others:
            return Pair(second, is_random)
    return None


@dataclass(frozen=True, slots=True)
class Document:
    """A text with a name, the context that it belongs to, and what else is known of it.

    Attributes:
        id: unique in its corpus, and the same wherever the corpus is built: the path within the source, followed
            by `#` and the line, record number or own id for a part of a file.
        text: what is kept of the text.
        group: consecutive documents of one group are neighbours in one file; a file or record read as a document
            of its own is its own group.
        metadata: plain data: the other fields of a record, the front matter of a Markdown file; of a labelled pair
            also `pair`.
    """

    id: str
    text: str
    group: str
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def pair(self) -> Pair | None:
        """Of what two texts it is made, for a labelled pair."""
        return pair_of(self.metadata)
