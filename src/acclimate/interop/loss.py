"""Losses that stay exact under accumulation: sums over targets, divided by the number of targets in the whole step."""

from __future__ import annotations

from typing import Any

import torch

from acclimate.errors import ModelError
from acclimate.objectives.base import Batch, Objective


def objective_loss(
    objective: Objective, model: Any, batch: Batch, counts: torch.Tensor | None = None, *, num_processes: int = 1
) -> torch.Tensor:
    """Σ over the parts of an objective of weight · sum / count, a scalar with gradient.

    Args:
        counts: [P] targets of each part in the whole optimizer step, over accumulation steps and processes; default
            those of the batch.
        num_processes: over which gradients are averaged (as DDP does), so that their average is their sum.
    """
    sums = objective.sums(model, batch)
    counts = objective.counts(batch) if counts is None else counts
    weights = torch.tensor(objective.weights, dtype=sums.dtype, device=sums.device)
    divisors = counts.to(sums.device).clamp(min=1).to(sums.dtype)
    return (weights * sums / divisors).sum() * num_processes


def loss_of_outputs(
    objective: Objective, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
) -> torch.Tensor:
    """The loss of an objective of one part from the outputs of a model that has run already: what the stock `Trainer`
    asks of its `compute_loss_func`.

    Args:
        outputs: the model's, with `logits`.
        labels: [B, L] of the batch.
        num_items_in_batch: number of targets in the whole step; default those of `labels`.

    Raises:
        ModelError: the objective has several parts, or the outputs no logits.
    """
    check_single_part(objective)
    if "logits" not in outputs:
        raise ModelError("the model's outputs have no `logits`: load it with its head, such as AutoModelForMaskedLM")
    # The objective finds the logits of its targets; of the fields of its batch only the labels count for the sums.
    batch = {**dict.fromkeys(objective.padding(), torch.zeros_like(labels)), "labels": labels}
    (total,) = objective.sums(lambda **_: outputs, batch)
    count = objective.counts(batch)[0] if num_items_in_batch is None else num_items_in_batch
    divisor: torch.Tensor = torch.as_tensor(count, device=total.device).clamp(min=1).to(total.dtype)
    loss: torch.Tensor = total / divisor
    return loss


def check_single_part(objective: Objective) -> None:
    """Refuse a plain loss function for an objective of several parts: a Trainer counts the targets of one alone."""
    if len(objective.parts) > 1:
        parts = ", ".join(part.name for part in objective.parts)
        raise ModelError(
            f"`{objective.name}` has a loss of {len(objective.parts)} parts ({parts}), each divided by a count of its "
            "own, and the stock Trainer counts one; use `class MyTrainer(acclimate.ObjectiveTrainerMixin, Trainer)`"
        )
