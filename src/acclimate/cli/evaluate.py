"""`acclimate evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from acclimate.evaluation.evaluate import Evaluation, TextComparison


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
    """Before and after as a table, and what may be said of it."""
    from acclimate.cli.console import print_table, print_text

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


def _rows(name: str, text: TextComparison) -> list[list[str]]:
    difference = text.difference
    return [
        [
            f"{name}: loss",
            f"{text.before['loss']:.3f}",
            f"{text.after['loss']:.3f}",
            f"{difference.mean:+.3f} ({difference.low:+.3f} … {difference.high:+.3f})",
        ],
        ["  perplexity", f"{text.before['perplexity']:,.1f}", f"{text.after['perplexity']:,.1f}", ""],
        [
            "  accuracy",
            f"{text.before['accuracy']:.1%}",
            f"{text.after['accuracy']:.1%}",
            f"{100 * (text.after['accuracy'] - text.before['accuracy']):+.1f} points",
        ],
        [f"  {text.num_targets:,} targets, {text.num_units:,} {text.unit}s", "", "", ""],
    ]
