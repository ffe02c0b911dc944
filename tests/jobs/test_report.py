"""The report of real runs, from end to end: trained, evaluated, told; and the model card with the same facts."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from transformers import GPT2Config, GPT2LMHeadModel

import acclimate
from acclimate.artifacts import read_json, write_json
from acclimate.cli import main as cli
from acclimate.errors import CheckpointError, RecipeError
from acclimate.evaluation.evaluate import evaluate
from acclimate.jobs.inspect_batch import inspect_batch
from acclimate.jobs.pretrain import pretrain
from acclimate.jobs.report import batch_of, changed_settings, report
from acclimate.jobs.run import run as run_recipe
from acclimate.objectives import OBJECTIVES
from acclimate.progress import Silent
from acclimate.reporting.page import render_page
from acclimate.reporting.sections import batch as batch_section
from acclimate.reporting.words import Words
from acclimate.training.run_folder import open_run
from tests.jobs.test_inspect_batch import corpus, models_, recipe  # noqa: F401
from tests.objectives.tiny import bert, corpus_folder, tokenizer
from tests.reporting.parsed import Element, parse
from tests.reporting.sample import facts

TRAINING = {
    "max_steps": 4,
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-3,
    "logging_steps": 2,
    "save_strategy": "no",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small BERT, a corpus of two sources' worth, and general text."""
    folder = tmp_path_factory.mktemp("report")
    texts = [" ".join(f"w{5 + (number * 7 + step) % 90}" for step in range(20)) for number in range(40)]
    corpus_folder(folder, [*texts, "w5"], min_chars=10, held_out=0.3)
    (folder / "general").mkdir()
    for number in range(20):
        (folder / "general" / f"{number}.txt").write_text(
            " ".join(f"w{5 + (number + step) % 90}" for step in range(80))
        )
    bert().save_pretrained(folder / "bert")
    tokenizer().save_pretrained(folder / "bert")
    return folder


@pytest.fixture(scope="module")
def run(made: Path) -> Path:
    """A run that is not evaluated yet."""
    finished = pretrain(str(made / "bert"), made / "corpus", made / "run", training=TRAINING, max_length=32, seed=7)
    return finished.folder


@pytest.fixture(scope="module")
def evaluated(made: Path, run: Path) -> Path:
    """The same, evaluated."""
    folder = made / "evaluated"
    shutil.copytree(run, folder)
    evaluate(folder, general=str(made / "general"))
    return folder


def page(path: Path) -> Element:
    return parse(path.read_text(encoding="utf-8"))


def test_a_run_trained_evaluated_and_told(evaluated: Path) -> None:
    path = report(evaluated)
    assert path == evaluated / "report.html"
    root = page(path)
    assert not root.all("p", "missing")
    figures = read_json(evaluated / "evaluation" / "evaluation.json")
    loss = figures["domain"]["parts"]["mlm"]["after"]["loss"]
    table = next(table for table in root.all("table") if "Your documents: all measures" in table.one("caption").text())
    assert table.rows()[1][2] == f"{loss:.3f}"
    # The rows are those that training began with.
    assert root.all("div", "piece") and "⟦" in root.one("section", "batch").text()
    assert "texts.jsonl#L" in root.one("section", "batch").text()
    manifest = read_json(evaluated / "manifest.json")
    assert manifest["corpus"]["fingerprint"] in root.text()
    changed = next(table for table in root.all("table") if "set otherwise" in table.one("caption").text()).rows()
    assert ["seed", "7", "42"] in changed
    # Again, the same file; and nothing of it is in the way of the run.
    before = path.read_bytes()
    assert report(evaluated).read_bytes() == before
    assert open_run(evaluated).status == "finished"


def test_a_run_that_is_not_evaluated(run: Path, tmp_path: Path) -> None:
    root = page(report(run, output=tmp_path / "there" / "r.html", lang="zh"))
    assert root.one("html").get("lang") == "zh-Hans"
    assert f"acclimate evaluate {run}" in root.one("section", "verdict").text()
    assert root.one("section", "curve").all("svg") and root.one("section", "ingredients").all("svg")
    assert not (run / "report.html").exists()


