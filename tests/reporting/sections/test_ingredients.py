"""What went in: the sums of the flow are those of the ledger."""

from __future__ import annotations

from typing import Any

from acclimate.reporting.sections.ingredients import MOST_REASONS, MOST_SOURCES, flow_of, render
from acclimate.reporting.words import Words
from tests.reporting.parsed import parse
from tests.reporting.sample import CORPUS, facts, ledger

WORDS = Words("en")


def test_the_flow_is_the_ledger() -> None:
    flow = flow_of(facts(), WORDS)
    flow.check()
    assert [(node.name, node.characters) for node in flow.sources] == [("handbook", 710), ("notes", 300)]
    assert [(node.name, node.characters, node.lost) for node in flow.middle] == [
        ("kept", 800, False),
        ("Markdown: markup", 150, True),
        ("too short", 60, True),
    ]
    assert [(node.name, node.characters, node.note) for node in flow.ends] == [
        ("training", 720, "150 tokens"),
        ("held out", 80, "15 tokens"),
    ]
    # in + added = kept + dropped
    assert sum(node.characters for node in flow.sources) == 1000 + 10
    assert flow.first[0, 1] == 100 and flow.first[1, 2] == 50


def test_a_corpus_of_before_has_one_source() -> None:
    flow = flow_of(facts(corpus={key: value for key, value in CORPUS.items() if key != "ledger_by_source"}), WORDS)
    flow.check()
    assert [(node.name, node.characters) for node in flow.sources] == [("all sources", 1010)]


def test_a_single_source_has_its_address_for_a_name() -> None:
    corpus = {**CORPUS, "ledger_by_source": {"": CORPUS["ledger"]}}
    assert [node.name for node in flow_of(facts(corpus=corpus), WORDS).sources] == ["handbook"]


def test_many_sources_and_reasons_are_told_together() -> None:
    reasons = {f"reason_{number}": (0, 10 + number) for number in range(12)}
    lost = sum(size for _, size in reasons.values())
    one = ledger(100 + lost, 0, 100, reasons)
    whole = ledger(20 * (100 + lost), 0, 2000, {name: (0, 20 * size) for name, (_, size) in reasons.items()})
    corpus: dict[str, Any] = {
        **CORPUS,
        "ledger": whole,
        "ledger_by_source": {f"source {number:02}": one for number in range(20)},
        "splits": {"train": {"documents": 7, "characters": 1900}, "held_out": {"documents": 1, "characters": 100}},
    }
    flow = flow_of(facts(corpus=corpus), WORDS)
    flow.check()
    assert len(flow.sources) == MOST_SOURCES and flow.sources[-1].name == "13 other sources"
    assert len(flow.middle) == 1 + MOST_REASONS and flow.middle[-1].name == "other reasons"
    assert flow.middle[1].name == "reason 11"
    # Each reason stands in the table, whatever the drawing shows.
    assert len(parse(render(facts(corpus=corpus), WORDS)).all("table")[1].rows()) == 13


def test_the_same_as_tables() -> None:
    made = parse(render(facts(), WORDS))
    counts, reasons = made.all("table")
    assert counts.rows()[1:] == [
        ["came in", "10", "1,000", ""],
        ["added by mending", "", "10", ""],
        ["kept", "8", "800", ""],
        ["dropped", "2", "210", ""],
        ["training", "7", "720", "150"],
        ["held out", "1", "80", "15"],
    ]
    assert reasons.rows()[1:] == [["Markdown: markup", "0", "150"], ["too short", "2", "60"]]
    assert "1,000 characters came in and 10 were added by mending: 800 kept, 210 dropped" in made.text()
    assert "The 150 training tokens are packed into 2 rows of 128 tokens, 0.31% of them padding." in made.text()


def test_a_corpus_that_is_gone() -> None:
    made = parse(render(facts(corpus=None), WORDS))
    assert "no longer where it was" in made.one("p", "missing").text()
    # What the run itself knows is still told.
    assert "150 training tokens" in made.text() and not made.all("svg")
