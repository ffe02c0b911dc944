"""A passage coloured by how surprising each token was before, and is after.

The steps of colour are also steps of the underline, so that nothing is lost in print or to who sees no colours.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from markupsafe import Markup

from acclimate.reporting.evaluation_file import Passage, PassageToken
from acclimate.reporting.facts import Facts
from acclimate.reporting.html import Child, details, join, paragraph, shortened, table, tag
from acclimate.reporting.sections.common import LONGEST_NAME
from acclimate.reporting.words import Words

# Nats at which the next step begins: below the first a token was all but certain (e^-0.5 = 61 %), above the last it had
# less than one chance in a thousand.
STEPS = (0.5, 1.5, 3.0, 5.0, 7.0)
MOST_PASSAGES = 2
MOST_TOKENS = 320
LONGEST_PASSAGE = 4000
MOST_CHANGED = 12
LONGEST_TOKEN = 60


def render(facts: Facts, words: Words) -> Markup | None:
    """Passages of held-out documents."""
    return passages_of(facts, "domain", words)


def passages_of(facts: Facts, which: str, words: Words, *, introduced: bool = True) -> Markup | None:
    """The passages of a text, each before and after, with a legend; None where there are none.

    Args:
        introduced: whether to say what the colours mean.
    """
    passages = facts.evaluation.passages.get(which, []) if facts.evaluation else []
    shown = [_passage(passage, words) for passage in passages[:MOST_PASSAGES] if passage.tokens]
    if not shown:
        return None
    return join([paragraph(words("passages_told")) if introduced else None, _legend(words), *shown])


def step_of(nats: float | None) -> int | None:
    """Which step of the scale a surprise is on; None where a token was not scored."""
    return None if nats is None or nats != nats else sum(nats >= limit for limit in STEPS)


def _legend(words: Words) -> Markup:
    limits = ["0", *(f"{limit:g}" for limit in STEPS)]
    ranges = [f"{low}–{high}" for low, high in zip(limits, limits[1:], strict=False)] + [f"≥ {limits[-1]}"]
    entries = [tag("li", tag("span", text, class_=f"s{step}"), class_="step") for step, text in enumerate(ranges)]
    return tag("ul", tag("li", words("nats_each")), *entries, class_="legend")


def _passage(passage: Passage, words: Words) -> Markup:
    tokens = _fitting(passage.tokens[:MOST_TOKENS])
    place = " · ".join(shortened(name, LONGEST_NAME) for name in (passage.document, passage.source) if name)
    sides = [
        tag("div", tag("h3", words(which), " ", _mean(tokens, which, words)), _coloured(tokens, which, words))
        for which in ("before", "after")
    ]
    return tag(
        "div",
        tag("p", place, class_="source") if place else None,
        tag("div", *sides, class_="pair"),
        details(words("passage_changed"), _changed(tokens, words)),
        class_="passage",
    )


def _fitting(tokens: Sequence[PassageToken]) -> list[PassageToken]:
    """The tokens that a page has room for: a character without an end is one token of some tokenizers."""
    lengths = itertools.accumulate(len(token.text) for token in tokens)
    return [token for token, length in zip(tokens, lengths, strict=True) if length <= LONGEST_PASSAGE]


def _nats(token: PassageToken, which: str) -> float | None:
    return token.before if which == "before" else token.after


def _mean(tokens: Sequence[PassageToken], which: str, words: Words) -> Markup:
    scored = [nats for token in tokens if step_of(nats := _nats(token, which)) is not None and nats is not None]
    mean = sum(scored) / len(scored) if scored else None
    return tag("span", words("nats_mean", number=words.decimal(mean, 2)), class_="quiet")


def _coloured(tokens: Sequence[PassageToken], which: str, words: Words) -> Markup:
    return tag("p", join(_token(token, which, words) for token in tokens), class_="tokens", dir="auto")


def _token(token: PassageToken, which: str, words: Words) -> Markup | str:
    step = step_of(_nats(token, which))
    if step is None:
        return token.text
    # The blanks before a token are not underlined.
    stripped = token.text.lstrip()
    blank = token.text[: len(token.text) - len(stripped)]
    numbers = words("nats_both", before=words.decimal(token.before, 2), after=words.decimal(token.after, 2))
    return join([blank, tag("span", stripped, class_=f"s{step}", title=numbers)])


def _changed(tokens: Sequence[PassageToken], words: Words) -> Markup:
    """The tokens whose surprise changed most, in numbers."""
    scored = [
        (index, token, token.after - token.before)
        for index, token in enumerate(tokens)
        if token.before is not None and token.after is not None and token.text.strip()
    ]
    scored.sort(key=lambda entry: (-abs(entry[2]), entry[0]))
    rows: list[list[Child]] = [
        [
            shortened(token.text.strip(), LONGEST_TOKEN),
            words.decimal(token.before, 2),
            words.decimal(token.after, 2),
            words.signed(change, 2),
        ]
        for _, token, change in scored[:MOST_CHANGED]
    ]
    head = [words("token"), words("before"), words("after"), words("difference")]
    return table(head, rows, caption=words("passage_changed"))
