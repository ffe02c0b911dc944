"""What a model is asked of a batch, and how well it met the targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from acclimate.objectives.base import HEAD_POSITIONS, IGNORE, PADDING_SEGMENT, TEXT_BOUNDS, Batch
from acclimate.ranks import label_ranks


@dataclass(frozen=True)
class TargetScores:
    """How well a model met the targets of one part of an objective in a batch; each [N].

    `rows` and `columns` say where in the batch's labels a target stands, `segments` in which piece of its row;
    `labels` are what was to be said. `total` is the sum of the losses, differentiable; the losses themselves need not
    be. `correct` is None while gradients are taken. So is `ranks`, which says how many tokens are likelier than the
    label (0: the first guess is right); where targets are no tokens there are none.
    """

    losses: torch.Tensor
    correct: torch.Tensor | None
    labels: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    segments: torch.Tensor
    total: torch.Tensor
    ranks: torch.Tensor | None = None


def predict_tokens(
    model: Any, inputs: Batch, batch: Batch, *, shift: int = 0, segments: str = "segment_ids"
) -> tuple[TargetScores, Any]:
    """Ask a model for the target tokens of a batch, and what else it says.

    The model's head runs at the targets only where the model takes `head_positions`
    (`acclimate.models.sparse_head`), else everywhere.

    Args:
        inputs: what the model's forward takes of the batch.
        shift: of the objective.
        segments: the field of the batch that has the labels' segments, [B, L].
    """
    if not takes_head_positions(model):
        output = model(**inputs)
        logits_BLV = output.logits if hasattr(output, "logits") else output.prediction_logits
        return token_scores(logits_BLV, batch, shift=shift, segments=segments), output
    positions_N = head_positions(batch, shift)
    labels_N = batch["labels"].flatten()[positions_N + shift]
    output = model(**inputs, head_positions=positions_N, head_labels=labels_N)
    scores = _scores_at(
        positions_N + shift,
        batch,
        segments,
        output["token_losses"],
        output["token_correct"],
        output["token_total"],
        output["token_ranks"],
    )
    return scores, output


def takes_head_positions(model: Any) -> bool:
    """Whether a model runs its head where it is asked to (`acclimate.models.sparse_head`)."""
    return _says(model, "takes_head_positions")


def _says(model: Any, name: str) -> bool:
    """What a model, or the one that a wrapper for several processes holds, says of itself; false if nothing."""
    while not hasattr(model, name) and hasattr(model, "module"):
        model = model.module
    return bool(getattr(model, name, False))


def is_packed(batch: Batch, model: Any = None) -> bool:
    """Whether a batch goes to a model by its segments: always where the model takes them, so that they need not be
    looked at, which an accelerator would wait for; else where any row has a second text."""
    return _says(model, "takes_segments") or bool((batch["segment_ids"] > 0).any())


def token_scores(
    logits: torch.Tensor, batch: Batch, *, segments: str = "segment_ids", shift: int = 0, gathered: bool = False
) -> TargetScores:
    """Cross-entropy of each target token.

    Args:
        logits: the model's, [B, L, V]; or where they are gathered, those of the targets, [1, N, V].
        segments: the field of the batch that has the labels' segments, [B, L].
        shift: how many places before its target a token's logits stand.
    """
    positions_N = head_positions(batch, shift)
    logits_NV = (logits[0] if gathered else logits.flatten(0, 1)[positions_N]).float()
    labels_N = batch["labels"].flatten()[positions_N + shift]
    losses_N = F.cross_entropy(logits_NV, labels_N, reduction="none")
    # Of use for scoring alone, and a pass over all logits.
    ranks_N = None if torch.is_grad_enabled() else label_ranks(logits_NV, labels_N)
    correct_N = None if ranks_N is None else ranks_N.eq(0)
    return _scores_at(positions_N + shift, batch, segments, losses_N, correct_N, losses_N.sum(), ranks_N)


def head_positions(batch: Batch, shift: int = 0) -> torch.Tensor:
    """[N] where the logits of the targets stand, which `collate` found; a batch of other origin may lack them."""
    if HEAD_POSITIONS in batch:
        return batch[HEAD_POSITIONS]
    return batch["labels"].ne(IGNORE).flatten().nonzero()[:, 0] - shift


def _scores_at(
    places_N: torch.Tensor,
    batch: Batch,
    segments: str,
    losses_N: torch.Tensor,
    correct_N: torch.Tensor | None,
    total: torch.Tensor,
    ranks_N: torch.Tensor | None,
) -> TargetScores:
    """Scores of the targets at some places of the rows laid end to end."""
    length = batch["labels"].shape[1]
    return TargetScores(
        losses=losses_N,
        correct=correct_N,
        labels=batch["labels"].flatten()[places_N],
        rows=places_N // length,
        columns=places_N % length,
        segments=batch[segments].flatten()[places_N],
        total=total,
        ranks=ranks_N,
    )


def model_inputs(batch: Batch, *names: str, model: Any = None) -> Batch:
    """The fields of a batch that the model's forward takes, `names` among them where the batch has them.

    Packed rows carry `segment_ids` and `position_ids`; rows of one text are told apart from padding by an
    `attention_mask`, which every architecture understands.
    """
    inputs = {name: batch[name] for name in ("input_ids", "visibility", *names) if name in batch}
    segments = batch["segment_ids"]
    if "visibility" in inputs or is_packed(batch, model):
        known = {TEXT_BOUNDS: batch[TEXT_BOUNDS]} if TEXT_BOUNDS in batch and _says(model, "takes_segments") else {}
        return {**inputs, **known, "segment_ids": segments, "position_ids": batch["position_ids"]}
    return {**inputs, "attention_mask": segments.ne(PADDING_SEGMENT).long()}
