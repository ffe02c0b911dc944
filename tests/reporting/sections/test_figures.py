"""Comparison, curve, terms, cost and settings: what is told, and what is not invented."""

from __future__ import annotations

from typing import Any

from acclimate.reporting.sections import comparison, cost, curve, forgetting, settings, terms
from acclimate.reporting.words import Words
from tests.reporting.parsed import parse
from tests.reporting.sample import MANIFEST, METRICS, difference, evaluation, facts, part

WORDS = Words("en")


def test_every_measure_before_and_after() -> None:
    made = parse(comparison.render(facts(), WORDS))
    domain, general, *_ = made.all("table")
    assert domain.rows() == [
        ["measure", "before", "after", "difference", "95 % interval"],
        ["loss", "5.000", "3.000", "\u22122.000", "\u22122.500 to \u22121.500"],
        ["perplexity", "32.0", "8.0", "", ""],
        ["accuracy", "10.0%", "30.0%", "+20.0 pts", ""],
        ["right among the first 5", "20.0%", "50.0%", "+30.0 pts", ""],
        [
            "pseudo-log-likelihood per token (higher is better)",
            "\u22127.400",
            "\u22123.600",
            "+3.800",
            "+3.600 to +4.000",
        ],
    ]
    assert general.rows()[1][3] == "+0.500"
    assert "1,759 targets in 34 documents" in made.text() and "raise evaluation.max_tokens" in made.text()
    headings = [heading.text() for heading in made.all("h3")]
    assert headings == [
        "Your documents: by source",
        "Your documents: by length",
        "Your documents: largest gains and losses by document",
        "Notes of the evaluation",
    ]
    # A group without an interval is in the table, not in the drawing; a document is drawn as a point.
    assert "too few for an interval" in made.text()
    assert "tiny" not in made.all("svg")[2].text()
    (described,) = (drawing.one("desc").text() for drawing in made.all("svg")[6:7])
    assert described.endswith("tiny: \u22120.500")


def test_several_parts_and_bits_per_byte() -> None:
    generator, discriminator = part(5.0, 4.0, 0.1), part(0.4, 0.3, 0.01)
    generator["bits_per_byte_difference"] = difference(-0.2, 0.1)
    text = {"parts": {"generator": generator, "discriminator": discriminator}, "units": 3, "unit": "row"}
    found = facts(evaluation=evaluation(domain=text, general=None, verdict=None, claim=False))
    made = parse(comparison.render(found, WORDS))
    described = made.all("desc")[0].text()
    assert "Your documents · generator (bits per byte): \u22120.200" in described
    assert "Your documents · discriminator: \u22120.100" in described
    assert made.all("table")[0].rows()[1][0] == "generator: loss"
    assert "in 3 rows" in made.text()
    # Nothing is claimed, so nothing is drawn as better.
    assert not made.all("rect", "better")


def test_a_measure_that_is_no_number() -> None:
    broken: dict[str, Any] = part(5.0, 3.0, 0.5)
    broken["after"] = {"loss": float("nan"), "accuracy": None}
    broken["difference"] = None
    made = parse(comparison.render(facts(evaluation=evaluation(domain={"parts": {"mlm": broken}})), WORDS))
    assert made.all("table")[0].rows()[1] == ["loss", "5.000", "–", "–", ""]


def test_no_text_to_compare_on() -> None:
    made = parse(comparison.render(facts(evaluation=evaluation(domain=None, general=None)), WORDS))
    assert "no held-out text" in made.one("p", "missing").text()
    made = parse(comparison.render(facts(evaluation=None), WORDS))
    assert "acclimate evaluate runs/docs" in made.one("p", "missing").text()


