"""What a job tells of its cost, and when it looks at a recipe's probes."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from acclimate.corpus import CorpusSettings, build_corpus
from acclimate.errors import DataError, Interrupted
from acclimate.jobs.pretrain import pretrain
from acclimate.training import cost
from acclimate.training.callbacks import StopOnSignal

TRAINING: dict[str, Any] = {
    "max_steps": 4,
    "per_device_train_batch_size": 4,
    "logging_steps": 1,
    "save_strategy": "no",
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    (folder / "docs").mkdir()
    for number in range(12):
        (folder / "docs" / f"page{number}.txt").write_text(
            f"the service runs in the region that you use {number}. " * 9
        )
    build_corpus(CorpusSettings.model_validate({"sources": str(folder / "docs"), "held_out": 0.3}), folder / "corpus")
    return folder / "corpus"


def test_a_run_tells_what_it_cost(tiny_bert: Path, corpus: Path, tmp_path: Path) -> None:
    run = pretrain(str(tiny_bert), corpus, tmp_path / "run", objective="mlm", max_length=32, training=TRAINING)
    summary = run.summary
    assert summary["seconds"] == pytest.approx(summary["train_runtime"], abs=1)
    assert summary["peak_memory_bytes"] > 50_000_000  # torch alone is more
    # The body: 2 layers of 4 x 32 x 32 and 2 x 32 x 64, 6 operations each and token; the head, at 15 % of the tokens:
    # 32 x 32 and 32 x vocabulary.
    vocabulary = json.loads((tiny_bert / "config.json").read_text())["vocab_size"]
    # Of the last layer only query, key and value are needed at all tokens.
    behind = 1024 + 2 * 2048
    body, head = 6 * (2 * (4 * 1024 + 2 * 2048) - behind), 6 * (behind + 1024 + 32 * vocabulary)
    assert summary["flops"] / summary["tokens_seen"] == pytest.approx(body + 0.15 * head, rel=0.05)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds) and seconds[-1] <= summary["seconds"]


def test_seconds_are_those_of_all_sessions(
    tiny_bert: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start() -> Any:
        return pretrain(str(tiny_bert), corpus, tmp_path / "run", objective="mlm", max_length=32, training=TRAINING)

    stop_at_2 = StopOnSignal.on_step_end

    def stopped(self: StopOnSignal, args: Any, state: Any, control: Any, **options: Any) -> None:
        if state.global_step == 2 and self.received is None:
            self.received = 15
        stop_at_2(self, args, state, control, **options)

    ticks = itertools.count(step=1000.0)
    with monkeypatch.context() as patch:
        patch.setattr(StopOnSignal, "on_step_end", stopped)
        # A clock on which each look at it takes 1000 seconds.
        patch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
        with pytest.raises(Interrupted):
            start()
    # The watch was looked at when it was made, when training began, and in two logs: 2000 seconds after the beginning.
    assert 2000 < start().summary["seconds"] < 2100


def test_a_mistake_in_the_probes_is_told_before_training(tiny_bert: Path, corpus: Path, tmp_path: Path) -> None:
    probes = tmp_path / "probes.txt"
    probes.write_text("no blank here\nthe [MASK] runs\tservice\n")
    with pytest.raises(DataError, match=r"probes\.txt:1: there is no mask"):
        pretrain(
            str(tiny_bert),
            corpus,
            tmp_path / "run",
            objective="mlm",
            max_length=32,
            training=TRAINING,
            evaluation={"probes": str(probes)},
        )
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
