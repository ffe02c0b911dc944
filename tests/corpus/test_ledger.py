"""The ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from acclimate.corpus import Ledger
from acclimate.corpus.ledger import REASONS
from acclimate.corpus.pieces import Piece


def ledger() -> Ledger:
    ledger = Ledger()
    # 10 characters in, of which 3 were markup: 7 are left
    ledger.enter(Piece("seven..", 10, removed={"markdown_markup": 3}), None)
    # 4 characters in, 2 of them markup: 2 go with the document
    ledger.enter(Piece("xx", 4, removed={"markdown_markup": 2}), "too_short")
    # 5 characters in and 1 added
    ledger.enter(Piece("a\nbcde", 5, added=1), None)
    # 2 characters between documents
    ledger.enter(Piece("\n\n", 2, documents=0), "blank_line")
    return ledger


def test_sums() -> None:
    booked = ledger()
    booked.check()
    assert booked.as_dict() == {
        "documents": {"in": 3, "kept": 2, "dropped": 1},
        "characters": {"in": 21, "added": 1, "kept": 13, "dropped": 9},
        "reasons": {
            "blank_line": {"documents": 0, "characters": 2},
            "markdown_markup": {"documents": 0, "characters": 5},
            "too_short": {"documents": 1, "characters": 2},
        },
    }


def test_it_can_be_read_back() -> None:
    assert Ledger.from_dict(ledger().as_dict()) == ledger()


@pytest.mark.parametrize("piece", [Piece("lost", 5), Piece("more", 3), Piece("ab", 3, removed={"no_such_reason": 1})])
def test_a_reader_that_loses_a_character_is_found_out(piece: Piece) -> None:
    booked = ledger()
    booked.enter(piece, None)
    with pytest.raises(AssertionError):
        booked.check()


def test_every_reason_is_documented() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "corpus.md").read_text(encoding="utf-8")
    for name, meaning in REASONS.items():
        assert f"| `{name}` | {meaning} |" in page
