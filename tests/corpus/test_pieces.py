"""What every text is mended of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.corpus.pieces import Piece


@pytest.mark.parametrize(
    ("text", "mended", "added", "removed"),
    [
        ("\ufeff\ufeffa", "\ufeffa", 0, {"byte_order_mark": 1}),  # only the first is a mark
        ("a\ufeffb", "a\ufeffb", 0, {}),
        ("a\r\nb", "a\nb", 0, {"carriage_return": 1}),
        ("a\rb\r\r\nc", "a\nb\n\nc", 2, {"carriage_return": 3}),
        ("a\ud83db", "a\ufffdb", 1, {"lone_surrogate": 1}),
        ("\U0001f600\u00a0\u200b\ue000", "\U0001f600\u00a0\u200b\ue000", 0, {}),
    ],
)
def test_mending(text: str, mended: str, added: int, removed: dict[str, int]) -> None:
    piece = Piece(text, len(text)).clean()
    assert (piece.text, piece.added, piece.removed) == (mended, added, removed)


@given(st.text(st.characters(exclude_categories=()) | st.sampled_from("\r\n\ufeff\ud800")))
def test_mended_text_can_be_written_and_is_accounted_for(text: str) -> None:
    piece = Piece(text, len(text)).clean()
    piece.text.encode("utf-8")
    assert "\r" not in piece.text
    assert piece.characters + piece.added == len(piece.text) + sum(piece.removed.values())
