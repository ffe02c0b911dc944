"""How long training waits for its data is measured, logged, shown, and said how to mend."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from acclimate.objectives.base import Fields
from acclimate.progress import Progress
from acclimate.training.callbacks import MetricsFile, ProgressTeller
from acclimate.training.stream import ExampleDataset
from acclimate.training.waiting import WaitingClock, advice
from tests.objectives.checks import make_trainer, texts
from tests.objectives.test_mlm import objective
from tests.objectives.tiny import bert, memory_store


class Heard:
    """Keeps what a listener hears."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.shown: list[Progress] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def progress(self, progress: Progress) -> None:
        self.shown.append(progress)


class Slow(ExampleDataset):
    """Takes as long for each batch as has passed since the last one, but a tenth of a second at least: so that a busy
    machine, on which steps take longer, changes nothing."""

    _last: float | None = None

    def __getitems__(self, keys: Any) -> list[Fields]:
        passed = 0.0 if self._last is None else time.perf_counter() - self._last
        time.sleep(max(0.1, passed))
        self._last = time.perf_counter()
        return super().__getitems__(keys)


def train(kind: type[ExampleDataset], folder: Path, **values: Any) -> tuple[list[dict[str, Any]], Heard, Any]:
    """Six steps of a tiny model, a log each two; the lines of metrics, what was heard, and the summary."""
    subject, store = objective(), memory_store(texts(20))
    plan: Any = subject.plan(store, isolate="document", packed=True)  # type: ignore[arg-type]
    heard, path = Heard(), folder / "metrics.jsonl"
    trainer = make_trainer(
        subject, store, plan, bert(), folder, max_steps=6, logging_steps=2, callbacks=[MetricsFile(path)], **values
    )
    trainer.train_dataset = kind(subject, store, plan)  # type: ignore[arg-type]
    trainer.add_callback(ProgressTeller(heard, "training", lambda: trainer.tokens_seen))
    output = trainer.train()
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return lines, heard, trainer.summary(output)


def test_a_clock_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # It runs from the first wait on, at 10: waits from 10 to 11 and from 13 to 14; asked at 14, and, after a wait from
    # 20 to 22, at 24.
    times = iter([10.0, 11.0, 13.0, 14.0, 14.0, 14.0, 20.0, 22.0, 24.0, 24.0])
    monkeypatch.setattr("acclimate.training.waiting.time.perf_counter", lambda: next(times))
    clock = WaitingClock()
    assert clock.share() == clock.overall_share() == 0.0
    for _ in range(2):
        with clock.waiting():
            pass
    assert clock.share() == clock.overall_share() == 2 / 4
    with clock.waiting():
        pass
    assert clock.share() == 2 / 10
    assert clock.overall_share() == 4 / 14


def test_a_wait_that_fails_counts() -> None:
    clock = WaitingClock()
    with pytest.raises(StopIteration), clock.waiting():
        raise StopIteration
    assert clock.overall_share() > 0


def test_slow_data_is_told(tmp_path: Path) -> None:
    # Its data takes half of the time, or more.
    lines, heard, summary = train(Slow, tmp_path)
    logged = [line["data_wait_share"] for line in lines if "loss" in line]
    assert len(logged) == 3 and all(0.3 < share < 1 for share in logged)
    # The summary's is that of the whole run.
    assert 0.3 < summary["data_wait_share"] < 1
    assert lines[-1]["data_wait_share"] == summary["data_wait_share"]
    assert min(logged) - 0.1 < summary["data_wait_share"] < max(logged) + 0.1
    # Said once, with what helps; shown from the first log on.
    (told,) = heard.messages
    assert "training waits for data: `training.dataloader_num_workers: 2`" in told
    assert heard.shown[-1].details[-1] == ("waiting for data", f"{logged[-1]:.0%}")


def test_fast_data_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The loss takes a fifth of a second, which is long beside two rows of 32 tokens.
    sums = type(objective()).sums

    def slow_sums(*args: Any) -> torch.Tensor:
        time.sleep(0.2)
        return sums(*args)

    monkeypatch.setattr(type(objective()), "sums", slow_sums)
    lines, _, summary = train(ExampleDataset, tmp_path)
    logged = [line["data_wait_share"] for line in lines if "loss" in line]
    assert len(logged) == 3 and all(0 <= share < 0.15 for share in logged)
    assert 0 <= summary["data_wait_share"] < 0.15


@pytest.mark.parametrize(
    ("shares", "said", "shown"),
    [
        # The first stretch, in which workers start, is shown and no matter for advice.
        ([0.5], [], "50%"),
        ([0.5, 0.049], [], None),
        ([0.0, 0.06, 0.2], ["6% of the time training waits for data: more than 2"], "20%"),
    ],
)
def test_waiting_is_shown_where_it_is_noticeable_and_advice_given_once(
    shares: list[float], said: list[str], shown: str | None
) -> None:
    heard = Heard()
    teller = ProgressTeller(heard, "training", lambda: 0)
    args: Any = SimpleNamespace(dataloader_num_workers=2)
    state: Any = SimpleNamespace(global_step=0, max_steps=9)
    control: Any = None
    teller.on_train_begin(args, state, control)
    for share in shares:
        teller.on_log(args, state, control, {"loss": 1.0, "data_wait_share": share})
    assert len(heard.messages) == len(said)
    assert all(message.startswith(start) for message, start in zip(heard.messages, said, strict=True))
    assert dict(heard.shown[-1].details).get("waiting for data") == shown


def test_workers_make_slow_data_while_the_model_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two workers give a batch each 0.05 s; the model takes 0.3 s for each.
    sums = type(objective()).sums

    def slow_sums(*args: Any) -> torch.Tensor:
        time.sleep(0.3)
        return sums(*args)

    monkeypatch.setattr(type(objective()), "sums", slow_sums)
    lines, _, _ = train(Slow, tmp_path, dataloader_num_workers=2)
    assert [line["data_wait_share"] < 0.15 for line in lines if "loss" in line][1:] == [True, True]


def test_advice_fits_the_workers_there_are() -> None:
    assert "dataloader_num_workers: 2`" in advice(0)
    assert "more than 4 `training.dataloader_num_workers`" in advice(4)
