"""The page as a whole: one file, nothing from elsewhere, whatever the documents say."""

from __future__ import annotations

import re
from typing import Any

import pytest

from acclimate.errors import RecipeError
from acclimate.reporting.facts import Batch, BatchPiece, BatchRow, BatchSpan
from acclimate.reporting.page import LARGEST, SECTIONS, render_page
from tests.reporting.parsed import Element, parse
from tests.reporting.sample import BATCH, CORPUS, MANIFEST, evaluation, facts, group, ledger

HOSTILE = "<script>alert('x')</script>\"'&\u202e\x00\x1b[31m<!--{0}%s\ud800`"


def page(lang: str = "en", **changes: Any) -> Element:
    return parse(render_page(facts(**changes), lang))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_sections_in_order_the_verdict_first(lang: str) -> None:
    root = page(lang)
    assert [section.get("id") for section in root.all("section")] == list(SECTIONS)
    assert root.one("html").get("lang") == {"en": "en", "zh": "zh-Hans"}[lang]
    # Every section but the verdict is in the contents, and each link leads somewhere.
    ids = {element.get("id") for element in root.all() if element.get("id")}
    links = [link.get("href") or "" for link in root.all("a")]
    assert [link.get("href") for link in root.one("nav").all("a")] == [f"#{name}" for name in list(SECTIONS)[1:]]
    assert all(link.startswith("#") and link[1:] in ids for link in links)
    names = [element.get("id") for element in root.all() if element.get("id")]
    assert len(names) == len(set(names))


