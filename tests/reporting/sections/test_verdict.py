"""The verdict: understood at a glance, and never more than was measured."""

from __future__ import annotations

import pytest

from acclimate.reporting.sections.verdict import advice_of, render, sentence
from acclimate.reporting.words import Words
from tests.reporting.parsed import Element, parse
from tests.reporting.sample import evaluation, facts, judgement


def shown(lang: str = "en", **changes: object) -> Element:
    return parse(render(facts(**changes), Words(lang)))


def test_outcomes_figures_and_advice() -> None:
    domain, general = shown().all("div", "card")
    assert "Helped" in domain.one("p", "outcome").text() and "helped" in (domain.get("class") or "")
    assert domain.one("p", "figure-line").text() == "\u221240.0% loss 5.000 → 3.000"
    assert "Forgotten" in general.one("p", "outcome").text() and "+12.5%" in general.text()
    # Without colours there is a sign.
    assert [card.one("span", "sign").text() for card in (domain, general)] == ["✓", "✕"]
    (advice,) = shown().one("div", "advice").all("li")
    assert "General loss rose by 12%" in advice.text() and advice.all("code")


def test_the_outcome_is_not_said_twice() -> None:
    told = sentence(facts(), "domain", "en")
    assert told.startswith("On held-out documents the loss fell from 5.00 to 3.00")
    assert sentence(facts(), "domain", "zh").startswith("在留出的文档上")


def test_without_a_claim_there_is_no_large_number() -> None:
    verdict = {"domain": judgement("no_claim", 5.0, 3.0, 0.5), "general": None, "advice": []}
    made = shown(evaluation=evaluation(verdict=verdict))
    domain, general = made.all("div", "card")
    assert "No claim" in domain.text() and not domain.all("p", "figure-line")
    assert "random weights" in domain.text()
    assert "Not measured" in general.text() and "acclimate evaluate runs/docs --general FILE" in general.text()
    assert "Nothing that was measured asks for a change." in made.text()


def test_advice_of_a_newer_version_is_left_out() -> None:
    verdict = {"domain": None, "general": None, "advice": [{"condition": "from_the_future", "figures": {}}]}
    assert advice_of(facts(evaluation=evaluation(verdict=verdict)), "en") == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"evaluation": None}, "acclimate evaluate runs/docs"),
        ({"evaluation": evaluation(verdict=None)}, "made by an older version"),
    ],
)
def test_what_is_missing_is_told(changes: dict[str, object], told: str) -> None:
    made = shown(**changes)
    assert told in made.one("p", "missing").text() and not made.all("div", "card")


def test_in_chinese() -> None:
    made = shown("zh")
    assert "有帮助" in made.text() and "下一步可以试什么" in made.text()
