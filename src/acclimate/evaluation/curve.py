"""The learning curve of a run: what `metrics.jsonl` says of training and held-out losses, and how steep it still is.

A schedule that lets the learning rate decay to 0 flattens every curve. So how far a run has come is not told in steps,
but in *learning done*: the learning rate summed over the steps, 0 at the start and 1 at the end. Under a linear decay
the last third of it is the last 58 % of the steps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.artifacts import find_manifest
from acclimate.errors import CheckpointError

METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class Point:
    """A loss of the curve.

    Attributes:
        step: of training, when it was logged; a training loss is the mean since the point before.
        loss: nats per target, of all parts of the objective with their weights; of held-out text, of the first part.
        rate: learning rate; None where it was not logged.
        epoch: passes over the corpus so far; None where it was not logged.
    """

    step: int
    loss: float
    rate: float | None = None
    epoch: float | None = None


@dataclass(frozen=True)
class Trend:
    """A straight line through the last part of the training losses.

    Attributes:
        fall: by how much the loss falls over that part, in nats; negative where it rises.
        error: standard error of the fall, by the scatter around the line.
        level: the line's end, in nats.
    """

    fall: float
    error: float
    level: float


@dataclass(frozen=True)
class Curve:
    """The losses of a run in the order of their steps."""

    train: tuple[Point, ...] = ()
    held_out: tuple[Point, ...] = ()

    @classmethod
    def of(cls, records: Iterable[Mapping[str, Any]]) -> Curve:
        """The curve in the records of `metrics.jsonl`."""
        train: list[Point] = []
        held_out: list[Point] = []
        for record in records:
            for name, points in (("loss", train), ("eval_loss", held_out)):
                loss = record.get(name)
                if isinstance(loss, (int, float)) and isinstance(record.get("step"), int):
                    points.append(Point(record["step"], loss, record.get("learning_rate"), record.get("epoch")))
        return cls(tuple(train), tuple(held_out))

    @property
    def finite(self) -> bool:
        """Whether all losses are numbers."""
        return all(math.isfinite(point.loss) for point in (*self.train, *self.held_out))

    @property
    def peak_rate(self) -> float | None:
        """The highest learning rate that was logged."""
        return max((point.rate for point in self.train if point.rate is not None), default=None)

    def learning_done(self) -> list[float]:
        """For each training loss the share of the learning done when half of its steps were: the learning rate summed
        over the steps, over its sum at the end; the share of the steps where no rate was logged."""
        known = [point.rate for point in self.train if point.rate is not None]
        if len(known) < len(self.train):
            known = [1.0] * len(self.train)
        total, last_step, last_rate, middles = 0.0, 0, known[0] if known else 0.0, []
        for point, rate in zip(self.train, known, strict=True):
            amount = (point.step - last_step) * (last_rate + rate) / 2
            middles.append(total + amount / 2)
            total, last_step, last_rate = total + amount, point.step, rate
        return [middle / total if total > 0 else 0.0 for middle in middles]

    def trend(self, share: float, least: int) -> Trend | None:
        """The line through the training losses of the last `share` of the learning; None for fewer than `least`."""
        where = [(done, point.loss) for done, point in zip(self.learning_done(), self.train, strict=True)]
        last = np.array([pair for pair in where if pair[0] >= 1 - share])
        if len(last) < max(least, 3):
            return None
        done, losses = last[:, 0], last[:, 1]
        spread = float(((done - done.mean()) ** 2).sum())
        if spread == 0.0 or not np.isfinite(losses).all():
            return None
        slope = float(((done - done.mean()) * (losses - losses.mean())).sum()) / spread
        rest = losses - losses.mean() - slope * (done - done.mean())
        error = math.sqrt(float((rest**2).sum()) / (len(last) - 2) / spread)
        return Trend(-slope * share, error * share, float(losses.mean() + slope * (1 - done.mean())))

    def fifths(self) -> list[float]:
        """The mean training loss of each fifth of the points, in order; none for fewer than 10 of them."""
        if len(self.train) < 10:
            return []
        return [float(part.mean()) for part in np.array_split([point.loss for point in self.train], 5)]


@dataclass(frozen=True)
class RunRecord:
    """What a verdict needs to know of a run: its manifest and its curve."""

    manifest: Mapping[str, Any]
    curve: Curve


def read_run(folder: str | Path) -> RunRecord:
    """The manifest and the learning curve of a run; a run without `metrics.jsonl` has an empty curve, and a line of it
    that cannot be read, as one that was cut off, is passed over.

    Raises:
        CheckpointError: the folder holds no run.
    """
    folder = Path(folder)
    manifest = find_manifest(folder, "run") if folder.is_dir() else None
    if manifest is None:
        raise CheckpointError(f"there is no run in {folder}; give the folder of a run of `acclimate pretrain`")
    path = folder / METRICS
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return RunRecord(manifest, Curve.of(_records(lines)))


def _records(lines: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record
