"""Examples, passages and rows: texts side by side, coloured, and the same without colours."""

from __future__ import annotations

import pytest

from acclimate.reporting.facts import Batch, BatchPiece, BatchRow, BatchSpan
from acclimate.reporting.sections import batch, examples, passages
from acclimate.reporting.sections.passages import STEPS, step_of
from acclimate.reporting.words import Words
from tests.reporting.parsed import Element, parse
from tests.reporting.sample import EVALUATION, evaluation, facts

WORDS = Words("en")


def test_masks_filled_side_by_side() -> None:
    made = examples.render(facts(), WORDS)
    assert made is not None
    root = parse(made)
    assert [heading.text() for heading in root.all("h3")] == [
        "Your probes",
        "From held-out documents",
        "Texts continued",
    ]
    probe = root.all("div", "probe")[0]
    assert probe.one("mark").text() == "[MASK]"
    before, after = probe.all("ol")
    assert [word.text() for word in before.all("span", "word")] == ["the", "kubernetes"]
    assert [word.text() for word in after.all("span", "word")] == ["kubernetes", "the"]
    # What was expected is marked by a sign.
    assert after.all("li")[0].one("span", "hit").text() == " ✓"
    assert "expected: kubernetes (rank 40 before, 1 after)" in probe.text()
    assert "Mask 1" in root.all("div", "probe")[1].text() and "Mask 1" not in probe.text()
    assert "handbook/a.md · gained" in root.text()
    assert "install" in root.all("div", "probe")[-1].text() and "make" in root.all("div", "probe")[-1].text()


def test_a_probe_that_was_not_asked_says_why() -> None:
    probe = {**EVALUATION["probes"][0], "note": "a text of 900 tokens is longer than the model's 512 positions"}
    root = parse(str(examples.render(facts(evaluation=evaluation(probes=[probe])), WORDS)))
    assert "longer than the model's 512 positions" in root.all("div", "probe")[0].text()


def test_many_probes_are_folded_and_cut() -> None:
    many = evaluation(probes=[EVALUATION["probes"][0]] * 100, examples=[], continuations=[])
    root = parse(str(examples.render(facts(evaluation=many), WORDS)))
    assert len(root.all("div", "probe")) == examples.MOST_PROBES
    assert len(root.one("details").all("div", "probe")) == examples.MOST_PROBES - examples.MOST_OPEN
    assert "70 more are not shown." in root.text()


def test_no_examples_no_section() -> None:
    none = evaluation(probes=[], examples=[], continuations=[])
    assert examples.render(facts(evaluation=none), WORDS) is None
    assert passages.render(facts(evaluation=evaluation(passages={})), WORDS) is None


@pytest.mark.parametrize(
    ("nats", "step"), [(0.0, 0), (0.49, 0), (0.5, 1), (2.9, 2), (3.0, 3), (6.99, 4), (7.0, 5), (99.0, 5), (None, None)]
)
def test_steps_of_surprise(nats: float | None, step: int | None) -> None:
    assert step_of(nats) == step
    assert step_of(float("nan")) is None and len(STEPS) == 5


def test_a_passage_before_and_after() -> None:
    root = parse(str(passages.render(facts(), WORDS)))
    before, after = root.all("p", "tokens")
    # Both read as the document does.
    assert before.text() == after.text() == "A node pool."
    assert [span.get("class") for span in before.all("span")] == ["s0", "s5", "s3"]
    assert [span.get("class") for span in after.all("span")] == ["s0", "s1", "s3"]
    # The blank before a token is not underlined; its numbers are in the tooltip, and in a table.
    assert before.all("span")[1].text() == "node"
    assert before.all("span")[1].get("title") == "before 9.00, after 0.60 nats"
    assert root.one("table").rows()[1] == ["node", "9.00", "0.60", "\u22128.40"]
    assert "4.40 nats on average" in root.text() and "1.23 nats on average" in root.text()
    assert [item.text() for item in root.one("ul", "legend").all("li")][1:] == [
        "0–0.5",
        "0.5–1.5",
        "1.5–3",
        "3–5",
        "5–7",
        "≥ 7",
    ]


def rows_of(made: Element) -> list[str]:
    return [line.text() for line in made.all("p", "tokens")]


def test_rows_as_the_model_gets_them() -> None:
    made = parse(batch.render(facts(), WORDS))
    assert rows_of(made) == ["[CLS] a ⟦b→[MASK]⟧", "encoder⟦c→<x>⟧", "decoder labelsc"]
    assert [piece.get("class") for piece in made.all("div", "piece")] == ["piece p0", "piece p1"]
    assert "handbook/b.md … handbook/c.md (2)" in made.text() and "nsp: next" in made.text()
    assert made.one("span", "special").text() == "[CLS]"
    # Only the marks that are there are explained.
    assert [item.one("span").get("class") for item in made.one("ul", "marks").all("li")] == [
        "mark mask",
        "mark stands_for",
    ]


def test_rows_that_cannot_be_made() -> None:
    made = parse(batch.render(facts(batch=None, missing={"batch": "gone <there>"}), WORDS))
    assert "acclimate report runs/docs" in made.text() and "(gone <there>)" in made.text()


def test_a_long_row_is_cut() -> None:
    spans = tuple(BatchSpan("x" * 100) for _ in range(1000))
    piece = BatchPiece("0", 7, (), {"row": spans})
    long = Batch("mlm", False, 9, 1, (BatchRow(0, 9, 0, (piece,) * 99),))
    made = parse(batch.render(facts(batch=long), WORDS))
    assert all(len(line) <= batch.LONGEST_LINE + 1 for line in rows_of(made))
    assert len(rows_of(made)) == 4 and "95 more are not shown." in made.text()
    short = Batch("mlm", False, 9, 1, (BatchRow(0, 9, 0, (BatchPiece("0", 7, (), {"row": spans[:1]}),) * 99),))
    assert len(rows_of(parse(batch.render(facts(batch=short), WORDS)))) == batch.MOST_PIECES
