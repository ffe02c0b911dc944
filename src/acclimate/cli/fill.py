"""`acclimate fill`."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def fill(
    model: Annotated[str, typer.Argument(help="A run, a folder or a hub id of a model that fills gaps.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts with [MASK] or <mask> where something is wanted; none, or -, reads stdin."),
    ] = None,
    file: Annotated[str | None, typer.Option("--file", "-f", help="Read texts from this file, one a line.")] = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="Candidates for each mask, or each text.")] = 5,
    json: Annotated[bool, typer.Option("--json", help="Print all candidates as JSON.")] = False,
) -> None:
    """Fill the masks of texts: the likeliest tokens, or spans of any length, best first."""
    from acclimate.cli.console import hush_libraries, print_json
    from acclimate.cli.inputs import read_texts

    hush_libraries()
    lines, _ = read_texts(texts, file, "texts to fill")
    from acclimate.inference.fill import fill_lines, load_filler, to_json

    filler = load_filler(model)
    if json:
        print_json(to_json(list(fill_lines(filler, lines, top_k=top_k))))
        return
    for text, filled in zip(lines, fill_lines(filler, lines, top_k=top_k), strict=True):
        print_candidates(text, filled)


def print_candidates(text: str, filled: list[Any]) -> None:
    """The candidates of one text, as (score, token, sequence) lines; of spans as (score, sequence)."""
    from acclimate.cli.console import print_text

    print_text(text)
    if filled and not isinstance(filled[0], list) and hasattr(filled[0], "spans"):
        for candidate in filled:
            print_text(f"  {candidate.score:7.3f}  {_line(candidate.sequence)}")
        print_text()
        return
    per_mask = filled if isinstance(filled[0], list) else [filled]
    for number, candidates in enumerate(per_mask, start=1):
        if len(per_mask) > 1:
            print_text(f"  mask {number}")
        for candidate in candidates:
            print_text(f"  {candidate.score:.3f}  {_line(candidate.token_str):<16} {_line(candidate.sequence)}")
    print_text()


def _line(text: str) -> str:
    """A text in one line."""
    return text.replace("\n", "↵")
