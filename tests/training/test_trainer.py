"""The Trainer with an objective plugged in: exact under accumulation, on two processes, and when resumed."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, TrainerCallback

from acclimate.corpus import open_corpus
from acclimate.errors import CheckpointError, Interrupted
from acclimate.models.attention import separate_segments
from acclimate.objectives import make_objective
from acclimate.progress import Silent
from acclimate.tokens.store import build_token_store
from acclimate.training.callbacks import MetricsFile, StopOnSignal
from acclimate.training.checkpoints import STAGING, newest_whole_checkpoint
from acclimate.training.settings import training_arguments
from acclimate.training.stream import ExampleDataset
from acclimate.training.trainer import ObjectiveTrainer, steps_for_epochs
from tests.objectives.tiny import bert, corpus_folder, tokenizer


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> ExampleDataset:
    return make_dataset(tmp_path_factory.mktemp("training"), num_texts=40)


def make_dataset(folder: Path, *, num_texts: int, max_length: int = 32) -> ExampleDataset:
    """Texts with something to learn: after w(i) mostly comes w(i + 1)."""
    rng = np.random.default_rng(0)
    texts = []
    for size in rng.integers(4, 60, num_texts):
        start = int(rng.integers(5, 100))
        texts.append(" ".join(f"w{5 + (start + step) % 95}" for step in range(size)))
    corpus = open_corpus(corpus_folder(folder, texts, held_out=0, deduplicate=False))
    store = build_token_store(corpus, "train", tokenizer(), folder / "tokens", num_workers=1)
    objective = make_objective("mlm", {}, tokenizer(), max_length=max_length, seed=1)
    return ExampleDataset(objective, store, objective.plan(store, isolate="group", packed=True))


def make_trainer(
    dataset: ExampleDataset, folder: Path, *, model: PreTrainedModel | None = None, callbacks: Any = None, **values: Any
) -> ObjectiveTrainer:
    defaults: dict[str, Any] = {
        "use_cpu": True,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_strategy": "no",
    }
    args = training_arguments({**defaults, **values}, folder, seed=3, report_to="none")
    model = model or bert(dropout=0.1)
    separate_segments(model)
    return ObjectiveTrainer(model, args, dataset, tokenizer(), callbacks=callbacks)


def digest(model: PreTrainedModel) -> str:
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest()


class Gradients(TrainerCallback):
    """Keeps the gradients of the first step."""

    def __init__(self) -> None:
        self.first: dict[str, torch.Tensor] = {}

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if not self.first:
            self.first = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


# ---- the loss ------------------------------------------------------------------------------------------------


def test_accumulation_gives_the_same_gradient(dataset: ExampleDataset, tmp_path: Path) -> None:
    # Micro-batches have unequal numbers of targets, so that a mean of their means would be another loss. The stock
    # Trainer's gradient at accumulation 4 is some four times as large (transformers#47688).
    found = {}
    for steps in (1, 4):
        gradients = Gradients()
        trainer = make_trainer(
            dataset,
            tmp_path / str(steps),
            model=bert(),
            callbacks=[gradients],
            per_device_train_batch_size=8 // steps,
            gradient_accumulation_steps=steps,
            max_steps=1,
            max_grad_norm=0.0,
        )
        found[steps] = (trainer.train().training_loss, gradients.first)
    assert found[4][0] == pytest.approx(found[1][0], rel=1e-6)
    for name, gradient in found[1][1].items():
        assert torch.allclose(gradient, found[4][1][name], rtol=1e-4, atol=1e-7), name


def test_gradient_is_that_of_the_plain_mean(dataset: ExampleDataset, tmp_path: Path) -> None:
    gradients = Gradients()
    trainer = make_trainer(dataset, tmp_path, model=bert(), callbacks=[gradients], max_steps=1, max_grad_norm=0.0)
    trainer.train()
    batch = dataset.objective.collate([dataset[key] for key in list(trainer._get_train_sampler())[:4]])
    model = bert()
    separate_segments(model)
    (loss,) = dataset.objective.sums(model, batch) / dataset.objective.counts(batch)
    loss.backward()
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.grad, gradients.first[name], rtol=1e-4, atol=1e-7), name


def test_it_learns(dataset: ExampleDataset, tmp_path: Path) -> None:
    # The texts count upwards modulo 95, so that the entropy of a token alone is ln 95 = 4.55 nats, and a neighbour
    # tells it exactly.
    trainer = make_trainer(
        dataset, tmp_path, model=bert(), max_steps=250, learning_rate=5e-3, per_device_train_batch_size=16
    )
    trainer.train()
    losses = [record["loss"] for record in trainer.state.log_history if "loss" in record]
    assert sum(losses[-10:]) / 10 < 0.6 * math.log(95)


# ---- the stream ----------------------------------------------------------------------------------------------


class Seen(TrainerCallback):
    """Counts optimizer steps; the data set beside it records keys."""

    def __init__(self) -> None:
        self.steps = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.steps += 1


class Recording(ExampleDataset):
    def __init__(self, dataset: ExampleDataset) -> None:
        super().__init__(dataset.objective, dataset.store, dataset.plan)
        self.keys: list[int] = []

    def __getitems__(self, keys: Any) -> Any:
        self.keys += keys
        return super().__getitems__(keys)


def test_every_example_is_trained_on_once_an_epoch(dataset: ExampleDataset, tmp_path: Path) -> None:
    recording, seen = Recording(dataset), Seen()
    trainer = make_trainer(
        recording,
        tmp_path,
        callbacks=[seen],
        num_train_epochs=2,
        gradient_accumulation_steps=3,
        per_device_train_batch_size=2,
    )
    trainer.train()
    rows = len(dataset)
    steps = math.ceil(2 * rows / 6)
    assert seen.steps == trainer.state.global_step == steps == steps_for_epochs(trainer.order, trainer.args)
    trained = recording.keys[: steps * 6]
    assert sorted(trained[: 2 * rows]) == list(range(2 * rows))
    assert trainer.state.log_history[-2]["epoch"] == pytest.approx(steps * 6 / rows)


def test_a_corpus_of_one_row_trains(tmp_path: Path) -> None:
    small = make_dataset(tmp_path, num_texts=1, max_length=64)
    assert len(small) == 1
    trainer = make_trainer(small, tmp_path / "run", num_train_epochs=20, per_device_train_batch_size=8)
    trainer.train()
    # 20 epochs of one row are 20 examples: three batches of eight.
    assert trainer.state.global_step == 3
    assert trainer.tokens_seen == 24 * (small.plan.num_tokens + 2)


# ---- checkpoints ---------------------------------------------------------------------------------------------


class StopAt(TrainerCallback):
    """Cuts training off, at a step's beginning or amid accumulation, as a crash would."""

    def __init__(self, step: int, *, amid: bool) -> None:
        self.step, self.amid = step, amid

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.amid and state.global_step == self.step:
            raise KeyboardInterrupt

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not self.amid and state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("bf16", "workers", "step", "amid"), [(False, 0, 7, True), (False, 2, 10, False), (True, 0, 13, True)]
)
def test_a_resumed_run_is_the_same_run(
    dataset: ExampleDataset, tmp_path: Path, bf16: bool, workers: int, step: int, amid: bool
) -> None:
    values: dict[str, Any] = {
        "bf16": bf16,
        "dataloader_num_workers": workers,
        "max_steps": 16,
        "gradient_accumulation_steps": 2,
        "save_strategy": "steps",
        "save_steps": 5,
        "warmup_steps": 4,
    }
    whole = make_trainer(dataset, tmp_path / "whole", **values)
    whole.train()
    cut = make_trainer(dataset, tmp_path / "cut", callbacks=[StopAt(step, amid=amid)], **values)
    with pytest.raises(KeyboardInterrupt):
        cut.train()
    checkpoint, passed_over = newest_whole_checkpoint(tmp_path / "cut")
    assert checkpoint is not None and checkpoint.name == f"checkpoint-{step // 5 * 5}"
    assert passed_over == []
    resumed = make_trainer(
        dataset, tmp_path / "cut", callbacks=[MetricsFile(tmp_path / "cut" / "metrics.jsonl")], **values
    )
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert digest(resumed.model) == digest(whole.model)
    optimizers = [trainer.optimizer.state_dict()["state"] for trainer in (resumed, whole)]
    for ours, theirs in zip(optimizers[0].values(), optimizers[1].values(), strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    losses = [
        [(record["step"], record["loss"]) for record in trainer.state.log_history if "loss" in record]
        for trainer in (resumed, whole)
    ]
    assert losses[0] == losses[1]
    lines = [json.loads(line) for line in (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 17))


def test_a_half_written_checkpoint_is_never_taken(
    dataset: ExampleDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values: dict[str, Any] = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3}
    trainer = make_trainer(dataset, tmp_path, **values)

    def crash(*_: Any) -> None:
        if trainer.state.global_step == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "_save_rng_state", crash)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    # The weights of step 6 were written, aside; the newest whole checkpoint is that of step 3.
    assert (tmp_path / STAGING / "checkpoint-6" / "model.safetensors").exists()
    checkpoint, _ = newest_whole_checkpoint(tmp_path)
    assert checkpoint is not None and checkpoint.name == "checkpoint-3"


