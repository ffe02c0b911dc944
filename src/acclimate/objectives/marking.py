"""A row as it reads, with marks where something is to be predicted: what the terminal and the report both draw.

Everything is said by signs in the text, so that nothing is lost without colours.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from acclimate.objectives.inspection import Token

# How a token may be marked; who draws rows has a legend with these keys.
MARKS = ("mask", "random", "kept", "stands for", "read")


@dataclass(frozen=True)
class Span:
    """A stretch of a row that is drawn alike.

    Attributes:
        text: what is shown, line breaks and the like as signs.
        mark: a row of `MARKS`; None for what is shown as it reads.
        special: whether it stands for nothing in the text, as `[SEP]` does.
        token: the first token of it; None for a blank between two that have none.
    """

    text: str
    mark: str | None = None
    special: bool = False
    token: Token | None = None


def by_piece(tokens: Sequence[Token]) -> Iterator[tuple[str, list[Token]]]:
    """The tokens of each text, by its name: the number of its segment, or A and B."""
    for found, group in itertools.groupby(tokens, key=piece_name):
        yield found, list(group)


def piece_name(token: Token) -> str:
    """What the text of a token is called in `Piece.name`."""
    return str(token.segment) if token.token_type is None else "AB"[token.token_type]


def piece_number(token: Token) -> int:
    """Which colour the text of a token has."""
    return token.segment if token.token_type is None else token.token_type


def marked(tokens: Sequence[Token]) -> list[Span]:
    """A text as it reads, what is to be predicted of it between ⟦ and ⟧."""
    causal = any(token.why in ("next", "end") for token in tokens)
    line = _Line()
    for mark, group in itertools.groupby(tokens, key=lambda token: _mark(token, causal)):
        found = list(group)
        if mark is None:
            for token in found:
                line.add(Span(visible(token.text), None, token.kind != "text", token))
            continue
        # Each token that is replaced at random, or that stands for a span, is a mark of its own.
        for part in [found] if mark in ("mask", "kept", "read") else [[token] for token in found]:
            line.add(Span(_in_brackets(mark, part), mark, False, part[0]))
    return line.spans


def plain(tokens: Sequence[Token], *, labels: bool) -> list[Span]:
    """The decoder's input, or its labels, as they read."""
    line = _Line()
    for token in tokens:
        shown = (token.label_text or "") if labels else token.text
        special = token.why in ("sentinel", "end") if labels else token.kind == "special"
        line.add(Span(visible(shown), None, special, token))
    return line.spans


def visible(text: str) -> str:
    """Line breaks and tabs as signs, and what a terminal would take for a command not at all."""
    signs = {"\n": "↵", "\r": "␍", "\t": "⇥"}
    return "".join(signs.get(letter, letter if letter.isprintable() or letter == " " else "·") for letter in text)


def _mark(token: Token, causal: bool) -> str | None:
    if token.why in ("mask", "random", "kept"):
        return token.why
    if token.stands_for is not None:
        return "stands for"
    return "read" if causal and token.label is None else None


def _in_brackets(mark: str, tokens: Sequence[Token]) -> str:
    """A mark, behind the blank that the text has there."""
    if mark == "read":
        # A part of a character reads as nothing: its name is better.
        return f"⟦{visible(''.join(token.text for token in tokens) or ''.join(token.piece for token in tokens))}⟧"
    original = (
        "".join(token.label_text or "" for token in tokens) if mark != "stands for" else tokens[0].stands_for or ""
    )
    # Of a character in several tokens only the last has a text; the names of the others are better than nothing.
    original = original or "".join(token.label_piece or "" for token in tokens)
    blank = " " if original.startswith(" ") and original != " " else ""
    original = "␣" if original == " " else visible(original.removeprefix(" "))
    if mark == "kept":
        return f"{blank}⟦{original}=⟧"
    times = f"×{len(tokens)}" if len(tokens) > 1 else ""
    return f"{blank}⟦{original}→{visible(tokens[0].text)}{times}⟧"


class _Line:
    """A text under way. Special tokens stand apart from what is beside them, though there is no blank in the text."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def add(self, span: Span) -> None:
        last = next((former for former in reversed(self.spans) if former.text), None)
        # An empty span ends a special token's neighbourhood as well.
        after_special = bool(self.spans) and self.spans[-1].special
        text = span.text
        has_blank = not self.spans or (last is not None and last.text.endswith(" ")) or text.startswith(" ")
        if (span.special or after_special) and not has_blank:
            self.spans.append(Span(" "))
        if not self.spans:
            text = text.removeprefix(" ")
        self.spans.append(Span(text, span.mark, span.special, span.token))
