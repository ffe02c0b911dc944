"""What happens beside training: metrics on disk, progress told, and stopping when asked to."""

from __future__ import annotations

import datetime
import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from acclimate.artifacts import write_text
from acclimate.errors import Interrupted, writing_to
from acclimate.progress import Listener, Progress
from acclimate.training.waiting import NOTICEABLE, advice


class MetricsFile(TrainerCallback):  # type: ignore[misc]
    """Keeps `metrics.jsonl`: one line for each log of the Trainer.

    On resume, lines of steps after the checkpoint are gone, since those steps are trained again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            write_text(self.path, "".join(_line(record) for record in state.log_history))

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            with writing_to(self.path.parent), open(self.path, "a", encoding="utf-8") as file:
                file.write(_line(state.log_history[-1]))


def _line(record: dict[str, Any]) -> str:
    step = record.get("step")
    rest = {name: value for name, value in record.items() if name != "step"}
    return json.dumps({"step": step, **rest}) + "\n"


class ProgressTeller(TrainerCallback):  # type: ignore[misc]
    """Tells a listener how training goes: step, loss, and by the last half minute tokens per second and time left; and
    where it waits for data, how much, and once what helps."""

    WINDOW = 30.0
    INTERVAL = 0.2

    def __init__(self, listener: Listener, stage: str, tokens_seen: Callable[[], int]) -> None:
        self.listener = listener
        self.stage = stage
        self.tokens_seen = tokens_seen
        self.loss: float | None = None
        self.waits: list[float] = []
        self.advised = False
        self.marks: list[tuple[float, int, int]] = []

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.marks = [(time.monotonic(), self.tokens_seen(), state.global_step)]
        self._tell(state)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        now = time.monotonic()
        last = state.global_step >= state.max_steps
        if now - self.marks[-1][0] < self.INTERVAL and not last:
            return
        self.marks.append((now, self.tokens_seen(), state.global_step))
        while len(self.marks) > 2 and now - self.marks[0][0] > self.WINDOW:
            self.marks.pop(0)
        self._tell(state)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if logs and "loss" in logs:
            self.loss = float(logs["loss"])
            self.waits.append(logs.get("data_wait_share", 0.0))
            self._advise(args)
            self._tell(state)

    def _advise(self, args: TrainingArguments) -> None:
        # The first stretch has the start of the workers in it.
        if self.advised or len(self.waits) < 2 or self.waits[-1] < NOTICEABLE:
            return
        self.advised = True
        self.listener.message(
            f"{self.waits[-1]:.0%} of the time training waits for data: {advice(args.dataloader_num_workers)}"
        )

    def _tell(self, state: TrainerState) -> None:
        details = []
        if self.loss is not None:
            details.append(("loss", f"{self.loss:.3f}"))
        (start, tokens, first_step), (end, more_tokens, _) = self.marks[0], self.marks[-1]
        if end > start:
            details.append(("tokens/s", f"{(more_tokens - tokens) / (end - start):,.0f}"))
            steps = state.global_step - first_step
            if steps > 0:
                left = (state.max_steps - state.global_step) * (end - start) / steps
                details.append(("left", str(datetime.timedelta(seconds=round(left)))))
        if self.waits and self.waits[-1] >= NOTICEABLE:
            details.append(("waiting for data", f"{self.waits[-1]:.0%}"))
        self.listener.progress(Progress(self.stage, state.global_step, state.max_steps, "step", tuple(details)))


class StopOnSignal(TrainerCallback):  # type: ignore[misc]
    """SIGINT and SIGTERM finish the step, save a checkpoint and stop; a second SIGINT stops at once.

    Used as a context around `train()`; only in the main thread, where signals arrive.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.received: int | None = None
        self._former: dict[int, Any] = {}

    def __enter__(self) -> StopOnSignal:
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._receive) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        self.listener.message(f"{signal.Signals(number).name}: saving a checkpoint after this step, then stopping")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.received is not None and state.global_step < state.max_steps:
            control.should_save = True
            control.should_training_stop = True

    def check(self, state: TrainerState, run_folder: Path) -> None:
        """Raise `Interrupted` where training stopped before its end because a signal came."""
        if self.received is not None and state.global_step < state.max_steps:
            self.interrupt(
                f"stopped at step {state.global_step} of {state.max_steps}; saved in "
                f"{run_folder / f'checkpoint-{state.global_step}'}. The same command goes on from there."
            )

    def interrupt(self, text: str) -> NoReturn:
        """Raise `Interrupted` for the signal that came."""
        assert self.received is not None
        raise Interrupted(f"{signal.Signals(self.received).name}: {text}", self.received)