def test_save_total_limit_and_best_model(dataset: ExampleDataset, tmp_path: Path) -> None:
    losses = iter([3.0, 1.0, 2.0, 2.5])
    args = training_arguments(
        {
            "use_cpu": True,
            "max_steps": 8,
            "save_steps": 2,
            "eval_steps": 2,
            "eval_strategy": "steps",
            "save_total_limit": 2,
            "load_best_model_at_end": True,
            "metric_for_best_model": "loss",
        },
        tmp_path,
        seed=3,
        report_to="none",
    )
    model = bert()
    separate_segments(model)
    trainer = ObjectiveTrainer(
        model, args, dataset, tokenizer(), held_out=dataset, evaluate_held_out=lambda _: {"loss": next(losses)}
    )
    trainer.train()
    assert trainer.state.best_model_checkpoint == str(tmp_path / "checkpoint-4")
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-4", "checkpoint-8"]
    state = json.loads((tmp_path / "checkpoint-4" / "trainer_state.json").read_text())
    assert state["best_model_checkpoint"] == str(tmp_path / "checkpoint-4")
    assert not (tmp_path / STAGING).exists()


def test_checkpoints_without_optimizer_are_told_of(dataset: ExampleDataset, tmp_path: Path) -> None:
    make_trainer(dataset, tmp_path, max_steps=2, save_strategy="steps", save_steps=2, save_only_model=True).train()
    checkpoint, passed_over = newest_whole_checkpoint(tmp_path)
    assert checkpoint is None
    assert "no optimizer state" in passed_over[0]


