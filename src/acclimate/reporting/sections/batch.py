"""What the model really sees: rows of a batch, decoded, with labels and the borders of the texts in them."""

from __future__ import annotations

from markupsafe import Markup

from acclimate.reporting.facts import Batch, BatchPiece, BatchRow, BatchSpan, Facts
from acclimate.reporting.html import join, paragraph, prose, shortened, tag
from acclimate.reporting.sections.common import LONGEST_NAME
from acclimate.reporting.words import Words

COLOURS = 6
# Characters of one text's line that are shown, and of all lines of a row.
LONGEST_LINE = 4000
LONGEST_ROW = 16_000
MOST_PIECES = 24


def render(facts: Facts, words: Words) -> Markup:
    """The rows, and below them what the marks mean."""
    batch = facts.batch
    if batch is None:
        why = facts.missing.get("batch")
        told = prose(words("missing_batch", folder=facts.folder))
        return tag("p", told, f" ({why})" if why else None, class_="missing")
    marks = dict.fromkeys(
        span.mark for row in batch.rows for piece in row.pieces for span in _spans(piece) if span.mark
    )
    return join(
        [
            paragraph(_introduction(batch, words)),
            tag("ul", *(_meaning(mark, words) for mark in marks), class_="marks") if marks else None,
            *(_row(row, words) for row in batch.rows),
        ]
    )


def _meaning(mark: str, words: Words) -> Markup:
    key = _key(mark)
    return tag("li", tag("span", words(f"sign_{key}"), class_=f"mark {key}"), " ", words(f"mark_{key}"))


def _key(mark: str) -> str:
    return mark.replace(" ", "_")


def _spans(piece: BatchPiece) -> list[BatchSpan]:
    return [span for line in piece.lines.values() for span in line]


def _introduction(batch: Batch, words: Words) -> str:
    return words(
        "batch_packed" if batch.packed else "batch_single",
        objective=batch.objective,
        rows=words.integer(batch.num_rows),
        length=words.integer(batch.max_length),
    )


def _row(row: BatchRow, words: Words) -> Markup:
    header = words(
        "batch_row",
        number=words.integer(row.number),
        tokens=words.integer(row.num_tokens),
        padding=words.integer(row.num_padding),
    )
    asked = [tag("p", f"{part}: ", tag("b", answer)) for part, answer in row.verdicts.items()]
    pieces = _fitting(row.pieces)
    left_out = len(row.pieces) - len(pieces)
    return tag(
        "div",
        tag("h3", header),
        *asked,
        *(_piece(piece, words) for piece in pieces),
        paragraph(words("more_left_out", number=words.integer(left_out)), "quiet") if left_out > 0 else None,
        class_="row",
    )


def _fitting(pieces: tuple[BatchPiece, ...]) -> list[BatchPiece]:
    """The first pieces, as many as a page has room for; at least one."""
    chosen: list[BatchPiece] = []
    length = 0
    for piece in pieces[:MOST_PIECES]:
        lines = (sum(len(span.text) for span in line) for line in piece.lines.values())
        length += sum(min(line, LONGEST_LINE) for line in lines)
        if chosen and length > LONGEST_ROW:
            break
        chosen.append(piece)
    return chosen


def _piece(piece: BatchPiece, words: Words) -> Markup:
    documents = shortened(piece.documents[0], LONGEST_NAME) if piece.documents else ""
    if len(piece.documents) > 1:
        documents += f" … {shortened(piece.documents[-1], LONGEST_NAME)} ({len(piece.documents)})"
    lines = [
        tag(
            "p",
            tag("span", words(f"batch_{role}"), class_="role") if role != "row" else None,
            _line(spans),
            class_="tokens",
            dir="auto",
        )
        for role, spans in piece.lines.items()
    ]
    return tag(
        "div",
        tag("p", words("batch_text", name=piece.name), " ", tag("span", documents), class_="source"),
        *lines,
        class_=f"piece p{piece.colour % COLOURS}",
    )


def _line(spans: tuple[BatchSpan, ...]) -> Markup:
    shown: list[str] = []
    left = LONGEST_LINE
    # Neighbours that are drawn alike are one element.
    kind, text = "", ""
    for span in spans:
        own = f"mark {_key(span.mark)}" if span.mark else "special" if span.special else ""
        if own != kind or span.mark:
            shown.append(_element(text, kind))
            kind, text = own, ""
        text += span.text
        left -= len(span.text)
        if left < 0:
            text = text[:left] + "…"
            break
    shown.append(_element(text, kind))
    return join(shown)


def _element(text: str, kind: str) -> str:
    return tag("span", text, class_=kind) if kind else text
