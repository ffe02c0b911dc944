"""The main job, end to end on tiny models: documents in, an acclimated model out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertModel, pipeline

from acclimate.artifacts import find_manifest, write_json
from acclimate.corpus import CorpusSettings, build_corpus
from acclimate.errors import AcclimateError, DataError, ModelError, RecipeError
from acclimate.evaluation.evaluate import evaluate
from acclimate.jobs.pretrain import pretrain
from acclimate.jobs.recipes import load_recipe
from acclimate.jobs.run import run
from acclimate.recipe import parse_overrides
from acclimate.training import warmup

SENTENCES = (
    "the service runs in the region that you select.",
    "you can create a new cluster with the command line.",
    "when the pod is not ready, use the log to find the error.",
    "this page is for the team that will use the system.",
)


class Heard:
    """A listener that keeps what it heard."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def progress(self, progress: Any) -> None:
        return None


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    (folder / "docs").mkdir()
    for number in range(24):
        text = " ".join(SENTENCES[(number + step) % 4] for step in range(6 + number % 3))
        (folder / "docs" / f"page{number}.md").write_text(f"# page {number}\n\n{text} {number}\n")
    build_corpus(CorpusSettings.model_validate({"sources": str(folder / "docs"), "held_out": 0.3}), folder / "corpus")
    return folder / "corpus"


TRAINING: dict[str, Any] = {
    "max_steps": 6,
    "per_device_train_batch_size": 4,
    "save_steps": 2,
    "logging_steps": 1,
    "learning_rate": 1e-3,
}


