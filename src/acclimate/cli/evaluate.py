"""`acclimate evaluate`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from acclimate.evaluation.results import Evaluation, PartComparison, TextComparison


def evaluate(
    run: Annotated[str, typer.Argument(help="Folder of a finished run.")],
    general: Annotated[
        str | None,
        typer.Option(
            "--general",
            help="General text that must not be forgotten: a corpus folder, or files as for `corpus build`.",
        ),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="Score at most so many tokens of each text.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Compare a run's model with the one it started from, on the same masks of held-out text."""
    from acclimate.cli.console import listening, print_json

    with listening(quiet=json) as listener:
        from acclimate.evaluation.evaluate import evaluate as evaluate_
        from acclimate.evaluation.evaluate import run_settings

        settings = run_settings(run)
        if max_tokens is not None:
            settings = settings.model_copy(update={"max_tokens": max_tokens})
        result = evaluate_(run, general=general, settings=settings, listener=listener)
    if json:
        print_json(result.to_json())
    else:
        print_evaluation(result)


def print_evaluation(evaluation: Evaluation) -> None:
    """The verdict, before and after as a table, and what may be said of it."""
    from acclimate.cli.console import print_table, print_text
    from acclimate.evaluation.wording import whole_text

    if evaluation.verdict is not None:
        print_text(whole_text(evaluation.verdict.to_json()))
    texts = {"your documents": evaluation.domain, "general text": evaluation.general}
    rows = [row for name, text in texts.items() if text is not None for row in _rows(name, text)]
    if rows:
        print_table(
            "Before and after, on the same masks of held-out text",
            ["", "before", "after", "difference (95 %)"],
            rows,
        )
    print_text(f"before: {evaluation.before}")
    for note in evaluation.notes:
        print_text(f"note: {note}")


# How measures are called, and shown; in this order.
_MEASURES: dict[str, tuple[str, str]] = {
    "bits_per_byte": ("bits per byte", ".3f"),
    "loss": ("loss", ".3f"),
    "perplexity": ("perplexity", ",.1f"),
    "accuracy": ("accuracy", ".1%"),
}


def _rows(name: str, text: TextComparison) -> list[list[str]]:
    rows = []
    for part_name, part in text.parts.items():
        title = f"{name}: {part_name}" if len(text.parts) > 1 else name
        rows.append([f"{title}, {part.num_targets:,} targets", "", "", ""])
        rows += [_row(measure, part) for measure in _ordered(part.before)]
    rows.append([f"  {text.num_units:,} {text.unit}s", "", "", ""])
    return rows


def _ordered(measures: Mapping[str, float]) -> list[str]:
    return [*(name for name in _MEASURES if name in measures), *(name for name in measures if name not in _MEASURES)]


def _row(measure: str, part: PartComparison) -> list[str]:
    title, form = _MEASURES.get(measure, (measure.replace("accuracy_", "accuracy on ").replace("_", " "), ".1%"))
    before, after = part.before[measure], part.after.get(measure, math.nan)
    difference = {"loss": part.difference, "bits_per_byte": part.bits_per_byte_difference}.get(measure)
    if difference is not None:
        change = f"{difference.mean:+.3f} ({difference.low:+.3f} … {difference.high:+.3f})"
    else:
        change = f"{100 * (after - before):+.1f} points" if form == ".1%" else ""
    return [f"  {title}", format(before, form), format(after, form), change]
