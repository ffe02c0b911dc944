"""Losses of a model on held-out examples, summed by unit and exactly: no mean of batch means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.objectives.base import Batch, Fields, Objective, Part, pad
from acclimate.objectives.predictions import TargetScores
from acclimate.progress import Listener, Progress, Silent
from acclimate.scoring.batches import batches_by_length, check_batch_size, one_length_only, token_limit
from acclimate.scoring.held_out import LABEL_BYTES, HeldOut

# Fields of an example that a model reads, one for each side of it.
_SIDES = ("input_ids", "decoder_input_ids")
_COUNTS = 3  # which of the sums over a unit is the number of its targets


@dataclass(frozen=True)
class UnitScores:
    """Sums over the targets of each unit, for one part of an objective; arrays are [units], float64.

    A unit is a document, or whatever else the bootstrap draws.

    Attributes:
        part: which part of the objective.
        losses, correct, counts: sums of losses (nats) and of right answers, and the number of targets.
        at_5: how many targets were among the five likeliest answers; 0 where they are not tokens.
        num_bytes: UTF-8 bytes of text that the targets stand for; 0 where they are not text.
        class_correct, class_counts: [classes] over all units, by what was to be said; empty where targets are tokens.
        units: [units] the number of each unit in the held-out examples (`HeldOut.units`), or of its row.
    """

    part: Part
    losses: NDArray[np.float64]
    correct: NDArray[np.float64]
    at_5: NDArray[np.float64]
    counts: NDArray[np.float64]
    num_bytes: NDArray[np.float64]
    class_correct: NDArray[np.float64]
    class_counts: NDArray[np.float64]
    units: NDArray[np.int64]

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

    @property
    def bits_per_byte(self) -> float | None:
        """Bits to write down the targets, per byte of their text; None where they are not text."""
        total = float(self.num_bytes.sum())
        return float(self.losses.sum()) / math.log(2) / total if total else None

    def measures(self) -> dict[str, float]:
        """The measures that fit this part, by name."""
        found = {"loss": self.loss, "accuracy": self.accuracy}
        if not self.part.classes:
            found["accuracy_at_5"] = float(self.at_5.sum() / self.counts.sum())
            found["perplexity"] = self.perplexity
        if self.part.bits_per_byte and self.bits_per_byte is not None:
            found["bits_per_byte"] = self.bits_per_byte
        for name, correct, count in zip(self.part.classes, self.class_correct, self.class_counts, strict=True):
            if count:
                found[f"accuracy_{name.replace(' ', '_')}"] = float(correct / count)
        return found


def named_measures(scores: Sequence[UnitScores]) -> dict[str, float]:
    """The measures of all parts in one mapping: those of the first under their own names, the others' prefixed."""
    named: dict[str, float] = {}
    for number, part in enumerate(scores):
        prefix = f"{part.part.name}_" if number else ""
        named |= {f"{prefix}{name}": value for name, value in part.measures().items()}
    return named


def score(
    model: Any,
    objective: Objective,
    held_out: HeldOut,
    *,
    batch_size: int | None = None,
    by_row: bool = False,
    stage: str = "scoring",
    listener: Listener | None = None,
) -> tuple[UnitScores, ...]:
    """Score a model on held-out examples, one `UnitScores` for each part of the objective.

    Args:
        model: prepared for packed rows where the examples have them; it is put into evaluation mode.
        batch_size: at most so many examples per forward; default as many as `token_limit` allows. A batch has examples
            of like length.
        by_row: take each row as a unit instead of each document.
    """
    listener = listener or Silent()
    units = _Units(held_out, by_row=by_row)
    sums = [_Sums(part, units.count) for part in objective.parts]
    device = next(model.parameters()).device
    done = 0
    model.eval()
    with torch.inference_mode():
        for indices in _batches(model, held_out, batch_size):
            batch = make_batch(objective, held_out, indices, device)
            num_bytes = pad([held_out.examples[index][LABEL_BYTES] for index in indices], 0).numpy()
            for part, targets in zip(sums, objective.scores(model, batch), strict=True):
                part.add(targets, units.of(indices, targets), num_bytes)
            done += len(indices)
            listener.progress(Progress(stage, done, len(held_out), "row"))
    # A unit without targets in any part, such as a document of which no row was sampled, is none.
    present = np.sum([part.unit_sums[_COUNTS] for part in sums], axis=0) > 0
    return tuple(part.scores(present) for part in sums)


