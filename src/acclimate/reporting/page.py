"""The page: its head, its sections in order, and the style sheet, in one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

from markupsafe import Markup

from acclimate.reporting.facts import Facts
from acclimate.reporting.html import join, shortened, tag
from acclimate.reporting.sections import (
    batch,
    comparison,
    cost,
    curve,
    examples,
    forgetting,
    ingredients,
    passages,
    settings,
    terms,
    verdict,
)
from acclimate.reporting.sections.common import LONGEST_NAME, model_name, short_path
from acclimate.reporting.words import Words

# A report is passed on by mail and chat.
LARGEST = 2_000_000

# The sections in order; one that returns None has nothing to say of this kind of run.
SECTIONS: dict[str, Callable[[Facts, Words], Markup | None]] = {
    "verdict": verdict.render,
    "comparison": comparison.render,
    "curve": curve.render,
    "ingredients": ingredients.render,
    "terms": terms.render,
    "examples": examples.render,
    "passages": passages.render,
    "forgetting": forgetting.render,
    "batch": batch.render,
    "cost": cost.render,
    "settings": settings.render,
}
_LANGUAGES = {"en": "en", "zh": "zh-Hans"}


def render_page(facts: Facts, lang: str = "en") -> str:
    """The whole page. The same facts give the same characters.

    Args:
        lang: "en" or "zh".

    Raises:
        RecipeError: there are no words in this language.
    """
    words = Words(lang)
    shown = {name: body for name, render in SECTIONS.items() if (body := render(facts, words)) is not None}
    title = words("title", name=shortened(facts.name, LONGEST_NAME))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        # Nothing is fetched, whatever a browser would try.
        tag("meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(_style())),
    )
    first, *others = (_section(name, content, words) for name, content in shown.items())
    body = tag(
        "body",
        tag("a", words("skip"), href="#verdict", class_="skip"),
        tag(
            "header", tag("p", words("report_of"), class_="kicker"), tag("h1", title), tag("p", _subtitle(facts, words))
        ),
        # The contents stand behind the verdict, which comes first.
        tag("main", first, _contents(list(shown)[1:], words), *others),
        tag("footer", tag("p", _colophon(facts, words))),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang=_LANGUAGES[lang])}\n"


def _section(name: str, content: Markup, words: Words) -> Markup:
    return tag("section", tag("h2", words(f"title_{name}")), content, id_=name, class_=name)


def _contents(names: list[str], words: Words) -> Markup:
    links = (tag("a", words(f"title_{name}"), href=f"#{name}") for name in names)
    return tag("nav", join(links, " "), aria_label=words("contents"))


def _subtitle(facts: Facts, words: Words) -> str:
    corpus = short_path(facts.get("corpus", "path") or "–")
    objective = str(facts.get("objective", "name") or "–")
    base = facts.get("recipe", "model", "name")
    if facts.get("model", "from_scratch"):
        return words("headed_scratch", type=facts.get("model", "type") or "", objective=objective, corpus=corpus)
    return words("headed", model=model_name(str(base or "–")), objective=objective, corpus=corpus)


def _colophon(facts: Facts, words: Words) -> str:
    version = facts.get("environment", "acclimate") or ""
    return words("made_with", version=version, date=words.date(facts.get("finished")))


def _style() -> str:
    text = (files("acclimate.reporting") / "style.css").read_text(encoding="utf-8")
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())