def test_a_corpus_that_is_gone_and_an_evaluation_of_before(evaluated: Path, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    shutil.copytree(evaluated, folder)
    manifest = read_json(folder / "manifest.json")
    write_json(folder / "manifest.json", {**manifest, "corpus": {"path": str(tmp_path / "no"), "fingerprint": "1"}})
    figures = read_json(folder / "evaluation" / "evaluation.json")
    kept = ("run", "objective", "before", "domain", "general", "claim", "notes")
    write_json(folder / "evaluation" / "evaluation.json", {key: figures[key] for key in kept})
    root = page(report(folder))
    assert [section.get("id") for section in root.all("section") if section.all("p", "missing")] == [
        "verdict",
        "ingredients",
        "batch",
    ]
    assert "older version" in root.one("section", "verdict").text()
    assert str(tmp_path / "no") in root.one("section", "batch").text()


def test_mistakes(made: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        report(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="no run"):
        report(made / "corpus")
    with pytest.raises(RecipeError, match="en or zh"):
        report(run, lang="de")
    for folder in (tmp_path, ""):
        with pytest.raises(RecipeError, match=r"is a folder; name a file, such as .*report\.html"):
            report(run, output=folder)
    assert acclimate.report is report


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objectives_rows_are_drawn(name: str, recipe: Any) -> None:  # noqa: F811
    inspected = inspect_batch(recipe(name), rows=6)
    found = facts(batch=batch_of(inspected, 3))
    for lang in ("en", "zh"):
        root = parse(batch_section.render(found, Words(lang)))
        rows = root.all("div", "row")
        assert len(rows) == 3 and all(row.all("div", "piece") for row in rows)
    # A row shows each of its tokens: nothing is cut off, and what is to be predicted is there.
    shown = root.text()
    for row in inspected.rows[:1]:
        for tokens in row.sides.values():
            assert all(token.label_piece.removeprefix("##") in shown for token in tokens if token.label_piece)
    assert render_page(found)


def test_settings_that_are_not_the_defaults() -> None:
    from acclimate.jobs.recipes import make_recipe, to_data

    data = {"model": "m", "corpus": "c", "output_dir": "o", "seed": 3, "adapter": {"type": "lora", "r": 4}}
    changed = changed_settings({"recipe": to_data(make_recipe({**data, "training": {"max_steps": 5}}))})
    assert changed == {
        "model.name": ("m", ""),
        "corpus.path": ("c", ""),
        "output_dir": ("o", ""),
        "seed": (3, 42),
        "adapter.r": (4, 16),
        "training.max_steps": (5, None),
    }


# ---- the command ----------------------------------------------------------------------------------------------------


def command(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> int:
    monkeypatch.setattr(sys, "argv", ["acclimate", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_the_command(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "report", run, "-o", tmp_path / "r.html", "--lang", "zh") == 0
    assert f"Report: {tmp_path / 'r.html'}" in capsys.readouterr().out.replace("\n", "")
    assert "训练报告" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert command(monkeypatch, "report", run, "-o", tmp_path / "r.html", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"report": str(tmp_path / "r.html")}
    assert command(monkeypatch, "report", run, "--lang", "fr") == 2
    assert "en or zh" in capsys.readouterr().err


def test_a_recipe_ends_with_its_report(made: Path, tmp_path: Path) -> None:
    model = GPT2LMHeadModel(GPT2Config(vocab_size=100, n_embd=16, n_layer=1, n_head=2, n_positions=64))
    model.save_pretrained(tmp_path / "gpt2")
    tokenizer().save_pretrained(tmp_path / "gpt2")
    data = {
        "model": str(tmp_path / "gpt2"),
        "corpus": str(made / "corpus"),
        "objective": "clm",
        "max_length": 32,
        "training": TRAINING,
        "output_dir": str(tmp_path / "run"),
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(data))
    result = run_recipe(tmp_path / "recipe.yaml")
    assert result.report == tmp_path / "run" / "report.html"
    root = page(result.report)
    assert "bits per byte" in root.one("section", "comparison").text()
    assert "clm" in root.one("header").text()


# ---- the model card -------------------------------------------------------------------------------------------------


def test_the_card_has_the_same_facts(evaluated: Path) -> None:
    report(evaluated)
    text = (evaluated / "README.md").read_text(encoding="utf-8")
    card = ModelCard(text)
    first, *_, last = card.data.eval_results
    figures = read_json(evaluated / "evaluation" / "evaluation.json")["domain"]["parts"]["mlm"]["after"]
    results = {
        result.metric_type: result.metric_value
        for result in card.data.eval_results
        if result.dataset_name == first.dataset_name
    }
    assert first.task_type == last.task_type == "fill-mask" and first.dataset_split == "held_out"
    assert (first.dataset_name, last.dataset_name) == ("the run's documents", "general text")
    assert results["loss"] == round(figures["loss"], 4)
    assert f"| {figures['loss']:.3f} |" in text and "95 % interval" in text
    assert "Your documents" in text and "What to try next" in text
    assert "| tokens seen |" in text and "Not evaluated yet" not in text
    # Again, the same.
    report(evaluated)
    assert (evaluated / "README.md").read_text(encoding="utf-8") == text


def test_a_card_without_an_evaluation(run: Path, tmp_path: Path) -> None:
    report(run, output=tmp_path / "r.html")
    text = (run / "README.md").read_text(encoding="utf-8")
    assert "Not evaluated yet." in text and ModelCard(text).data.eval_results is None
    assert json.dumps(ModelCard(text).data.to_dict())


def test_a_card_that_cannot_be_read_costs_no_report(evaluated: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(evaluated, tmp_path / "run")
    (folder / "README.md").write_bytes("# Modèle".encode("cp1252"))
    told: list[str] = []

    class Told(Silent):
        def message(self, text: str) -> None:
            told.append(text)

    assert report(folder, listener=Told()).is_file()
    assert any("README.md is left as it is: 'utf-8' codec" in message for message in told)
    assert (folder / "README.md").read_bytes() == "# Modèle".encode("cp1252")


def test_what_the_user_wrote_stays(evaluated: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(evaluated, folder)
    path = folder / "README.md"
    path.write_text(path.read_text().replace("Not stated.", "MIT.").replace("tags:", "license: mit\ntags:"))
    report(folder)
    assert "MIT." in path.read_text() and ModelCard(path.read_text()).data.license == "mit"
    assert ModelCard(path.read_text()).data.eval_results
    # Without the marks, all of it is theirs.
    path.write_text("# Mine\n")
    report(folder)
    assert path.read_text() == "# Mine\n"
    path.unlink()
    report(folder)
    assert not path.exists()
