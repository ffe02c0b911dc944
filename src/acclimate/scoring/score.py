"""Losses of a model on held-out examples, summed by unit and exactly: no mean of batch means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.objectives.base import Objective
from acclimate.progress import Listener, Progress, Silent
from acclimate.scoring.held_out import HeldOut


@dataclass(frozen=True)
class UnitScores:
    """Sums over the targets of each unit, for one part of an objective; each array is [units], float64.

    A unit is a document, or whatever else the bootstrap draws.
    """

    losses: NDArray[np.float64]
    correct: NDArray[np.float64]
    counts: NDArray[np.float64]

    @property
    def num_targets(self) -> int:
        return int(self.counts.sum())

    @property
    def loss(self) -> float:
        """Mean loss per target, in nats."""
        return float(self.losses.sum() / self.counts.sum())

    @property
    def accuracy(self) -> float:
        """Share of the targets that the model got right at first guess."""
        return float(self.correct.sum() / self.counts.sum())

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.loss, 700.0))


def score(
    model: Any,
    objective: Objective,
    held_out: HeldOut,
    *,
    batch_size: int,
    by_row: bool = False,
    stage: str = "scoring",
    listener: Listener | None = None,
) -> tuple[UnitScores, ...]:
    """Score a model on held-out examples, one `UnitScores` for each part of the objective.

    Args:
        model: prepared for packed rows where the examples have them; it is put into evaluation mode.
        batch_size: examples per forward.
        by_row: take each row as a unit instead of each document.
    """
    listener = listener or Silent()
    device = next(model.parameters()).device
    num_units = len(held_out) if by_row else int(max((units.max() for units in held_out.units), default=-1)) + 1
    sums = np.zeros((len(objective.parts), 3, num_units))
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(held_out), batch_size):
            indices = range(start, min(start + batch_size, len(held_out)))
            batch = objective.collate([held_out.examples[index] for index in indices])
            batch = {name: values.to(device) for name, values in batch.items()}
            for part, targets in enumerate(objective.scores(model, batch)):
                rows, segments = targets.rows.tolist(), targets.segments.tolist()
                if by_row:
                    units = [start + row for row in rows]
                else:
                    units = [held_out.units[start + row][segment] for row, segment in zip(rows, segments, strict=True)]
                np.add.at(sums[part, 0], units, targets.losses.double().cpu().numpy())
                np.add.at(sums[part, 1], units, targets.correct.double().cpu().numpy())
                np.add.at(sums[part, 2], units, 1.0)
            listener.progress(Progress(stage, indices[-1] + 1, len(held_out), "row"))
    present = sums[:, 2].sum(axis=0) > 0
    return tuple(UnitScores(*part[:, present]) for part in sums)
