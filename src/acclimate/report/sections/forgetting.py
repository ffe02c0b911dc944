"""What was forgotten: general text, in the same measures."""

from __future__ import annotations

from markupsafe import Markup

from acclimate.report.facts import Facts
from acclimate.report.html import join, paragraph, table
from acclimate.report.sections.common import measure_rows, missing
from acclimate.report.sections.passages import passages_of
from acclimate.report.words import Words


def render(facts: Facts, words: Words) -> Markup:
    """The measures of general text, a sentence of what they mean, and passages of it."""
    evaluation = facts.evaluation
    if evaluation is None:
        return missing("missing_evaluation", facts, words)
    general = evaluation.general
    if general is None or not general.parts:
        return missing("missing_general", facts, words)
    part = next(iter(general.parts.values()))
    head = [words("measure"), words("before"), words("after"), words("difference"), words("interval_95")]
    judged = evaluation.verdict.general if evaluation.verdict else None
    outcome = words(f"forgetting_{judged.outcome}") if judged is not None else None
    return join(
        [
            paragraph(outcome) if outcome else None,
            table(head, measure_rows(part, words), caption=words("text_general")),
            passages_of(facts, "general", words),
        ]
    )
