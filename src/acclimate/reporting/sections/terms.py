"""Terms of the domain: which ones the model finds now when they are masked, and which it lost."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from acclimate.reporting.evaluation_file import Term, Terms
from acclimate.reporting.facts import Facts
from acclimate.reporting.html import Child, join, paragraph, shortened, table, tag
from acclimate.reporting.svg.small import dumbbell
from acclimate.reporting.words import Words

MOST_GAINED = 20
MOST_LOST = 12
MOST_NAMED = 40
LONGEST_TERM = 60


def render(facts: Facts, words: Words) -> Markup | None:
    """Two tables by gain; without a model that fills masks, the terms alone."""
    terms = facts.evaluation.terms if facts.evaluation else None
    if terms is None or not terms.terms:
        return None
    asked = [term for term in terms.terms if term.gain is not None and term.before is not None]
    gained = sorted((term for term in asked if (term.gain or 0) > 0), key=lambda term: (-(term.gain or 0), term.term))
    lost = sorted((term for term in asked if (term.gain or 0) < 0), key=lambda term: (term.gain or 0, term.term))
    return join(
        [
            paragraph(_summary(terms, words)),
            _table(gained[:MOST_GAINED], "terms_gained", words) if gained else None,
            _table(lost[:MOST_LOST], "terms_lost", words) if lost else None,
            paragraph(words("terms_none_lost")) if asked and not lost else None,
            None if asked else _named(terms.terms, words),
        ]
    )


def _summary(terms: Terms, words: Words) -> str:
    told = [words("terms_what")]
    if terms.before is not None and terms.after is not None:
        told.append(
            words("terms_found", before=words.percent(terms.before), after=words.percent(terms.after))
            + (
                words(
                    "terms_interval",
                    mean=words.points(terms.difference.mean),
                    low=words.signed(100 * terms.difference.low, 1),
                    high=words.signed(100 * terms.difference.high, 1),
                )
                if terms.difference is not None
                else ""
            )
        )
    if terms.mean_pieces is not None and terms.general_pieces is not None:
        told.append(
            words(
                "terms_pieces",
                pieces=words.decimal(terms.mean_pieces, 1),
                general=words.decimal(terms.general_pieces, 1),
            )
        )
    return words("gap").join(told)


def _table(terms: Sequence[Term], key: str, words: Words) -> Markup:
    head = [
        words("term"),
        words("before_after"),
        words("before"),
        words("after"),
        words("gain"),
        words("asked"),
        words("in_domain"),
        words("in_general"),
        words("pieces"),
    ]
    return table(head, [_row(term, words) for term in terms], caption=words(key), class_="terms")


def _row(term: Term, words: Words) -> list[Child]:
    asked = term.asked or 0
    before, after = ((found or 0) / asked if asked else 0.0 for found in (term.before, term.after))
    return [
        shortened(term.term, LONGEST_TERM),
        dumbbell(before, after),
        words.percent(before, 0),
        words.percent(after, 0),
        words.signed(None if term.gain is None else 100 * term.gain, 0),
        words.integer(term.asked),
        words.integer(term.domain_count),
        words.integer(term.general_count),
        words.decimal(term.pieces, 1),
    ]


def _named(terms: Sequence[Term], words: Words) -> Markup:
    """The terms by how much they stand out, where a model cannot be asked for them."""
    order = sorted(terms, key=lambda term: (-(term.score or 0), term.term))[:MOST_NAMED]
    return tag("ul", *(tag("li", shortened(term.term, LONGEST_TERM)) for term in order), class_="tags")
