"""The ledger: every document and character that came in is kept, or dropped with a reason, to the last one.

`in + added = kept + dropped` holds for characters (a mended or prefixed text may grow), `in = kept + dropped` for
documents, and the reasons sum up to what was dropped. A part taken out of a kept document counts 0 documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acclimate.corpus.pieces import Piece

REASONS: dict[str, str] = {
    "blank_line": "white space between lines or passages, and lines of white space alone",
    "broken_csv": "a row of CSV or TSV with broken quotes, or with other fields than the header has",
    "broken_json": "a line or file that is no valid JSON",
    "byte_order_mark": "the mark U+FEFF at the start of a file or text",
    "carriage_return": "CR of a line end; a lone CR becomes a line feed, which counts as added",
    "empty": "a document without text, or of white space alone",
    "exact_duplicate": "the same text as an earlier file or record",
    "git_lfs_pointer": "a file of which the repository has only a pointer to large-file storage",
    "line_break": "the line end of a line or passage that is a document of its own",
    "lone_surrogate": "half of a surrogate pair in a JSON string; replaced by U+FFFD, which counts as added",
    "markdown_comment": "an HTML comment",
    "markdown_directive": "`[!NOTE]`, `[!INCLUDE …]`, `:::` and the like; the content between them is kept",
    "markdown_front_matter": "the block of metadata at the head of a file; it goes to the document's metadata",
    "markdown_html_tag": "an HTML tag, or the content of a script or style element",
    "markdown_link_target": "the address and title of a link or image; its text is kept",
    "markdown_markup": "heading, emphasis, quote, fence and table marks, escapes, indentation",
    "no_text": "a record whose text field is missing or no text",
    "pair_label": "a pair whose label is missing, or is none that is known",
    "pair_text": "a pair of which one text is missing, no text, or white space alone",
    "pair_white_space": "white space around one of the two texts of a pair",
    "too_short": "fewer characters of kept text than `min_chars` asks for",
    "undecodable_file": "a file that is not in the given encoding; counts no characters",
    "undecodable_line": "a line of JSON Lines, CSV or TSV that is not in the given encoding; counts no characters",
    "unreadable_file": "a file that the system or its compression does not let us read; counts no characters",
}

# What `strict: true` refuses to pass over.
BROKEN = frozenset({"broken_csv", "broken_json", "undecodable_file", "undecodable_line", "unreadable_file"})


@dataclass(slots=True)
class Dropped:
    """What one reason cost."""

    documents: int = 0
    characters: int = 0


@dataclass(slots=True)
class Ledger:
    """Counts of documents and characters; `as_dict` gives the form that is documented for programs."""

    documents_in: int = 0
    documents_kept: int = 0
    characters_in: int = 0
    characters_added: int = 0
    characters_kept: int = 0
    reasons: dict[str, Dropped] = field(default_factory=dict)

    def enter(self, piece: Piece, reason: str | None) -> None:
        """Book a piece: kept where `reason` is None, dropped as a whole otherwise."""
        self.documents_in += piece.documents
        self.characters_in += piece.characters
        self.characters_added += piece.added
        for part, characters in piece.removed.items():
            self._drop(part, 0, characters)
        if reason is None:
            self.documents_kept += piece.documents
            self.characters_kept += len(piece.text)
        else:
            self._drop(reason, piece.documents, len(piece.text))

    def _drop(self, reason: str, documents: int, characters: int) -> None:
        if not documents and not characters:
            return
        dropped = self.reasons.setdefault(reason, Dropped())
        dropped.documents += documents
        dropped.characters += characters

    def check(self) -> None:
        """Fail loudly where the sums do not agree: that is a bug of a reader, never of the data."""
        unknown = self.reasons.keys() - REASONS.keys()
        assert not unknown, f"reasons without an explanation: {sorted(unknown)}"
        counts = self.as_dict()
        documents, characters = counts["documents"], counts["characters"]
        assert documents["in"] == documents["kept"] + documents["dropped"], counts
        assert characters["in"] + characters["added"] == characters["kept"] + characters["dropped"], counts

    def as_dict(self) -> dict[str, Any]:
        """`{documents: {in, kept, dropped}, characters: {in, added, kept, dropped}, reasons: {name: {…}}}`."""
        dropped = self.reasons.values()
        return {
            "documents": {
                "in": self.documents_in,
                "kept": self.documents_kept,
                "dropped": sum(item.documents for item in dropped),
            },
            "characters": {
                "in": self.characters_in,
                "added": self.characters_added,
                "kept": self.characters_kept,
                "dropped": sum(item.characters for item in dropped),
            },
            "reasons": {
                name: {"documents": item.documents, "characters": item.characters}
                for name, item in sorted(self.reasons.items())
            },
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Ledger:
        """The ledger that `as_dict` wrote."""
        return cls(
            documents_in=data["documents"]["in"],
            documents_kept=data["documents"]["kept"],
            characters_in=data["characters"]["in"],
            characters_added=data["characters"]["added"],
            characters_kept=data["characters"]["kept"],
            reasons={name: Dropped(item["documents"], item["characters"]) for name, item in data["reasons"].items()},
        )