def test_a_run_is_a_hugging_face_folder(tiny_bert: Path, corpus: Path, tmp_path: Path) -> None:
    heard = Heard()
    result = pretrain(str(tiny_bert), corpus, tmp_path / "run", training=TRAINING, max_length=32, listener=heard)
    assert result.summary["global_step"] == 6
    assert {"train_loss", "train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos"} <= set(
        result.summary
    )
    assert result.summary["tokens_seen"] > 0
    assert heard.messages[0] == "objective: mlm, the one that bert models were made with"
    model, info = AutoModelForMaskedLM.from_pretrained(tmp_path / "run", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run")
    assert len(pipeline("fill-mask", model=model, tokenizer=tokenizer)("the [MASK] is ready.")) == 5
    assert "acclimate" not in (tmp_path / "run" / "config.json").read_text()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert all(line["tokens_seen"] > 0 for line in lines)
    # The recipe as run is a recipe.
    again = load_recipe(tmp_path / "run" / "recipe.yaml")
    assert (again.max_length, again.training["max_steps"]) == (32, 6)
    manifest = find_manifest(tmp_path / "run", "run")
    assert manifest is not None
    assert manifest["status"] == "finished" and manifest["files"]["model.safetensors"] > 0


def test_a_finished_run_does_nothing_and_another_recipe_is_refused(
    tiny_bert: Path, corpus: Path, tmp_path: Path
) -> None:
    first = pretrain(str(tiny_bert), corpus, tmp_path / "run", training=TRAINING, max_length=32)
    before = (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns
    heard = Heard()
    second = pretrain(str(tiny_bert), corpus, tmp_path / "run", training=TRAINING, max_length=32, listener=heard)
    assert second.summary == first.summary
    assert "finished already" in heard.messages[0]
    assert (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(RecipeError, match="(?s)another recipe.*`seed`: 42 there, 1 now"):
        pretrain(str(tiny_bert), corpus, tmp_path / "run", training=TRAINING, max_length=32, seed=1)


def test_a_folder_of_something_else_is_refused(tiny_bert: Path, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RecipeError, match="holds no run of acclimate"):
        pretrain(str(tiny_bert), corpus, tmp_path, training=TRAINING)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


_JOB = """
import sys
from acclimate.cli.main import main
sys.argv[0:1] = ["acclimate", "pretrain"]
main()
"""


OVERRIDES = (
    "training.max_steps=60",
    "training.save_steps=5",
    "training.per_device_train_batch_size=4",
    "training.gradient_accumulation_steps=2",
    "training.logging_steps=1",
    "max_length=32",
)


def _command(tiny_bert: Path, corpus: Path, run: Path) -> list[str]:
    options = ["-m", str(tiny_bert), "-c", str(corpus), "-o", str(run)]
    return [sys.executable, "-c", _JOB, *options, *OVERRIDES]


def _wait_for_step(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    while process.poll() is None and not (run / f"checkpoint-{step}" / "manifest.json").exists():
        time.sleep(0.02)


def test_killed_and_interrupted_runs_go_on_and_end_the_same(tiny_bert: Path, corpus: Path, tmp_path: Path) -> None:
    # SIGKILL after step 5 at some moment, SIGINT after step 20, then to the end: bit for bit the run never stopped.
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    for number, step, codes in ((signal.SIGKILL, 5, {-9}), (signal.SIGINT, 20, {130})):
        process = subprocess.Popen(_command(tiny_bert, corpus, cut), stderr=subprocess.PIPE, text=True)
        _wait_for_step(cut, step, process)
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
        assert process.returncode in codes, said
        if number == signal.SIGINT:
            assert "The same command goes on from there" in said and "Traceback" not in said
            manifest = find_manifest(cut, "run")
            assert manifest is not None and manifest["status"] == "interrupted"
    subprocess.run(_command(tiny_bert, corpus, cut), check=True, capture_output=True, timeout=120)
    pretrain(str(tiny_bert), corpus, whole, overrides=parse_overrides(OVERRIDES))
    weights = [AutoModelForMaskedLM.from_pretrained(folder).state_dict() for folder in (cut, whole)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    metrics = [
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()] for folder in (cut, whole)
    ]
    losses = [[(line["step"], line["loss"]) for line in lines if "loss" in line] for lines in metrics]
    assert losses[0] == losses[1]


def test_three_short_lines_train(tiny_bert: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("the pod is ready\nuse the new key\nthe log is in the store\n")
    result = pretrain(
        str(tiny_bert),
        {"sources": {"path": str(tmp_path / "lines.txt"), "unit": "line"}},
        tmp_path / "run",
        training={**TRAINING, "max_steps": -1, "num_train_epochs": 10},
        max_length=32,
    )
    # One row; ten epochs of it are ten examples, three batches of four.
    assert result.summary["global_step"] == 3
    evaluation = evaluate(tmp_path / "run")
    assert evaluation.domain is None and evaluation.general is None
    assert "nothing is held out" in evaluation.notes[0]


def test_a_corpus_with_nothing_left_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    (tmp_path / "short.md").write_text("too short")
    with pytest.raises(DataError, match="min_chars"):
        pretrain(
            str(tiny_bert), {"sources": str(tmp_path / "short.md")}, tmp_path / "run", training=TRAINING, max_length=32
        )
    assert not (tmp_path / "run" / "corpus").exists()


def test_documents_instead_of_a_corpus_are_told_what_to_do(tiny_bert: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    with pytest.raises(RecipeError, match="acclimate corpus build"):
        pretrain(str(tiny_bert), tmp_path / "docs", tmp_path / "run", training=TRAINING, max_length=32)


def test_a_fresh_head_is_warmed_up_on_general_text(
    tiny_bert: Path, corpus: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    # A tiny head on a few sentences goes on falling for long; call it warm earlier than a real one.
    monkeypatch.setattr(warmup, "SMALLEST_FALL", 0.15)
    headless = tmp_path / "headless"
    BertModel.from_pretrained(tiny_bert, add_pooling_layer=False).save_pretrained(headless)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(headless)
    (tmp_path / "general.jsonl").write_text(
        "".join(
            json.dumps({"text": f"{number} {SENTENCES[number % 4]} 10 times a year."}) + "\n" for number in range(60)
        )
    )
    result = pretrain(
        str(headless),
        corpus,
        tmp_path / "run",
        training=TRAINING,
        max_length=32,
        evaluation={"general": str(tmp_path / "general.jsonl"), "head_warmup_steps": 600},
    )
    model = result.manifest["model"]
    assert all(name.startswith("cls.predictions") for name in model["new_parameters"])
    assert model["head_warmup"]["leveled_off"] and model["head_warmup"]["steps"] < 600
    base = AutoModelForMaskedLM.from_pretrained(tmp_path / "run" / "base").state_dict()
    start = BertModel.from_pretrained(headless).state_dict()
    # Only the head moved.
    assert all(torch.equal(base[f"bert.{name}"], start[name]) for name in start if "pooler" not in name)
    evaluation = evaluate(tmp_path / "run")
    assert evaluation.claim
    assert evaluation.general is not None and evaluation.domain is not None
    assert evaluation.before.endswith("its new head warmed up on general text")
    # Without general text there is no honest before, and nothing is claimed.
    pretrain(str(headless), corpus, tmp_path / "other", training=TRAINING, max_length=32)
    told = evaluate(tmp_path / "other")
    assert not told.claim
    assert "head was new" in " ".join(told.notes)


def test_a_recipe_from_scratch_makes_tokenizer_model_and_figures(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for number in range(12):
        text = "\n\n".join(SENTENCES[(number + step) % 4] for step in range(8))
        (tmp_path / "docs" / f"{number}.md").write_text(f"# {number}\n\n{text}\n")
    (tmp_path / "recipe.yaml").write_text(
        f"""
model: {{config: {{model_type: bert, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2,
  intermediate_size: 32, max_position_embeddings: 32}}}}
tokenizer: {{train: wordpiece, vocab_size: 120, lowercase: true}}
corpus: {{sources: {tmp_path / "docs"}}}
objective: {{name: mlm, unit: word}}
max_length: 32
training: {{num_train_epochs: 2, per_device_train_batch_size: 4, eval_strategy: epoch}}
output_dir: {tmp_path / "run"}
"""
    )
    result = run(tmp_path / "recipe.yaml", ["training.learning_rate=1e-3", "seed=5"])
    assert result.run.manifest["recipe"]["seed"] == 5
    assert not result.evaluation.claim
    assert result.evaluation.domain is not None
    assert result.evaluation.domain.before["loss"] == pytest.approx(torch.tensor(120.0).log().item(), abs=0.3)
    assert (tmp_path / "run" / "corpus" / "manifest.json").exists()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if "eval_loss" in line] == [
        pytest.approx(1, abs=0.5),
        pytest.approx(2, abs=0.5),
    ]
    # The same file again has nothing to do.
    again = run(tmp_path / "recipe.yaml", ["training.learning_rate=1e-3", "seed=5"])
    assert again.run.summary == result.run.summary
    assert again.evaluation.domain == result.evaluation.domain


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"max_length": 100}, ModelError, "positions for 64 tokens"),
        ({"objective": "mln"}, RecipeError, "did you mean `mlm`"),
        ({"tokenizer": {"train": "wordpiece"}}, RecipeError, "new vocabulary"),
        ({"training": {"eval_strategi": "steps"}}, RecipeError, "did you mean `training.eval_strategy`"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(
    tiny_bert: Path, corpus: Path, tmp_path: Path, changes: dict[str, Any], error: type[AcclimateError], said: str
) -> None:
    with pytest.raises(error, match=said):
        pretrain(str(tiny_bert), corpus, tmp_path / "run", **{"training": TRAINING, "max_length": 32, **changes})
    assert not (tmp_path / "run").exists()


def test_a_tokenizer_of_another_vocabulary_is_refused(tiny_bert: Path, corpus: Path, tmp_path: Path) -> None:
    from tests.objectives.tiny import tokenizer

    tokenizer(100).save_pretrained(tmp_path / "other")
    with pytest.raises(ModelError, match="does not go with the model"):
        pretrain(
            str(tiny_bert),
            corpus,
            tmp_path / "run",
            training=TRAINING,
            max_length=32,
            tokenizer=str(tmp_path / "other"),
        )


def test_the_corpus_may_be_read_only(tiny_bert: Path, corpus: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith(str(corpus)))
    pretrain(str(tiny_bert), corpus, tmp_path / "run", training={**TRAINING, "max_steps": 1}, max_length=32)
    assert len(list((tmp_path / "run" / "tokens").iterdir())) == 2


def test_a_run_cut_off_while_it_finished_trains_no_further(tiny_bert: Path, corpus: Path, tmp_path: Path) -> None:
    # The last checkpoint is whole, the model not yet in place: 6 steps are 6 steps, wherever an epoch ends.
    whole = pretrain(str(tiny_bert), corpus, tmp_path / "run", training=TRAINING, max_length=32)
    weights = AutoModelForMaskedLM.from_pretrained(tmp_path / "run").state_dict()
    manifest = find_manifest(tmp_path / "run", "run")
    assert manifest is not None
    for name in manifest["files"]:
        (tmp_path / "run" / name).unlink()
    write_json(tmp_path / "run" / "manifest.json", {**manifest, "status": "running", "files": {}})
    again = pretrain(str(tiny_bert), corpus, tmp_path / "run", training=TRAINING, max_length=32)
    assert again.summary["global_step"] == 6
    assert again.summary["tokens_seen"] == whole.summary["tokens_seen"]
    after = AutoModelForMaskedLM.from_pretrained(tmp_path / "run").state_dict()
    assert all(torch.equal(weights[name], after[name]) for name in weights)


def test_what_a_run_started_from_is_settled_when_it_begins(tiny_bert: Path, corpus: Path, tmp_path: Path) -> None:
    # General text that comes with the second command must not make a base that the run never started from.
    headless = tmp_path / "headless"
    BertModel.from_pretrained(tiny_bert, add_pooling_layer=False).save_pretrained(headless)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(headless)
    pretrain(str(headless), corpus, tmp_path / "run", training=TRAINING, max_length=32)
    manifest = find_manifest(tmp_path / "run", "run")
    assert manifest is not None
    write_json(tmp_path / "run" / "manifest.json", {**manifest, "status": "interrupted"})
    (tmp_path / "general.jsonl").write_text("".join(json.dumps({"text": SENTENCES[n % 4]}) + "\n" for n in range(60)))
    again = pretrain(
        str(headless),
        corpus,
        tmp_path / "run",
        training=TRAINING,
        max_length=32,
        evaluation={"general": str(tmp_path / "general.jsonl")},
    )
    assert again.manifest["before"] == manifest["before"]
    assert not (tmp_path / "run" / "base").exists()


def test_another_run_s_checkpoint_gives_way_to_a_further_one_of_this_run(
    tiny_bert: Path, corpus: Path, tmp_path: Path
) -> None:
    pretrain(str(tiny_bert), corpus, tmp_path / "first", training=TRAINING, max_length=32)
    heard = Heard()
    values = {**TRAINING, "max_steps": 8}
    named = str(tmp_path / "first" / "checkpoint-4")
    pretrain(
        str(tiny_bert),
        corpus,
        tmp_path / "second",
        training=values,
        max_length=32,
        resume_from_checkpoint=named,
        listener=heard,
    )
    assert "going on from checkpoint-4" in heard.messages
    manifest = find_manifest(tmp_path / "second", "run")
    write_json(tmp_path / "second" / "manifest.json", {**(manifest or {}), "status": "interrupted"})
    again = Heard()
    pretrain(
        str(tiny_bert),
        corpus,
        tmp_path / "second",
        training=values,
        max_length=32,
        resume_from_checkpoint=named,
        listener=again,
    )
    assert "going on from checkpoint-8" in again.messages


def test_several_processes_are_refused(tiny_bert: Path, corpus: Path, tmp_path: Path, monkeypatch: Any) -> None:
    # Without `training`: TrainingArguments made in such an environment would look for the other process.
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="without torchrun"):
        pretrain(str(tiny_bert), corpus, tmp_path / "run", max_length=32)


def test_trackers_are_checked_before_any_work(tiny_bert: Path, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="(?s)unknown tracker 'tensorbord'.*mlflow is not installed"):
        pretrain(str(tiny_bert), corpus, tmp_path / "run", report_to=["tensorbord", "mlflow"], max_length=32)
