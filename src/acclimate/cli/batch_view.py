"""How rows are drawn on a terminal: text with marks, tables of tokens, pictures of the attention.

Colours only repeat what the marks say, so that nothing is lost where there are none (a pipe, `NO_COLOR`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from acclimate.cli.console import print_table, print_text
from acclimate.objectives.inspection import WHY
from acclimate.objectives.marking import by_piece, marked, piece_name, piece_number, plain, visible

if TYPE_CHECKING:
    from acclimate.jobs.inspect_batch import InspectedRow, Inspection
    from acclimate.objectives.exposure import Exposure
    from acclimate.objectives.inspection import Token

# Backgrounds of the texts in a row, in turn; light ones, with black letters, are readable on any terminal.
_BACKGROUNDS = ("#dbeafe", "#dcfce7", "#fef3c7", "#fce7f3", "#ede9fe", "#cffafe")
# In a picture the texts have no letters: stronger colours.
_BLOCKS = ("#3b82f6", "#22c55e", "#f59e0b", "#ec4899", "#8b5cf6", "#06b6d4")
_LETTERS = {
    "mask": "bold #b91c1c",
    "random": "bold #a21caf",
    "kept": "bold #1d4ed8",
    "stands for": "bold #b91c1c",
    "read": "bold #1d4ed8",
    "special": "#6b7280",
}
_LEGEND = {
    "mask": "⟦original→mask⟧ to be predicted; the model gets the mask token (×n: n tokens)",
    "random": "⟦original→other⟧ to be predicted; the model gets a random token",
    "kept": "⟦original=⟧ to be predicted; the model gets it as it is",
    "stands for": "⟦original→sentinel⟧ taken out; the model gets the sentinel, or a mask, and tells the original",
    "read": "⟦token⟧ read and not predicted; every other token is predicted from those before it",
}
# A picture has at most so many cells a side; a cell is drawn where this share of its pairs may attend.
_CELLS = 40
_SHARE = 0.25


def print_inspection(inspection: Inspection, *, tokens: bool = False) -> None:
    """The rows on stdout; with `tokens` as tables of one token a line."""
    console = Console(highlight=False, emoji=False)
    kind = "held-out rows" if inspection.held_out else "rows an epoch"
    texts = "several texts a row, kept apart" if inspection.packed else "one example a row"
    print_text(
        f"{inspection.objective} on a model of type {inspection.model_type}: {inspection.num_rows:,} {kind} of "
        f"{inspection.max_length} tokens, {texts}"
    )
    for row in inspection.rows:
        _print_header(row)
        if tokens:
            _print_tokens(row)
        else:
            _print_text_of(console, row)
            _print_attention(console, row)
    for note in inspection.notes:
        print_text(f"note: {note}")


def _print_header(row: InspectedRow) -> None:
    source = " of replayed general text" if row.key < 0 else ""
    length = f"{row.num_tokens} tokens, padding {row.num_padding}"
    print_text(f"\nkey {row.key}: row {row.row:,} of epoch {row.epoch}{source}, {length}")
    for part, answer in row.verdicts.items():
        print_text(f"{part}: {answer}")


# ---- running text ---------------------------------------------------------------------------------------------------


def _print_text_of(console: Console, row: InspectedRow) -> None:
    used: dict[str, None] = {}
    for side, tokens in row.sides.items():
        if side != "row":
            print_text(side)
        for name, group in by_piece(tokens):
            if side != "decoder":
                print_text(f"  {name}  {_source(row, name)}")
                _print_indented(console, _marked(group, used))
            else:
                print_text(f"  {name}")
                _print_indented(console, _plain(group, labels=False))
                _print_indented(console, _plain(group, labels=True))
    for mark in used:
        console.print(Text(f"  {_LEGEND[mark]}", _LETTERS[mark] if console.color_system else ""), soft_wrap=True)


def _print_indented(console: Console, text: Text) -> None:
    console.print(Padding(text, (0, 0, 0, 5), expand=False))


def _source(row: InspectedRow, name: str) -> str:
    for piece in row.pieces:
        if piece.name == name:
            more = f" … {piece.documents[-1]} ({len(piece.documents)})" if len(piece.documents) > 1 else ""
            return f"{visible(piece.documents[0] + more)}, tokens {piece.start:,}–{piece.end - 1:,}"
    return ""


def _marked(tokens: Sequence[Token], used: dict[str, None]) -> Text:
    """A text with its marks; `used` takes down which there are."""
    text = Text(style=f"black on {_background(tokens[0])}")
    for span in marked(tokens):
        if span.mark is not None:
            used.setdefault(span.mark)
        text.append(span.text, _LETTERS[span.mark] if span.mark else _LETTERS["special"] if span.special else "")
    return text


def _plain(tokens: Sequence[Token], *, labels: bool) -> Text:
    """The decoder's input, or its labels, as they read."""
    text = Text("label: " if labels else "input: ")
    for span in plain(tokens, labels=labels):
        letters = _LETTERS["special"] if span.special else "black"
        text.append(span.text, "" if span.token is None else f"{letters} on {_background(span.token)}")
    return text