# ---- signals -------------------------------------------------------------------------------------------------


class SendSignal(TrainerCallback):
    def __init__(self, number: int, step: int) -> None:
        self.number, self.step = number, step

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_stops(dataset: ExampleDataset, tmp_path: Path, number: int, code: int) -> None:
    before = signal.getsignal(number)
    with StopOnSignal(Silent()) as stop:
        trainer = make_trainer(
            dataset, tmp_path, callbacks=[SendSignal(number, 4), stop], max_steps=50, save_strategy="steps"
        )
        trainer.train()
        with pytest.raises(Interrupted, match="step 5 of 50") as caught:
            stop.check(trainer.state, tmp_path)
    assert caught.value.exit_code == code
    assert newest_whole_checkpoint(tmp_path)[0] == tmp_path / "checkpoint-5"
    assert signal.getsignal(number) is before


# ---- processes -----------------------------------------------------------------------------------------------

_WORKER = """
import json, sys
from pathlib import Path
from tests.training.test_trainer import digest, make_dataset, make_trainer
from tests.objectives.tiny import bert
folder = Path(sys.argv[1])
from acclimate.corpus import open_corpus
from acclimate.objectives import make_objective
from acclimate.tokens.store import open_token_store
from acclimate.training.stream import ExampleDataset
from tests.objectives.tiny import tokenizer
store = open_token_store(folder / "tokens")
objective = make_objective("mlm", {}, tokenizer(), max_length=32, seed=1)
dataset = ExampleDataset(objective, store, objective.plan(store, isolate="group", packed=True))
trainer = make_trainer(dataset, folder / "two", model=bert(), max_steps=8, per_device_train_batch_size=2,
                       ddp_backend="gloo", num_train_epochs=1)
trainer.train()
if trainer.is_world_process_zero():
    losses = [record["loss"] for record in trainer.state.log_history if "loss" in record]
    (folder / "losses.json").write_text(json.dumps([losses, trainer.tokens_seen]))
# A process that ends while the other still talks to it is aborted.
import torch.distributed
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


def _run_two(folder: Path) -> None:
    """Start the worker as two processes, as `torchrun --nproc-per-node=2` would."""
    script = folder / "worker.py"
    script.write_text(_WORKER)
    root = Path(__file__).resolve().parents[2]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "PYTHONPATH": str(root)}
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(folder)],
            cwd=root,
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, num_texts=15)
    one = make_trainer(dataset, tmp_path / "one", model=bert(), max_steps=8, per_device_train_batch_size=4)
    one.train()
    expected = [record["loss"] for record in one.state.log_history if "loss" in record]
    _run_two(tmp_path)
    losses, tokens_seen = json.loads((tmp_path / "losses.json").read_text())
    assert losses == pytest.approx(expected, rel=1e-5)
    assert tokens_seen == one.tokens_seen


def test_a_named_checkpoint_must_be_whole(tmp_path: Path) -> None:
    from acclimate.training.checkpoints import check_checkpoint

    with pytest.raises(CheckpointError, match="cannot be used"):
        check_checkpoint(tmp_path / "checkpoint-5")
