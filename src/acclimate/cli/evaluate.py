"""`acclimate evaluate`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from acclimate.evaluation.asked import Probe, Term, TermsComparison
    from acclimate.evaluation.results import Evaluation, PartComparison, TextComparison
    from acclimate.scoring.bootstrap import Difference

# Terms that are shown of those gained and of those lost; groups of documents likewise.
SHOWN_TERMS = 8
SHOWN_GROUPS = 8


def evaluate(
    run: Annotated[str, typer.Argument(help="Folder of a finished run.")],
    general: Annotated[
        str | None,
        typer.Option(
            "--general",
            help="General text that must not be forgotten: a corpus folder, or files as for `corpus build`.",
        ),
    ] = None,
    probes: Annotated[
        list[str] | None,
        typer.Option("--probes", help="A file of sentences with blanks, which both models fill; may be given again."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            help="Another model in the place of the one before training: a run, a model's folder or a hub id.",
        ),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="Score at most so many tokens of each text.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Compare a run's model with the one it started from, or another, on the same questions about held-out text."""
    from acclimate.cli.console import listening, print_json

    with listening(quiet=json) as listener:
        from acclimate.evaluation.evaluate import evaluate as evaluate_
        from acclimate.evaluation.evaluate import run_settings

        settings = run_settings(run)
        if max_tokens is not None:
            settings = settings.model_copy(update={"max_tokens": max_tokens})
        result = evaluate_(run, general=general, probes=probes, against=against, settings=settings, listener=listener)
    if json:
        print_json(result.to_json())
    else:
        print_evaluation(result)


def print_evaluation(evaluation: Evaluation) -> None:
    """The verdict, before and after as tables, and what may be said of it."""
    from acclimate.cli.console import print_table, print_text

    if evaluation.verdict is not None:
        from acclimate.evaluation.wording import whole_text

        print_text(whole_text(evaluation.verdict.to_json()))
        print_text()
    texts = {"your documents": evaluation.domain, "general text": evaluation.general}
    rows = [row for name, text in texts.items() if text is not None for row in _rows(name, text)]
    if rows:
        print_table(
            "Before and after, on the same masks of held-out text",
            ["", "before", "after", "difference (95 %)"],
            rows,
        )
    for name, text in texts.items():
        if text is not None and text.breakdown.source:
            _print_sources(name, text)
    if evaluation.terms is not None and evaluation.terms.asked:
        _print_terms(evaluation.terms)
    if evaluation.probes:
        print_table("Your probes", ["", "before", "after"], [_probe_row(probe) for probe in evaluation.probes])
    print_text(f"before: {evaluation.before}")
    for note in evaluation.notes:
        print_text(f"note: {note}")
    print_text(f"examples, passages and all figures: {evaluation.run}/evaluation/{evaluation.file}")


# How measures are called, and shown; in this order.
_MEASURES: dict[str, tuple[str, str]] = {
    "bits_per_byte": ("bits per byte", ".3f"),
    "loss": ("loss", ".3f"),
    "perplexity": ("perplexity", ",.1f"),
    "accuracy": ("accuracy", ".1%"),
    "accuracy_at_5": ("accuracy at 5", ".1%"),
}


def _rows(name: str, text: TextComparison) -> list[list[str]]:
    rows = []
    for part_name, part in text.parts.items():
        title = f"{name}: {part_name}" if len(text.parts) > 1 else name
        rows.append([f"{title}, {part.num_targets:,} {'words' if part.difference is None else 'targets'}", "", "", ""])
        rows += [_row(measure, part) for measure in _ordered(part.before)]
    whole = text.pseudo_log_likelihood
    if whole is not None:
        figures = [f"{whole.before:.3f}", f"{whole.after:.3f}", _interval(whole.difference)]
        rows.append(["  pseudo-log-likelihood", *figures])
    rows.append([f"  {_counted(text.num_units, text.unit)}", "", "", ""])
    return rows


def _ordered(measures: Mapping[str, float]) -> list[str]:
    return [*(name for name in _MEASURES if name in measures), *(name for name in measures if name not in _MEASURES)]


def _row(measure: str, part: PartComparison) -> list[str]:
    title, form = _MEASURES.get(measure, (measure.replace("accuracy_", "accuracy on ").replace("_", " "), ".1%"))
    before, after = part.before[measure], part.after.get(measure, math.nan)
    difference = {"loss": part.difference, "bits_per_byte": part.bits_per_byte_difference}.get(measure)
    if difference is not None:
        change = _interval(difference)
    else:
        change = f"{100 * (after - before):+.1f} points" if form == ".1%" else ""
    return [f"  {title}", format(before, form), format(after, form), change]


def _interval(difference: Difference) -> str:
    return f"{difference.mean:+.3f} ({difference.low:+.3f} … {difference.high:+.3f})"


def _print_sources(name: str, text: TextComparison) -> None:
    from acclimate.cli.console import print_table
    from acclimate.objectives.marking import visible

    rows = [
        [
            f"{visible(group.name)}, {_counted(group.num_units, text.unit)}",
            f"{group.before:.3f}",
            f"{group.after:.3f}",
            f"{group.after - group.before:+.3f}" if group.difference is None else _interval(group.difference),
        ]
        for group in text.breakdown.source[:SHOWN_GROUPS]
    ]
    print_table(f"Loss by source, {name}", ["", "before", "after", "difference (95 %)"], rows)


def _print_terms(terms: TermsComparison) -> None:
    from acclimate.cli.console import print_table, print_text

    asked = [term for term in terms.terms if term.asked]
    gained = [term for term in asked if term.after > term.before][:SHOWN_TERMS]
    lost = [term for term in asked if term.after < term.before][-SHOWN_TERMS:]
    assert terms.before is not None and terms.after is not None
    print_table(
        "Your terms, hidden whole",
        ["", "asked", "found before", "after", "pieces"],
        [
            *([["gained most", "", "", "", ""]] if gained else []),
            *map(_term_row, gained),
            *([["lost", "", "", "", ""]] if lost else []),
            *map(_term_row, reversed(lost)),
            ["all", f"{terms.asked:,}", f"{terms.before:.1%}", f"{terms.after:.1%}", f"{terms.mean_pieces:.1f} a word"],
        ],
    )
    if terms.difference is not None:
        low, high = (f"{100 * bound:+.1f}" for bound in (terms.difference.low, terms.difference.high))
        print_text(f"found: {100 * terms.difference.mean:+.1f} points (95 %: {low} … {high})")


def _term_row(term: Term) -> list[str]:
    return [f"  {term.term}", str(term.asked), str(term.before), str(term.after), f"{term.pieces:.1f}"]


def _counted(number: int, unit: str) -> str:
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def _probe_row(probe: Probe) -> list[str]:
    """A probe with the three best guesses for each blank, and where the expected answer stands."""
    from acclimate.objectives.marking import visible

    if probe.note is not None:
        return [visible(probe.text), f"not asked: {probe.note}", ""]

    def best(which: str) -> str:
        guesses = [getattr(blank, which) for blank in probe.blanks]
        return " · ".join(", ".join(visible(guess.text) for guess in own[:3]) for own in guesses)

    expected = [
        f"expected {visible(blank.expected)}: place {blank.rank_before:,} → {blank.rank_after:,}"
        for blank in probe.blanks
        if blank.expected is not None and blank.rank_before is not None and blank.rank_after is not None
    ]
    return ["\n".join([visible(probe.text), *expected]), best("before"), best("after")]
