"""Before and after: every measure on the same masks, with intervals, and by source, length and document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from acclimate.report.evaluation_file import Group, TextFigures
from acclimate.report.facts import Facts
from acclimate.report.html import details, join, paragraph, shortened, table, tag
from acclimate.report.sections.common import (
    LONGEST_NAME,
    difference_cells,
    main_difference,
    measure_name,
    measure_rows,
    missing,
)
from acclimate.report.svg.base import figure
from acclimate.report.svg.forest import ForestRow, forest
from acclimate.report.words import Words

# Groups that a breakdown shows; the contract has at most 20 documents.
MOST_GROUPS = 20


def render(facts: Facts, words: Words) -> Markup:
    """The plot of the headlines, the table of all measures, and the breakdowns of the documents."""
    evaluation = facts.evaluation
    if evaluation is None:
        return missing("missing_evaluation", facts, words)
    texts = [(name, text) for name, text in (("domain", evaluation.domain), ("general", evaluation.general)) if text]
    if not texts:
        return missing("missing_texts", facts, words)
    rows = list(_headlines(texts, words))
    plot = figure(
        lambda width: forest(rows, words, id_="comparison", title=words("comparison_plot"), width=width),
        words("comparison_caption"),
    )
    broken = [_breakdown(name, text, words) for name, text in texts]
    return join([plot if rows else None, _table(texts, words), *broken])


def _headlines(texts: Sequence[tuple[str, TextFigures]], words: Words) -> Iterator[ForestRow]:
    for name, text in texts:
        for number, (part_name, part) in enumerate(text.parts.items()):
            found = main_difference(part)
            if found is None:
                continue
            measure, difference = found
            title = words(f"text_{name}") + (f", {part_name}" if len(text.parts) > 1 else "")
            if measure == "bits_per_byte":
                title += f" ({measure_name(measure, words)})"
            yield ForestRow(title, difference.low, difference.mean, difference.high, strong=number == 0)


def _table(texts: Sequence[tuple[str, TextFigures]], words: Words) -> Markup:
    rows: list[list[str]] = []
    for name, text in texts:
        for part_name, part in text.parts.items():
            prefix = words(f"text_{name}") + (f", {part_name}" if len(text.parts) > 1 else "")
            rows += [[f"{prefix}: {cells[0]}", *cells[1:]] for cells in measure_rows(part, words)]
        found = text.pseudo_log_likelihood
        if found is not None:
            rows.append(
                [
                    f"{words(f'text_{name}')}: {words('measure_pll')}",
                    words.decimal(found.before),
                    words.decimal(found.after),
                    *difference_cells(found.difference, words),
                ]
            )
    head = [words("measure"), words("before"), words("after"), words("difference"), words("interval_95")]
    asked = "; ".join(
        words(
            f"asked_{text.unit}",
            name=words(f"text_{name}"),
            targets=words.integer(next((part.targets for part in text.parts.values()), None)),
            units=words.integer(text.units),
        )
        for name, text in texts
    )
    return join([table(head, rows, caption=words("comparison_table")), paragraph(asked, "quiet")])


def _breakdown(name: str, text: TextFigures, words: Words) -> Markup | None:
    breakdown = text.breakdown
    if breakdown is None:
        return None
    parts = [
        _groups(name, kind, groups[:MOST_GROUPS], words)
        for kind, groups in (
            ("source", breakdown.source),
            ("length", breakdown.length),
            ("document", breakdown.document),
        )
        # One source says what the whole says.
        if len(groups) > (1 if kind == "source" else 0)
    ]
    return join(parts) if parts else None


def _groups(name: str, kind: str, groups: Sequence[Group], words: Words) -> Markup:
    caption = f"{words(f'text_{name}')}: {words(f'by_{kind}')}"
    rows = [
        ForestRow(shortened(group.name, LONGEST_NAME), found.low, found.mean, found.high)
        for group in groups
        if (found := group.difference) is not None
    ]
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
    body = table(head, cells, caption=caption)
    heading = tag("h3", caption)
    return join([heading, plot, details(words("as_table"), body) if plot else body])


def _difference(group: Group, words: Words) -> list[str]:
    if group.difference is not None:
        return difference_cells(group.difference, words)
    if group.before is None or group.after is None:
        return ["", ""]
    return [words.signed(group.after - group.before), words("too_few_units")]
