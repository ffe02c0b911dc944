"""Rows with marks: what is to be predicted is said by signs, and nothing is lost."""

from __future__ import annotations

from acclimate.objectives.inspection import Token
from acclimate.objectives.marking import MARKS, Span, by_piece, marked, piece_number, plain, visible
from tests.objectives.tiny import CLS, MASK, SEP

ROW = (
    Token(CLS, "[CLS]", "[CLS]", "special", 0, -1),
    Token(5, "a", "a", "text", 0, 0),
    Token(MASK, "[MASK]", "[MASK]", "text", 0, 1, 6, "b", " b", "mask"),
    Token(MASK, "[MASK]", "[MASK]", "text", 0, 2, 7, "##c", "c", "mask"),
    Token(9, "x", "x", "text", 0, 3, 8, "d", " d", "random"),
    Token(10, "e", " e", "text", 0, 4, 10, "e", " e", "kept"),
    Token(11, "\n", "\n", "joint", 0, 5),
    Token(SEP, "[SEP]", "[SEP]", "special", 0, -1),
)


def shown(spans: list[Span]) -> list[tuple[str, str | None, bool]]:
    return [(span.text, span.mark, span.special) for span in spans]


def test_neighbours_that_are_masked_are_one_mark() -> None:
    assert shown(marked(ROW)) == [
        ("[CLS]", None, True),
        (" ", None, False),
        ("a", None, False),
        (" ⟦bc→[MASK]×2⟧", "mask", False),
        (" ⟦d→x⟧", "random", False),
        (" ⟦e=⟧", "kept", False),
        (" ", None, False),
        ("↵", None, True),
        (" ", None, False),
        ("[SEP]", None, True),
    ]
    assert all(span.mark in (None, *MARKS) for span in marked(ROW))


def test_a_decoder_reads_as_input_and_as_labels() -> None:
    tokens = (
        Token(0, "</s>", "</s>", "special", 0, -1, 5, "<x>", "<x>", "sentinel"),
        Token(5, "<x>", "<x>", "special", 0, -1, 6, "a", "a", "taken out"),
    )
    assert "".join(span.text for span in plain(tokens, labels=False)) == "</s> <x>"
    assert "".join(span.text for span in plain(tokens, labels=True)) == "<x> a"
    assert plain(tokens, labels=True)[0].token is tokens[0]


def test_texts_of_a_row_have_names_and_colours() -> None:
    row = (Token(5, "a", "a", "text", 0, 0), Token(6, "b", "b", "text", 1, 1))
    assert [(name, len(group)) for name, group in by_piece(row)] == [("0", 1), ("1", 1)]
    pair = tuple(Token(5, "a", "a", "text", 0, 0, token_type=kind) for kind in (0, 1))
    assert [name for name, _ in by_piece(pair)] == ["A", "B"] and piece_number(pair[1]) == 1


def test_signs_stand_for_what_a_terminal_would_obey() -> None:
    assert visible("a\n\t\r\x1b\u202eb") == "a↵⇥␍··b"
