"""The verdict: did it help, what was forgotten, and what to try next."""

from __future__ import annotations

from markupsafe import Markup

from acclimate.evaluation.wording import advice_text, judgement_text
from acclimate.report.evaluation_file import Judgement
from acclimate.report.facts import Facts
from acclimate.report.html import join, paragraph, tag
from acclimate.report.sections.common import missing, without_paths
from acclimate.report.words import Words

# A sign for each outcome, so that it can be told without colours.
_SIGNS = {"helped": "✓", "no_difference": "=", "harmed": "✕", "no_claim": "?"}


def render(facts: Facts, words: Words) -> Markup:
    """Two cards, the advice below them, and what the reader should know."""
    evaluation = facts.evaluation
    if evaluation is None:
        return missing("missing_evaluation", facts, words)
    verdict = evaluation.verdict
    notes = (
        tag("ul", *(tag("li", without_paths(note, facts)) for note in evaluation.notes), class_="notes")
        if evaluation.notes
        else None
    )
    if verdict is None or facts.verdict is None:
        return join([missing("missing_verdict", facts, words), notes])
    cards = [
        _card(which, judgement, facts, words)
        for which, judgement in (("domain", verdict.domain), ("general", verdict.general))
    ]
    advice = [advice_text(entry, words.lang) for entry in facts.verdict.get("advice") or []]
    return join(
        [
            tag("div", *cards, class_="cards"),
            tag(
                "div",
                tag("h3", words("advice")),
                tag("ul", *(tag("li", text) for text in advice)) if advice else paragraph(words("advice_none")),
                class_="advice",
            ),
            tag("p", words("before_was", before=without_paths(evaluation.before, facts)), class_="quiet")
            if evaluation.before
            else None,
            notes,
        ]
    )


def _card(which: str, judgement: Judgement | None, facts: Facts, words: Words) -> Markup:
    kicker = tag("p", words(f"text_{which}"), class_="kicker")
    if judgement is None:
        return tag(
            "div",
            kicker,
            tag("p", tag("span", "–", class_="sign", aria_hidden="true"), words("outcome_none"), class_="outcome"),
            paragraph(words(f"outcome_none_{which}", folder=facts.folder)),
            class_="card none",
        )
    assert facts.verdict is not None
    sign = tag("span", _SIGNS[judgement.outcome], class_="sign", aria_hidden="true")
    return tag(
        "div",
        kicker,
        tag("p", sign, words(f"outcome_{which}_{judgement.outcome}"), class_="outcome"),
        _figures(judgement, words),
        paragraph(judgement_text(facts.verdict[which], which, words.lang)),
        class_=f"card {judgement.outcome}",
    )


def _figures(judgement: Judgement, words: Words) -> Markup | None:
    if judgement.before is None or judgement.after is None:
        return None
    measure = words(f"measure_{judgement.measure}") if judgement.measure in ("loss", "bits_per_byte") else ""
    change = tag("strong", words.signed(100 * judgement.relative, 1) + "%") if judgement.relative is not None else None
    return tag(
        "p",
        change,
        " " if change else None,
        f"{measure} {words.decimal(judgement.before)} → {words.decimal(judgement.after)}",
        class_="figure-line",
    )
