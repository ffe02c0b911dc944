"""`acclimate judge-pair`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from acclimate.inference.judge_pair import Verdict


def judge_pair(
    model: Annotated[str, typer.Argument(help="A run, a folder or a hub id of a model with an NSP or SOP head.")],
    text_a: Annotated[str | None, typer.Argument(help="The first text.")] = None,
    text_b: Annotated[str | None, typer.Argument(help="The text that may follow it.")] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", "-f", help="Pairs: two columns by tab, or a .csv with sentence_a and sentence_b."),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, help="At most so many pairs at a time; default by their length."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> None:
    """Judge whether one text follows another."""
    from acclimate.cli.console import hush_libraries, print_json_list
    from acclimate.errors import SourceError

    hush_libraries()
    if (file is None) == (text_a is None) or (text_a is None) != (text_b is None):
        raise SourceError("give two texts, or a file of pairs by --file")
    from acclimate.inference.judge_pair import load_pair_judge, read_pairs, to_json

    pairs = read_pairs(file) if file is not None else [(text_a or "", text_b or "")]
    verdicts = load_pair_judge(model).judge(pairs, batch_size=batch_size)
    if json:
        print_json_list(map(to_json, verdicts))
        return
    for verdict in verdicts:
        print_verdict(verdict)


def print_verdict(verdict: Verdict) -> None:
    """One line: probability, label and both texts, shortened."""
    from acclimate.cli.console import print_text

    cut = f"  ({verdict.num_cut:,} tokens cut off)" if verdict.num_cut else ""
    texts = " → ".join(map(_shortened, (verdict.text_a, verdict.text_b)))
    print_text(f"{verdict.probability:.3f}  {verdict.label:<9} {texts}{cut}")


def _shortened(text: str, length: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"