def test_headings_are_in_order() -> None:
    levels = [int(element.name[1]) for element in page().all() if re.fullmatch("h[1-6]", element.name)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


def test_nothing_is_fetched_and_nothing_runs() -> None:
    root = page()
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & {e.name for e in root.all()}
    for element in root.all():
        for name, value in element.attributes.items():
            assert not name.startswith("on") and name not in ("src", "srcset", "style", "data", "action")
            assert name != "href" or (value or "").startswith("#")
    style = root.one("style").text()
    assert "url(" not in style and "@import" not in style and "http" not in style
    assert "prefers-color-scheme: dark" in style and "@media print" in style and "max-width: 40rem" in style
    (policy,) = (meta.get("content") or "" for meta in root.all("meta") if meta.get("http-equiv"))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_it_looks_well_to_who_hears_it() -> None:
    root = page()
    for drawing in root.all("svg"):
        if drawing.get("aria-hidden") != "true":
            assert drawing.get("role") == "img" and drawing.one("desc").text()
    assert all(table.all("caption") for table in root.all("table"))
    assert all(cell.get("scope") in ("col", "row") for cell in root.all("th"))


def test_the_same_run_gives_the_same_file() -> None:
    assert render_page(facts()) == render_page(facts())


def test_another_language_is_refused() -> None:
    with pytest.raises(RecipeError):
        render_page(facts(), "fr")


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(
    "changes",
    [
        {"evaluation": None},
        {"evaluation": {}},
        {"evaluation": {"version": 1, "domain": None, "claim": False}},
        {"evaluation": evaluation(verdict=None, terms=None, general=None)},
        {"corpus": None, "batch": None, "metrics": (), "recipe": "", "changed": None},
        {"manifest": {}},
        {"manifest": {}, "evaluation": None, "corpus": None, "batch": None, "metrics": (), "recipe": ""},
    ],
)
def test_whatever_is_missing_is_left_out(lang: str, changes: dict[str, Any]) -> None:
    root = page(lang, **changes)
    assert root.all("section")[0].get("id") == "verdict"
    assert not re.search(r"\b(None|nan)\b", root.one("body").text())


def spoiled(value: Any) -> Any:
    """Every text of plain data with something hostile behind it; keys of measures and the like stay."""
    if isinstance(value, dict):
        return {key: spoiled(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [spoiled(item) for item in value]
    return value + HOSTILE if isinstance(value, str) else value


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_hostile_texts_stay_texts(lang: str) -> None:
    found = spoiled(evaluation())
    for which in ("domain", "general"):
        found[which]["unit"] = "document"
        found["verdict"][which] = evaluation()["verdict"][which]
    found["verdict"]["advice"] = evaluation()["verdict"]["advice"]
    found["domain"]["parts"] = {HOSTILE: found["domain"]["parts"]["mlm"]}
    span = BatchSpan(HOSTILE, "mask")
    piece = BatchPiece(HOSTILE, 0, (HOSTILE,), {"row": (span, BatchSpan(HOSTILE, special=True))})
    bad = facts(
        name=HOSTILE,
        folder=HOSTILE,
        evaluation=found,
        manifest={**spoiled(MANIFEST), "summary": MANIFEST["summary"]},
        recipe=HOSTILE,
        changed={HOSTILE: (HOSTILE, HOSTILE)},
        corpus={**CORPUS, "ledger_by_source": {HOSTILE: CORPUS["ledger"]}},
        batch=Batch(HOSTILE, True, 9, 1, (BatchRow(0, 1, 1, (piece,), {HOSTILE: HOSTILE}),)),
    )
    html = render_page(bad, lang)
    html.encode("utf-8")
    assert "\u202e" not in html and "\x00" not in html and "\x1b" not in html
    root = parse(html)
    assert not root.all("script") and "<script>alert('x')</script>" in root.text()
    # The same elements as of a harmless run of this form.
    assert {element.name for element in root.all()} == {element.name for element in page(lang).all()}


def test_a_page_stays_below_its_limit() -> None:
    long = "字" * 5000
    token = {"text": long, "before": 1.0, "after": 9.0}
    blank = {"before": [{"text": long, "probability": 0.1}] * 99, "after": [], "expected": long}
    probe = {"text": long, "source": long, "blanks": [blank] * 50}
    term = {"term": long, "score": 1.0, "asked": 9, "before": 1, "after": 5, "gain": 0.4}
    base = evaluation()
    groups = {"source": [group(long, -1.0)] * 500, "length": [], "document": [group(long, 1.0)] * 500}
    large = {
        **base,
        "domain": {**base["domain"], "breakdown": groups},
        "general": {**base["general"], "breakdown": groups},
        "notes": [long] * 100,
        "terms": {"terms": [term] * 5000, "asked": 9, "before": 0.1, "after": 0.5},
        "probes": [probe] * 500,
        "examples": [probe] * 500,
        "continuations": [{"prompt": long, "before": long, "after": long, "actual": long, "document": long}] * 500,
        "passages": {name: [{"document": long, "tokens": [token] * 5000}] * 50 for name in ("domain", "general")},
    }
    reasons = {f"reason {number} {long}": (0, 1) for number in range(500)}
    corpus = {
        **CORPUS,
        "ledger": ledger(1000, 0, 500, reasons),
        "ledger_by_source": {f"{number}{long}": ledger(0, 0, 0, {}) for number in range(500)}
        | {long: ledger(1000, 0, 500, reasons)},
        "splits": {"train": {"documents": 1, "characters": 400}, "held_out": {"documents": 1, "characters": 100}},
    }
    metrics = tuple({"step": step, "loss": 1.0, "eval_loss": 1.0, "learning_rate": 0.1} for step in range(100_000))
    spans = tuple(BatchSpan(long, "mask") for _ in range(100))
    piece = BatchPiece("0", 0, (long,) * 99, {"encoder": spans, "input": spans, "label": spans})
    rows = tuple(BatchRow(number, 1, 1, (piece,) * 50) for number in range(3))
    html = render_page(
        facts(
            evaluation=large,
            corpus=corpus,
            metrics=metrics,
            recipe=long * 1000,
            changed={f"{long}{number}": (long, long) for number in range(1000)},
            batch=Batch("mlm", True, 9, 9, rows),
            name=long,
            missing={},
        )
    )
    assert len(html.encode("utf-8")) < LARGEST
    # A usual page is much smaller.
    assert len(render_page(facts()).encode("utf-8")) < 100_000
    assert BATCH.rows
