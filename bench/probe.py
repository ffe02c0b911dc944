"""What is measured of a run of the `Trainer`, the same way for the peer's and for ours.

The probe is put among the Trainer's default callbacks, so that neither script has to know of it.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, trainer

from acclimate.models.flops import linear_weights

STATUS = Path("/proc/self/status")


class Probe(TrainerCallback):
    """Times steps, takes the peak of memory, and may stop training when a held-out loss is reached.

    On a GPU, steps are timed in blocks, for waiting after each would slow them down.

    Attributes:
        seconds: of each step, or of each block divided by its steps; evaluation is not counted, fetching batches is.
        evaluations: (step, seconds trained, loss) of each evaluation.
    """

    def __init__(self, *, started: float, block: int = 1, target_loss: float | None = None) -> None:
        """
        Args:
            started: when the process was started (`time.time()`).
            block: steps that are timed together.
            target_loss: stop at the first evaluation with a loss as low as this.
        """
        self.started = started
        self.block = block
        self.target_loss = target_loss
        self.seconds: list[float] = []
        self.evaluations: list[tuple[int, float, float]] = []
        self.first_step: float | None = None
        self.num_steps = 0
        self.memory: dict[str, float] = {}
        self.weights: dict[str, int] = {}
        self.libraries = resident_bytes("VmRSS")

    def install(self) -> Probe:
        trainer.DEFAULT_CALLBACKS.append(self)
        return self

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.cuda = args.device.type == "cuda"
        reset_peak(self.cuda)
        self._wait()
        self.since = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.num_steps += 1
        if self.first_step is None:
            self._wait()
            self.first_step = time.time() - self.started
        if self.num_steps % self.block == 0:
            self._wait()
            now = time.perf_counter()
            self.seconds.append((now - self.since) / self.block)
            self.since = now

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        loss = float((metrics or {}).get("eval_loss", "nan"))
        self.evaluations.append((state.global_step, sum(self.seconds) * self.block, loss))
        if self.target_loss is not None and loss <= self.target_loss:
            control.should_training_stop = True
        self.since = time.perf_counter()

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, optimizer: Any = None, **_: Any):
        self._wait()
        peak = torch.cuda.max_memory_allocated() if self.cuda else resident_bytes("VmHWM")
        libraries = 0 if self.cuda else self.libraries
        needed = needed_bytes(model, optimizer)
        self.memory = {"peak": peak, "libraries": libraries, "needed": needed, "beyond": peak - libraries - needed}
        self.weights = asdict(linear_weights(model))

    def report(self) -> dict[str, Any]:
        return {
            "seconds": self.seconds,
            "block": self.block,
            "first_step": self.first_step,
            "steps": self.num_steps,
            "evaluations": self.evaluations,
            "memory": self.memory,
            "weights": self.weights,
        }

    def _wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()


def needed_bytes(model: Any, optimizer: Any) -> int:
    """Bytes that no step can do without: weights, gradients of what is trained, and the optimizer's state."""
    parameters = {id(parameter): parameter for parameter in model.parameters()}.values()
    state = getattr(optimizer, "optimizer", optimizer).state.values()
    return (
        sum(parameter.nbytes for parameter in parameters)
        + sum(buffer.nbytes for buffer in model.buffers())
        + sum(parameter.nbytes for parameter in parameters if parameter.requires_grad)
        + sum(value.nbytes for values in state for value in _tensors(values))
    )


def _tensors(values: Mapping[str, Any]) -> list[torch.Tensor]:
    return [value for value in values.values() if isinstance(value, torch.Tensor)]


def resident_bytes(field: str) -> int:
    """Memory of this process: `VmRSS` now, or `VmHWM` at its peak. (`getrusage` on Linux tells the peak of the process
    that started this one where that was higher.)"""
    if STATUS.exists():
        (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:")]
        return int(line.split()[1]) * 1024
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def reset_peak(cuda: bool) -> None:
    """Forget the peak of what came before, such as reading a checkpoint."""
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        return
    with contextlib.suppress(
        OSError
    ):  # no Linux, or a container that forbids it: the peak is then of the whole process
        Path("/proc/self/clear_refs").write_text("5")
