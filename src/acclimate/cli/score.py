"""`acclimate score`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from acclimate.inference.score import PartScore, Scores

# How measures are called, and shown; in this order.
_MEASURES: dict[str, tuple[str, str]] = {
    "bits_per_byte": ("bits per byte", ".3f"),
    "loss": ("loss", ".3f"),
    "perplexity": ("perplexity", ",.1f"),
    "accuracy": ("accuracy", ".1%"),
}


def score(
    model: Annotated[str, typer.Argument(help="A run, a folder or a hub id.")],
    texts: Annotated[list[str] | None, typer.Argument(help="Texts to score.")] = None,
    file: Annotated[
        list[str] | None, typer.Option("--file", "-f", help="A text file to score; may be given several times.")
    ] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option("--sources", help="Documents as for `corpus build`; may be given several times."),
    ] = None,
    objective: Annotated[
        str | None, typer.Option("--objective", help="By which the model is asked; default its own.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="At most so many rows at a time; default by their length.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Score how well a model predicts texts: bits per byte, loss, perplexity; accuracy on masks."""
    from acclimate.cli.console import listening, print_json

    with listening(quiet=json) as listener:
        from acclimate.inference.score import score as score_
        from acclimate.inference.score import to_json

        scores = score_(
            model,
            texts or [],
            file=file or [],
            sources=sources or [],
            objective=objective,
            batch_size=batch_size,
            listener=listener,
        )
    if json:
        print_json(to_json(scores))
    else:
        print_scores(scores)


def print_scores(scores: Scores) -> None:
    """A row for each text and part, and one for all together."""
    from acclimate.cli.console import print_table, print_text

    measures = [name for name in _MEASURES if any(name in part.measures for part in scores.total.parts.values())]
    alone = len(scores.texts) == 1
    texts = scores.texts if alone else (*scores.texts, scores.total)
    rows = [
        [text.name if len(text.parts) == 1 else f"{text.name}: {name}", *_figures(part, measures)]
        for text in texts
        for name, part in text.parts.items()
    ]
    columns = ["", *(_MEASURES[name][0] for name in measures), "targets", "bytes"]
    print_table(f"{scores.model}, asked by {scores.objective} in rows of {scores.max_length}", columns, rows)
    for note in scores.notes:
        print_text(f"note: {note}")


def _figures(part: PartScore, measures: list[str]) -> list[str]:
    figures = [format(part.measures[name], _MEASURES[name][1]) if name in part.measures else "" for name in measures]
    return [*figures, f"{part.num_targets:,}", f"{part.num_bytes:,}" if part.num_bytes else ""]