def _background(token: Token) -> str:
    return _BACKGROUNDS[piece_number(token) % len(_BACKGROUNDS)]


# ---- tables ---------------------------------------------------------------------------------------------------------


def _print_tokens(row: InspectedRow) -> None:
    for side, tokens in row.sides.items():
        columns = ["", "token", "id", "segment", "kind", "label", "id", "why"]
        cells = [_cells(number, token) for number, token in enumerate(tokens)]
        if all(token.draw is None for token in tokens):
            cells = [line[:-1] for line in cells]
        else:
            columns = [*columns, "draw"]
        print_table("" if side == "row" else side, columns, cells)
    if row.sides.keys() != {"row"}:
        print_text("of an encoder's sentinel the label is what the decoder tells of it")
    asked = {token.why for tokens in row.sides.values() for token in tokens}
    for why, meaning in WHY.items():
        if why in asked:
            print_text(f"{why}: {meaning}")


def _cells(number: int, token: Token) -> list[str]:
    label = visible(token.stands_for) if token.stands_for is not None else visible(token.label_piece or "")
    return [
        str(number),
        visible(token.piece),
        str(token.id),
        piece_name(token),
        token.kind,
        label,
        "" if token.label is None else str(token.label),
        token.why or "",
        "" if token.draw is None else f"{token.draw:.4f}",
    ]


# ---- attention ------------------------------------------------------------------------------------------------------


def _print_attention(console: Console, row: InspectedRow) -> None:
    segments = {side: [token.segment for token in tokens] for side, tokens in row.sides.items()}
    cell = _cell(row, console.width)
    grid = Table.grid(padding=(0, 2))
    grid.add_row(*(f"{side} {allowed.shape[0]} × {allowed.shape[1]}" for side, allowed in row.attention.items()))
    grid.add_row(*(draw(allowed, segments[side.split(" to ")[0]], cell) for side, allowed in row.attention.items()))
    print_text(
        f"  attention: each line a token that sees, each column one that is seen; a cell is {cell} × {cell} tokens"
    )
    console.print(Padding(grid, (0, 0, 0, 2), expand=False))


def _cell(row: InspectedRow, width: int) -> int:
    """Tokens a side of a cell: no picture has more than `_CELLS`, and all of them stand beside each other."""
    longest = max(max(allowed.shape) for allowed in row.attention.values())
    columns = sum(allowed.shape[1] for allowed in row.attention.values())
    # Of each picture a frame and the blanks before the next.
    room = max(width - 2 - 5 * len(row.attention), len(row.attention))
    return int(max(-(-longest // _CELLS), -(-columns // room)))


def draw(allowed: NDArray[np.bool_], segments: Sequence[int], cell: int) -> Text:
    """A picture of who may attend to whom, in block characters, two cells above each other in one.

    Args:
        allowed: [queries, keys] bool.
        segments: of the queries, for their colours.
        cell: tokens a side that a cell stands for.
    """
    cells = shrink(allowed, cell)
    if len(cells) % 2:
        cells = np.concatenate([cells, np.zeros((1, cells.shape[1]), dtype=bool)])
    picture = Text(f"┌{'─' * cells.shape[1]}┐\n", no_wrap=True)
    for number in range(0, len(cells), 2):
        colour = _BLOCKS[segments[number * cell] % len(_BLOCKS)]
        line = "".join(" ▄▀█"[2 * upper + lower] for upper, lower in cells[number : number + 2].T.astype(int))
        picture.append("│").append(line, colour).append("│\n")
    return picture.append(f"└{'─' * cells.shape[1]}┘")


def shrink(allowed: NDArray[np.bool_], cell: int) -> NDArray[np.bool_]:
    """Whether at least a quarter of the pairs in each `cell` x `cell` block may attend; smaller blocks at the edges."""
    rows, columns = (np.arange(0, size, cell) for size in allowed.shape)
    sums = np.add.reduceat(np.add.reduceat(allowed.astype(np.int64), rows, axis=0), columns, axis=1)
    heights, widths = (
        np.diff([*starts, size]) for starts, size in ((rows, allowed.shape[0]), (columns, allowed.shape[1]))
    )
    shrunk: NDArray[np.bool_] = sums >= _SHARE * np.outer(heights, widths)
    return shrunk


# ---- ledger ---------------------------------------------------------------------------------------------------------


def print_exposure(exposure: Exposure) -> None:
    """How many tokens were met how often, as a table."""
    histograms = exposure.histograms()
    columns = [(kind, role) for kind in histograms for role in ("inputs", "targets")]
    times = sorted({count for kind, role in columns for count in histograms[kind][role]})
    print_table(
        f"Tokens by how often they are met in {exposure.epochs:,} {'epoch' if exposure.epochs == 1 else 'epochs'}",
        ["times", "text as input", "text as target", "joints as input", "joints as target"],
        [[f"{count:,}", *(f"{histograms[kind][role].get(count, 0):,}" for kind, role in columns)] for count in times],
    )
