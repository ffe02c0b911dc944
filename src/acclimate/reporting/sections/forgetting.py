"""What was forgotten: general text, in the same measures."""

from __future__ import annotations

from markupsafe import Markup

from acclimate.reporting.facts import Facts
from acclimate.reporting.html import join, prose, tag
from acclimate.reporting.sections.common import missing
from acclimate.reporting.sections.comparison import breakdown
from acclimate.reporting.sections.passages import passages_of
from acclimate.reporting.sections.verdict import sentence
from acclimate.reporting.words import Words


def render(facts: Facts, words: Words) -> Markup:
    """What the measures of general text mean, its breakdown, and passages of it."""
    evaluation = facts.evaluation
    if evaluation is None:
        return missing("missing_evaluation", facts, words)
    general = evaluation.general
    if general is None or not general.parts:
        return missing("missing_general", facts, words)
    judged = evaluation.verdict.general if evaluation.verdict else None
    told = None
    if judged is not None:
        figures = sentence(facts, "general", words.lang)
        told = tag("p", prose(words("gap").join([words(f"forgetting_{judged.outcome}"), figures])))
    return join(
        [
            told,
            tag("p", tag("a", words("forgetting_measures"), href="#comparison"), class_="quiet"),
            breakdown("general", general, words, claim=evaluation.claim is not False),
            passages_of(facts, "general", words, introduced=False),
        ]
    )
