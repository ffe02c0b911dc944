"""The verdict: did it help, what was forgotten, and what to try next."""

from __future__ import annotations

import re

from markupsafe import Markup

from acclimate.evaluation.wording import ADVICE, OUTCOMES, Lang, advice_text, judgement_text
from acclimate.reporting.evaluation_file import Judgement
from acclimate.reporting.facts import Facts
from acclimate.reporting.html import join, paragraph, prose, tag
from acclimate.reporting.sections.common import before_text, missing
from acclimate.reporting.words import MINUS, Words

# A sign for each outcome, so that it can be told without colours.
_SIGNS = {"helped": "✓", "no_difference": "=", "harmed": "✕", "no_claim": "?"}

# A minus as a terminal has it.
_MINUS = re.compile(r"(?<![\w.])-(?=\d)")


def render(facts: Facts, words: Words) -> Markup:
    """Two cards, the advice below them, and what the model is compared with."""
    if facts.evaluation is None:
        return missing("missing_evaluation", facts, words)
    verdict = facts.evaluation.verdict
    if verdict is None or facts.verdict is None:
        return missing("missing_verdict", facts, words)
    cards = [
        _card(which, judgement, facts, words)
        for which, judgement in (("domain", verdict.domain), ("general", verdict.general))
    ]
    advice = advice_of(facts, words.lang)
    told = tag("ul", *(tag("li", prose(text)) for text in advice)) if advice else paragraph(words("advice_none"))
    return join(
        [
            tag("div", *cards, class_="cards"),
            tag("div", tag("h3", words("advice")), told, class_="advice"),
            paragraph(before_text(facts, words), "quiet"),
        ]
    )


def advice_of(facts: Facts, lang: Lang) -> list[str]:
    """The advice in words; that of a newer version, which there are no words for here, is left out."""
    found = (facts.verdict or {}).get("advice") or []
    return [advice_text(entry, lang) for entry in found if entry.get("condition") in ADVICE]


def sentence(facts: Facts, which: str, lang: Lang) -> str:
    """What a text's judgement says, without the outcome that stands above it."""
    verdict = facts.verdict or {}
    outcome = OUTCOMES[which][lang][verdict[which]["outcome"]]
    told = judgement_text(verdict[which], which, lang, verdict.get("objective"))
    rest = _MINUS.sub(MINUS, told.removeprefix(outcome).lstrip(":： "))
    return rest[:1].upper() + rest[1:]


def _card(which: str, judgement: Judgement | None, facts: Facts, words: Words) -> Markup:
    kicker = tag("p", words(f"text_{which}"), class_="kicker")
    if judgement is None:
        outcome, kind = words("outcome_none"), "none"
        body = [tag("p", prose(words(f"outcome_none_{which}", folder=facts.folder)))]
    else:
        outcome, kind = OUTCOMES[which][words.lang][judgement.outcome], judgement.outcome
        # A large number beside "no claim" would be one.
        figures = [] if kind == "no_claim" else [_figures(judgement, words)]
        body = [*figures, tag("p", prose(sentence(facts, which, words.lang)))]
    sign = tag("span", _SIGNS.get(kind, "–"), class_="sign", aria_hidden="true")
    return tag("div", kicker, tag("p", sign, outcome, class_="outcome"), *body, class_=f"card {kind}")


def _figures(judgement: Judgement, words: Words) -> Markup:
    """The change in one line."""
    if judgement.before is None or judgement.after is None:
        return Markup("")
    measure = words(f"measure_{judgement.measure}") if judgement.measure in ("loss", "bits_per_byte") else ""
    change = tag("strong", words.signed(100 * judgement.relative, 1) + "%") if judgement.relative is not None else None
    told = f"{measure} {words.decimal(judgement.before)} → {words.decimal(judgement.after)}"
    return tag("p", change, " " if change else None, told, class_="figure-line")
