"""What is dropped as a whole."""

from __future__ import annotations

import pytest

from acclimate.corpus import CorpusSettings
from acclimate.corpus.filters import ExactDuplicates, too_short
from acclimate.corpus.pieces import Piece

ONE, TWO = b"1" * 16, b"2" * 16  # digests of files


@pytest.mark.parametrize(
    ("piece", "min_chars", "reason"),
    [
        (Piece("x" * 200, 200), None, "too_short"),
        (Piece("x" * 201, 201), None, None),
        (Piece("x", 1, anchor="L1"), None, None),  # a record
        (Piece("x", 1, anchor="L1", running=b"digest"), None, None),  # a line
        (Piece("\u3000\n", 2, anchor="L1"), None, "empty"),
        (Piece("", 0), 0, "empty"),
        (Piece("xxx", 3), 3, None),
        (Piece("xx", 2, anchor="L1"), 3, "too_short"),
    ],
)
def test_length(piece: Piece, min_chars: int | None, reason: str | None) -> None:
    assert too_short(piece, CorpusSettings(min_chars=min_chars)) == reason


def test_duplicates() -> None:
    duplicates = ExactDuplicates()
    seen = [
        duplicates.reason(Piece("a", 1), "1"),
        duplicates.reason(Piece("a", 1), "2"),
        duplicates.reason(Piece("yes", 3, running=ONE), "3"),
        duplicates.reason(Piece("yes", 3, running=ONE), "3"),  # a line said twice
        duplicates.reason(Piece("yes", 3, running=TWO), "4"),  # the same line in another file
        duplicates.reason(Piece("yes", 3, running=ONE), "5"),  # the same file again
        duplicates.reason(Piece("no", 2, running=ONE), "5"),
    ]
    assert seen == [None, "exact_duplicate", None, None, None, "exact_duplicate", "exact_duplicate"]
