"""Masks filled and texts continued, before and after side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markupsafe import Markup

from acclimate.reporting.evaluation_file import Blank, Candidate, Continuation, Probe
from acclimate.reporting.facts import Facts
from acclimate.reporting.html import details, join, paragraph, shortened, tag
from acclimate.reporting.sections.common import LONGEST_NAME
from acclimate.reporting.svg.small import share_bar
from acclimate.reporting.words import Words

MOST_PROBES = 30
MOST_EXAMPLES = 12
# So many stand open; the others are there to open.
MOST_OPEN = 6
MOST_CONTINUATIONS = 8
MOST_BLANKS = 4
MOST_CANDIDATES = 5
LONGEST_TEXT = 700
LONGEST_CANDIDATE = 40
# How masks are written in a text: each as a mark.
_MASK = re.compile(r"(\[MASK\]|<mask>|\[gMASK\]|<extra_id_\d+>|\[BLANK\])")


def render(facts: Facts, words: Words) -> Markup | None:
    """The user's probes, examples from the documents, continuations; None where there are none."""
    evaluation = facts.evaluation
    if evaluation is None or not (evaluation.probes or evaluation.examples or evaluation.continuations):
        return None
    probes, examples = evaluation.probes, evaluation.examples
    return join(
        [
            *_group("probes", [_probe(probe, words) for probe in probes[:MOST_PROBES]], len(probes), words),
            *_group("examples", [_probe(probe, words) for probe in examples[:MOST_EXAMPLES]], len(examples), words),
            *_group(
                "continuations",
                [_continuation(entry, words) for entry in evaluation.continuations[:MOST_CONTINUATIONS]],
                len(evaluation.continuations),
                words,
            ),
        ]
    )


def _group(kind: str, shown: Sequence[Markup], total: int, words: Words) -> list[Markup]:
    if not shown:
        return []
    left_out = total - len(shown)
    more = [paragraph(words("more_left_out", number=words.integer(left_out)), "quiet")] if left_out else []
    folded = shown[MOST_OPEN:]
    rest = [details(words("show_more", number=len(folded)), *folded)] if folded else []
    return [tag("h3", words(kind)), paragraph(words(f"{kind}_told"), "quiet"), *shown[:MOST_OPEN], *rest, *more]


def _probe(probe: Probe, words: Words) -> Markup:
    blanks = probe.blanks[:MOST_BLANKS]
    return tag(
        "div",
        tag("p", _text(probe.text), class_="quote"),
        # In English, as the evaluation's other notes.
        tag("p", shortened(probe.note, LONGEST_TEXT), class_="quiet", lang="en") if probe.note else None,
        *(_blank(blank, number, len(blanks), words) for number, blank in enumerate(blanks, start=1)),
        _source(probe.source, words.get(f"why_{probe.why}") if probe.why else None),
        class_="probe",
    )


def _text(text: str) -> Markup:
    parts = _MASK.split(shortened(text, LONGEST_TEXT))
    return join(tag("mark", part) if index % 2 else part for index, part in enumerate(parts))


def _source(source: str | None, why: str | None = None) -> Markup | None:
    told = " · ".join(part for part in (shortened(source or "", LONGEST_NAME), why) if part)
    return tag("p", told, class_="source") if told else None


def _blank(blank: Blank, number: int, total: int, words: Words) -> Markup:
    expected = None
    if blank.expected is not None:
        expected = tag(
            "p",
            words("expected"),
            " ",
            tag("b", shortened(blank.expected, LONGEST_CANDIDATE)),
            _ranks(blank, words),
            class_="expected",
        )
    return join(
        [
            paragraph(words("blank", number=number), "kicker") if total > 1 else None,
            expected,
            tag(
                "div",
                _candidates("before", blank.before, blank.expected, words),
                _candidates("after", blank.after, blank.expected, words),
                class_="pair tight",
            ),
        ]
    )


def _ranks(blank: Blank, words: Words) -> str:
    if blank.rank_before is None and blank.rank_after is None:
        return ""
    return words("ranks", before=words.integer(blank.rank_before), after=words.integer(blank.rank_after))


def _candidates(which: str, candidates: Sequence[Candidate], expected: str | None, words: Words) -> Markup:
    lines = [
        tag(
            "li",
            tag("span", shortened(candidate.text.strip() or "␣", LONGEST_CANDIDATE), class_="word"),
            tag("span", " ✓", class_="hit") if _same(candidate.text, expected) else None,
            tag(
                "span",
                share_bar(candidate.probability) if candidate.probability is not None else None,
                tag("span", words.percent(candidate.probability), class_="share-number"),
                class_="number",
            ),
        )
        for candidate in candidates[:MOST_CANDIDATES]
    ]
    return tag("div", tag("h4", words(which)), tag("ol", *lines))


def _same(text: str, expected: str | None) -> bool:
    return expected is not None and text.strip().casefold() == expected.strip().casefold()


def _continuation(entry: Continuation, words: Words) -> Markup:
    texts = [("before", entry.before), ("after", entry.after)]
    return tag(
        "div",
        tag("p", shortened(entry.prompt, LONGEST_TEXT), class_="quote"),
        tag(
            "div",
            *(tag("div", tag("h4", words(name)), paragraph(shortened(text, LONGEST_TEXT))) for name, text in texts),
            class_="pair",
        ),
        tag("p", tag("b", words("actual")), " ", shortened(entry.actual, LONGEST_TEXT)) if entry.actual else None,
        _source(entry.document),
        class_="probe",
    )
