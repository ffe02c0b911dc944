"""What is read of a run folder, and what becomes of files that cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acclimate.reporting.evaluation_file import EvaluationFile, read_evaluation
from acclimate.reporting.facts import Facts, read_facts
from acclimate.reporting.page import render_page
from tests.reporting.sample import CORPUS, EVALUATION, MANIFEST, facts


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    write(folder / "evaluation" / "evaluation.json", json.dumps(EVALUATION))
    write(folder / "metrics.jsonl", '{"step": 1, "loss": 2.0}\n{"step": 2, "loss": NaN}\n[]\n{"step": 3, "lo')
    write(folder / "recipe.yaml", "seed: 1\n")
    write(tmp_path / "corpus" / "manifest.json", json.dumps(CORPUS))
    return folder


def read(folder: Path, **corpus: Any) -> Facts:
    named = {"path": str(folder.parent / "corpus"), "fingerprint": "12ab", **corpus}
    return read_facts(folder, {**MANIFEST, "corpus": named})


def test_everything_that_lies_there(run: Path) -> None:
    facts = read(run)
    assert facts.name == "docs" and facts.recipe == "seed: 1\n"
    # A line that was cut off is passed over.
    assert [record["step"] for record in facts.metrics] == [1, 2]
    assert facts.evaluation is not None and facts.evaluation.domain is not None
    assert facts.verdict == EVALUATION["verdict"] and facts.corpus == CORPUS
    assert facts.number("tokens", "train", "text") == 150
    assert facts.number("objective", "name") is None and facts.get("no", "such", "key") is None


def test_a_corpus_of_other_documents_is_not_the_runs(run: Path) -> None:
    assert read(run, fingerprint="other").corpus is None
    assert read(run, path=str(run / "nowhere")).corpus is None
    (run.parent / "corpus" / "manifest.json").write_text("{")
    assert read(run).corpus is None


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"domain": 3}', '{"verdict": {"domain": {"outcome": "great"}}}'])
def test_an_evaluation_that_cannot_be_read(run: Path, text: str) -> None:
    (run / "evaluation" / "evaluation.json").write_text(text)
    facts = read(run)
    assert facts.evaluation is None and facts.verdict is None


def test_an_empty_folder(tmp_path: Path) -> None:
    facts = read_facts(tmp_path, {})
    assert facts.evaluation is None and facts.metrics == () and facts.recipe == "" and facts.corpus is None


def test_an_evaluation_of_before_is_read_as_far_as_it_goes() -> None:
    older = {"run": "r", "objective": "mlm", "before": "b", "domain": None, "general": None, "claim": True, "notes": []}
    read = read_evaluation(older)
    assert read == EvaluationFile(objective="mlm", before="b", claim=True)
    assert read.version == 1


@pytest.mark.parametrize("number", [None, float("nan"), float("inf")])
def test_a_difference_that_is_no_number_is_none(number: float | None) -> None:
    unknown = {"before": {"loss": 2.5}, "after": {"loss": number}, "difference": {"mean": number, "low": 0, "high": 1}}
    data = {"version": 2, "domain": {"parts": {"mlm": unknown}}}
    found = read_evaluation(data)
    assert found.domain is not None and found.domain.parts["mlm"].difference is None
    page = render_page(facts(evaluation=data))
    assert '"nan"' not in page and '"inf"' not in page


def test_unknown_keys_are_passed_over() -> None:
    assert read_evaluation({**EVALUATION, "from_the_future": 1}) == read_evaluation(EVALUATION)
