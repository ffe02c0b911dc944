"""Before and after: every measure on the same masks, with intervals, and by source, length and document."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from acclimate.reporting.evaluation_file import EvaluationFile, Group, TextFigures, Verdict
from acclimate.reporting.facts import Facts
from acclimate.reporting.html import details, join, paragraph, prose, shortened, table, tag
from acclimate.reporting.sections.common import (
    LONGEST_NAME,
    difference_cells,
    main_difference,
    measure_name,
    measure_rows,
    missing,
    without_paths,
)
from acclimate.reporting.svg.base import figure
from acclimate.reporting.svg.forest import ForestRow, forest
from acclimate.reporting.words import Words

# Groups that a breakdown shows; the contract has at most 20 documents.
MOST_GROUPS = 20
MOST_NOTES = 20
LONGEST_NOTE = 600


def render(facts: Facts, words: Words) -> Markup:
    """The plot of the headlines, the table of all measures, and the breakdowns of the documents."""
    evaluation = facts.evaluation
    if evaluation is None:
        return missing("missing_evaluation", facts, words)
    texts = [(name, text) for name, text in (("domain", evaluation.domain), ("general", evaluation.general)) if text]
    if not texts:
        return missing("missing_texts", facts, words)
    rows = list(_headlines(evaluation, texts, words))
    plot = figure(
        lambda width: forest(rows, words, id_="comparison", title=words("comparison_plot"), width=width),
        words("comparison_caption"),
    )
    told = (shortened(without_paths(note, facts), LONGEST_NOTE) for note in evaluation.notes[:MOST_NOTES])
    notes = tag("ul", *(tag("li", prose(note)) for note in told), lang="en")
    return join(
        [
            plot if rows else None,
            *(_measures(text, words(f"text_{name}"), words) for name, text in texts),
            # General text is the section of what was forgotten.
            breakdown("domain", evaluation.domain, words, claim=evaluation.claim is not False),
            tag("div", tag("h3", words("notes")), notes, class_="notes") if evaluation.notes else None,
        ]
    )


def _headlines(
    evaluation: EvaluationFile, texts: Sequence[tuple[str, TextFigures]], words: Words
) -> Iterator[ForestRow]:
    judged = evaluation.verdict or Verdict()
    for name, text in texts:
        for part_name, part in text.parts.items():
            found = main_difference(part, judged.domain if name == "domain" else judged.general)
            if found is None:
                continue
            measure, difference = found
            title = words(f"text_{name}") + (f" · {part_name}" if len(text.parts) > 1 else "")
            if measure == "bits_per_byte":
                title += f" ({measure_name(measure, words)})"
            yield ForestRow(
                title,
                difference.low,
                difference.mean,
                difference.high,
                strong=True,
                claim=evaluation.claim is not False,
            )


def _measures(text: TextFigures, name: str, words: Words) -> Markup:
    """Every measure of a text as a table."""
    rows = []
    for part_name, part in text.parts.items():
        prefix = f"{part_name}: " if len(text.parts) > 1 else ""
        rows += [[f"{prefix}{cells[0]}", *cells[1:]] for cells in measure_rows(part, words)]
    found = text.pseudo_log_likelihood
    if found is not None:
        likelihoods = [words.decimal(found.before), words.decimal(found.after)]
        rows.append([words("measure_pll"), *likelihoods, *difference_cells(found.difference, words)])
    head = [words("measure"), words("before"), words("after"), words("difference"), words("interval_95")]
    asked = words(
        f"asked_{text.unit}",
        targets=words.integer(next((part.targets for part in text.parts.values()), None)),
        units=words.integer(text.units),
    )
    return join([table(head, rows, caption=words("comparison_table", name=name)), paragraph(asked, "quiet")])


def breakdown(name: str, text: TextFigures | None, words: Words, *, claim: bool) -> Markup | None:
    """The differences by source, length and document; None where there are none."""
    found = text.breakdown if text is not None else None
    if found is None:
        return None
    parts = [
        _groups(name, kind, groups[:MOST_GROUPS], words, claim=claim)
        for kind, groups in (
            ("source", found.source),
            ("length", found.length),
            ("document", found.document),
        )
        # One source says what the whole says.
        if len(groups) > (1 if kind == "source" else 0)
    ]
    return join(parts) if parts else None


def _groups(name: str, kind: str, groups: Sequence[Group], words: Words, *, claim: bool) -> Markup:
    caption = words("titled", name=words(f"text_{name}"), what=words(f"by_{kind}"))
    rows = [row for group in groups if (row := _row(kind, group, claim=claim)) is not None]
    head = [
        words(f"group_{kind}"),
        words("targets"),
        words("units"),
        words("before"),
        words("after"),
        words("difference"),
        words("interval_95"),
    ]
    cells = [
        [
            shortened(group.name, LONGEST_NAME),
            words.integer(group.targets),
            words.integer(group.units),
            words.decimal(group.before),
            words.decimal(group.after),
            *_difference(group, words),
        ]
        for group in groups
    ]
    plot = figure(lambda width: forest(rows, words, id_=f"{name}-{kind}", title=caption, width=width)) if rows else None
    body = table(head, cells, caption=caption, class_="paths")
    heading = tag("h3", caption)
    return join([heading, plot, details(words("as_table"), body) if plot else body])


def _row(kind: str, group: Group, *, claim: bool) -> ForestRow | None:
    """A group in the drawing. A document has no interval of its own: it is a point, which says neither better nor
    worse."""
    name, found = shortened(group.name, LONGEST_NAME), group.difference
    if found is not None:
        return ForestRow(name, found.low, found.mean, found.high, claim=claim, is_path=kind == "document")
    if kind != "document" or group.before is None or group.after is None:
        return None
    change = group.after - group.before
    if not math.isfinite(change):
        return None
    return ForestRow(name, change, change, change, claim=False, is_path=True)


def _difference(group: Group, words: Words) -> list[str]:
    if group.difference is not None:
        return difference_cells(group.difference, words)
    if group.before is None or group.after is None:
        return ["", ""]
    # Of one document there is never one.
    return [words.signed(group.after - group.before), words("too_few_units") if group.units != 1 else ""]