def test_the_curve() -> None:
    data = curve.curve_of(facts())
    assert data.train == [(10, 5.0), (20, 4.0), (30, 3.0)] and data.held_out == [(20, 3.5)]
    made = parse(curve.render(facts(), WORDS))
    assert made.one("table").rows()[1:] == [
        ["10", "5.000", "–", "0.0001"],
        ["20", "4.000", "3.500", "0.0003"],
        ["30", "3.000", "–", "0"],
    ]
    broken = (*METRICS, {"step": 40, "loss": float("nan")})
    assert "1 logged losses were no numbers" in parse(curve.render(facts(metrics=broken), WORDS)).text()
    assert "logged no losses" in parse(curve.render(facts(metrics=()), WORDS)).one("p", "missing").text()


def test_terms_gained_and_lost() -> None:
    made = terms.render(facts(), WORDS)
    assert made is not None
    gained, lost = parse(made).all("table")
    assert gained.rows()[1] == ["node pool", "", "10%", "80%", "+70", "10", "80", "1", "2.4"]
    assert [row[0] for row in gained.rows()[1:]] == ["node pool"]
    assert [row[0] for row in lost.rows()[1:]] == ["tenant"]
    assert "Found before: 40.0%, after: 60.0% (+20.0 pts; 95 %: +10.0 to +30.0)." in parse(made).text()


def test_terms_that_no_model_was_asked_for() -> None:
    unasked = {"terms": [{"term": "<pool>", "score": 3.0}, {"term": "vault", "score": 9.0}]}
    made = terms.render(facts(evaluation=evaluation(terms=unasked)), WORDS)
    assert made is not None
    assert [item.text() for item in parse(made).all("li")] == ["vault", "<pool>"]
    assert terms.render(facts(evaluation=evaluation(terms=None)), WORDS) is None
    assert terms.render(facts(evaluation=None), WORDS) is None


def test_what_was_forgotten() -> None:
    made = parse(forgetting.render(facts(), WORDS))
    assert "predicted worse than before" in made.text() and "from 4.00 to 4.50" in made.text()
    assert made.all("div", "passage")
    missing = parse(forgetting.render(facts(evaluation=evaluation(general=None)), WORDS))
    assert "acclimate evaluate runs/docs --general FILE" in missing.one("p", "missing").text()
    older = parse(forgetting.render(facts(evaluation=evaluation(verdict=None)), WORDS))
    assert "Before and after" in older.text()


def test_cost() -> None:
    summary = {**MANIFEST["summary"], "seconds": 4320.0, "flops": 3e13, "peak_memory_bytes": 3.0 * 2**30}
    told = dict(cost.costs(facts(manifest={**MANIFEST, "summary": summary}), WORDS))
    assert told["training time"] == "1 h 12 min" and told["peak memory"] == "3.00 GiB"
    assert told["floating-point operations"] == "3.00 × 10¹³" and told["tokens seen"] == "408,316"
    # A run of before has the Trainer's own figures; what it did not take down is left out.
    older = dict(cost.costs(facts(), WORDS))
    assert older["training time"] == "6 min 36 s" and "peak memory" not in older
    assert cost.costs(facts(manifest={}), WORDS) == []
    assert parse(cost.render(facts(manifest={}), WORDS)).all("dd") == []
    assert "2026-11-26 02:11 UTC" in cost.render(facts(), WORDS)


def test_settings() -> None:
    made = parse(settings.render(facts(), WORDS))
    assert made.one("table").rows()[1:] == [["seed", "7", "42"], ["training.max_steps", "200", ""]]
    assert "some/bert" in made.one("details").text()
    assert "acclimate run runs/docs/recipe.yaml output_dir=runs/docs-again" in made.text()
    assert "75ef" in made.text() and "2.13.0" in made.text()


def test_no_password_of_an_address_is_passed_on() -> None:
    changed = {"corpus.sources.0.git": ("https://me:secret@example.org/x.git", None)}
    made = settings.render(facts(changed=changed, recipe="git: https://me:secret@example.org/x.git\n"), WORDS)
    assert "secret" not in made and "https://…@example.org/x.git" in made


def test_a_run_without_its_recipe() -> None:
    assert "recipe.yaml" in parse(settings.render(facts(recipe="", changed=None), WORDS)).one("p", "missing").text()
