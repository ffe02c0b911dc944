"""What a run cost: seconds, floating point operations, memory."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from acclimate.models.flops import example_flops
from acclimate.training.stream import ExampleDataset

SECONDS = "seconds"
# Examples that are looked at to know what one costs.
_SAMPLE = 64
_STATUS = Path("/proc/self/status")


class Stopwatch(TrainerCallback):  # type: ignore[misc]
    """Notes in each log how long the run has been training, earlier sessions included: the log is a part of each
    checkpoint. It must stand before what writes the log down."""

    def __init__(self) -> None:
        self._earlier = 0.0
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Spent training so far."""
        return round(self._earlier + time.perf_counter() - self._start, 3)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._earlier = seconds_in(state)
        self._start = time.perf_counter()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        state.log_history[-1][SECONDS] = self.seconds


def seconds_in(state: TrainerState) -> float:
    """How long a run had been training when its log was last written."""
    return max((float(record[SECONDS]) for record in state.log_history if SECONDS in record), default=0.0)


def training_cost(model: Any, dataset: ExampleDataset, *, num_tokens: int, seconds: float) -> dict[str, float]:
    """What a run cost, for its summary.

    Args:
        model: as it was trained.
        dataset: what it was trained on.
        num_tokens: that it has seen, as the examples' rows count them.
        seconds: spent training.

    Returns:
        `seconds`, `flops`, `peak_memory_bytes` (resident memory of the process at its peak), and on a GPU
        `peak_accelerator_bytes`.
    """
    found = {
        SECONDS: seconds,
        "flops": flops_per_token(model, dataset) * num_tokens,
        "peak_memory_bytes": float(peak_memory()),
    }
    if torch.cuda.is_available():
        found["peak_accelerator_bytes"] = float(torch.cuda.max_memory_allocated())
    return found


def flops_per_token(model: Any, dataset: ExampleDataset) -> float:
    """Operations a token, by 64 examples spread over the rows."""
    objective = dataset.objective
    keys = np.unique(np.linspace(0, len(dataset) - 1, _SAMPLE).astype(np.int64)).tolist()
    examples = dataset.__getitems__(keys)
    counts = objective.counts(objective.collate(examples)).tolist()
    needed = example_flops(
        model,
        sum(len(example["input_ids"]) for example in examples),
        counts,
        num_decoder_tokens=sum(len(example.get("decoder_input_ids", ())) for example in examples),
    )
    return needed / float(objective.row_lengths(dataset.plan, 0)[keys].sum())


def peak_memory() -> int:
    """The most bytes that this process had resident. (`getrusage` on Linux tells the peak of the process that started
    this one where that was higher.)"""
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
