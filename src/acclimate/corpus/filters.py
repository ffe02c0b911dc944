"""What is dropped as a whole: empty and short documents, exact duplicates."""

from __future__ import annotations

import hashlib

from acclimate.corpus.digests import DigestSet
from acclimate.corpus.document import pair_of
from acclimate.corpus.pieces import Piece
from acclimate.corpus.settings import CorpusSettings

_DIGEST_SIZE = 16  # as that of `Piece.running`
MIN_CHARS_OF_FILES = 201  # "more than 200 characters"


def too_short(piece: Piece, settings: CorpusSettings) -> str | None:
    """Empty, or below the minimum; by default only files read as one document have one, and pairs never."""
    if not piece.text.strip():
        return "empty"
    minimum = settings.min_chars
    if minimum is None:
        is_part = piece.running is not None or bool(piece.anchor) or pair_of(piece.metadata) is not None
        minimum = 0 if is_part else MIN_CHARS_OF_FILES
    return "too_short" if len(piece.text) < minimum else None


class ExactDuplicates:
    """Knows the digests of all files and records so far; a second one with the same text is a duplicate.

    Of running text, whole files are compared, never single lines: a line may well be said twice.
    """

    def __init__(self) -> None:
        self._seen = DigestSet(_DIGEST_SIZE)
        self._file: tuple[str, str | None] | None = None

    def reason(self, piece: Piece, file: str) -> str | None:
        """The reason to drop the piece of `file`, or None."""
        if piece.running is None:
            return self._repeated(hashlib.blake2b(piece.text.encode("utf-8"), digest_size=_DIGEST_SIZE).digest())
        if self._file is None or self._file[0] != file:
            self._file = (file, self._repeated(piece.running))
        return self._file[1]

    def _repeated(self, digest: bytes) -> str | None:
        return None if self._seen.add(digest) else "exact_duplicate"