def make_batch(objective: Objective, held_out: HeldOut, indices: Sequence[int], device: torch.device) -> Batch:
    """Some held-out examples as a batch, with what was settled for them."""
    batch = objective.collate([held_out.examples[index] for index in indices])
    if held_out.settled:
        settled = [held_out.settled[index] for index in indices]
        batch |= {name: pad([fields[name] for fields in settled], 0) for name in settled[0]}
    return {name: values.to(device) for name, values in batch.items()}


def settle(model: Any, objective: Objective, held_out: HeldOut, *, batch_size: int | None = None) -> HeldOut:
    """The held-out examples with what depends on a model, such as a generator's replacements, so that every model that
    is scored on them meets the same."""
    model.eval()
    device = next(model.parameters()).device
    settled: list[Fields] = [{} for _ in range(len(held_out))]
    with torch.inference_mode():
        for indices in _batches(model, held_out, batch_size):
            batch = make_batch(objective, held_out, indices, device)
            fields = {name: values.cpu().numpy() for name, values in objective.settle(model, batch).items()}
            if not fields:
                return held_out
            for row, index in enumerate(indices):
                length = len(held_out.examples[index]["input_ids"])
                settled[index] = {name: values[row, :length] for name, values in fields.items()}
    return held_out.with_settled(tuple(settled))


def _batches(model: Any, held_out: HeldOut, batch_size: int | None) -> list[list[int]]:
    """Examples of like length, by index; of an encoder-decoder the length is that of both sides."""
    check_batch_size(batch_size)
    lengths = [sum(len(example[name]) for name in _SIDES if name in example) for example in held_out.examples]
    return batches_by_length(
        lengths, max_tokens=token_limit(model), max_rows=batch_size, one_length=one_length_only(model)
    )


class _Units:
    """To which unit each target belongs."""

    def __init__(self, held_out: HeldOut, *, by_row: bool) -> None:
        self._by_row = by_row
        self._flat = np.concatenate([*held_out.units, np.empty(0, dtype=np.int64)])
        self._starts = np.cumsum([0, *map(len, held_out.units)])
        self.count = len(held_out) if by_row else int(self._flat.max(initial=-1)) + 1

    def of(self, indices: Sequence[int], targets: TargetScores) -> NDArray[np.int64]:
        """[N] the units of the targets of a batch of examples."""
        rows: NDArray[np.int64] = np.array(indices)[targets.rows.cpu().numpy()]
        if self._by_row:
            return rows
        units: NDArray[np.int64] = self._flat[self._starts[rows] + targets.segments.cpu().numpy()]
        return units


class _Sums:
    """The sums of one part while batches come in."""

    def __init__(self, part: Part, num_units: int) -> None:
        self.part = part
        self.unit_sums = np.zeros((5, num_units))  # losses, correct, at 5, counts, bytes
        self.class_sums = np.zeros((2, len(part.classes)))  # correct, counts

    def add(self, targets: TargetScores, units: NDArray[np.int64], num_bytes: NDArray[np.int64]) -> None:
        correct = targets.correct.double().cpu().numpy()
        np.add.at(self.unit_sums[0], units, targets.losses.double().cpu().numpy())
        np.add.at(self.unit_sums[1], units, correct)
        np.add.at(self.unit_sums[_COUNTS], units, 1.0)
        if self.part.classes:
            classes = targets.labels.cpu().numpy()
            np.add.at(self.class_sums[0], classes, correct)
            np.add.at(self.class_sums[1], classes, 1.0)
        else:
            assert targets.ranks is not None, "scores are made without gradients"
            np.add.at(self.unit_sums[2], units, targets.ranks.lt(5).double().cpu().numpy())
            np.add.at(self.unit_sums[4], units, num_bytes[targets.rows.cpu().numpy(), targets.columns.cpu().numpy()])

    def scores(self, present: NDArray[np.bool_]) -> UnitScores:
        losses, correct, at_5, counts, num_bytes = self.unit_sums[:, present]
        class_correct, class_counts = self.class_sums
        units = np.flatnonzero(present)
        return UnitScores(self.part, losses, correct, at_5, counts, num_bytes, class_correct, class_counts, units)
