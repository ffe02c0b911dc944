"""Cross-entropy of target tokens without the logits of all of them at once.

A chunk of the hidden states goes through the head, its losses are taken, and its gradient at once: what is kept for the
backward pass is the gradient of the hidden states and of the head, no logits. So memory is that of a chunk, whatever
the number of targets, and nothing is computed twice. (The idea is that of fused linear cross-entropy, as in the Liger
kernels, Hsu et al. 2024, arXiv:2410.10989; in plain PyTorch here, for any head.)

Rejected: `torch.utils.checkpoint` around the head, which computes each chunk's logits twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from acclimate.ranks import label_ranks

# Numbers in the logits of a chunk: 32 MiB in fp32 on a CPU (less is slower, more is little faster), 512 MiB on an
# accelerator, which is not busy with less. Up to two chunks of targets go through the head at once.
CHUNK = 1 << 23
CHUNK_OF_ACCELERATORS = 1 << 27
IGNORE = -100  # a label that is no target, as everywhere in transformers

Head = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class TokenLosses:
    """What a head made of its targets.

    Attributes:
        total: sum of the losses in nats, differentiable.
        losses: [N] fp32, without gradient; 0 where the label is no target.
        correct: [N] bool; whether the likeliest token is the label. None while gradients are taken: training has no use
            for it, and to look for the largest of V numbers is a pass over all of them.
        ranks: [N] how many tokens are likelier than the label; None likewise.
    """

    total: torch.Tensor
    losses: torch.Tensor
    correct: torch.Tensor | None
    ranks: torch.Tensor | None = None


def token_losses(
    head: Head,
    hidden_NH: torch.Tensor,
    labels_N: torch.Tensor,
    parameters: Sequence[torch.Tensor],
    *,
    vocabulary: int,
    chunk: int | None = None,
) -> TokenLosses:
    """The losses of some targets.

    Args:
        head: gives the logits [n, V] of hidden states [n, H].
        hidden_NH: what the body says at the targets.
        labels_N: the tokens to be said, `IGNORE` for none.
        parameters: of the head; those that it does not use do no harm.
        vocabulary: V.
        chunk: numbers in the logits at a time; default by the device.
    """
    if chunk is None:
        chunk = CHUNK if hidden_NH.device.type == "cpu" else CHUNK_OF_ACCELERATORS
    size = max(1, chunk // vocabulary)
    if len(labels_N) <= 2 * size:
        logits_NV = head(hidden_NH)
        return _with_ranks(*_losses(logits_NV, labels_N), labels_N)
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if torch.is_grad_enabled() and (hidden_NH.requires_grad or trained):
        total, losses_N = _ChunkedLosses.apply(head, labels_N, size, hidden_NH, *trained)  # type: ignore[no-untyped-call]
        return TokenLosses(total, losses_N, None)
    parts = [_losses(head(hidden), labels) for hidden, labels in _chunks(hidden_NH, labels_N, size)]
    losses_N = torch.cat([losses for losses, _ in parts])
    ranks = [found for _, found in parts if found is not None]
    return _with_ranks(losses_N, torch.cat(ranks) if ranks else None, labels_N)


def _with_ranks(losses_N: torch.Tensor, ranks_N: torch.Tensor | None, labels_N: torch.Tensor) -> TokenLosses:
    correct_N = None if ranks_N is None else ranks_N.eq(0) & labels_N.ne(IGNORE)
    return TokenLosses(losses_N.sum(), losses_N.detach(), correct_N, ranks_N)


def _losses(logits_NV: torch.Tensor, labels_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The losses [N] in fp32, and where no gradient is taken the ranks [N] of the labels."""
    logits_NV = logits_NV.float()
    losses_N = F.cross_entropy(logits_NV, labels_N, ignore_index=IGNORE, reduction="none")
    return losses_N, None if torch.is_grad_enabled() else label_ranks(logits_NV, labels_N)


def _chunks(hidden_NH: torch.Tensor, labels_N: torch.Tensor, size: int) -> Any:
    return zip(torch.split(hidden_NH, size), torch.split(labels_N, size), strict=True)


class _ChunkedLosses(torch.autograd.Function):
    """(total, losses) of hidden states and head; the gradient of `total` is taken in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any, head: Head, labels_N: torch.Tensor, size: int, hidden_NH: torch.Tensor, *parameters: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        hidden_grad = torch.zeros_like(hidden_NH)
        # Summed over chunks in fp32, whatever the weights are.
        grads = [torch.zeros_like(parameter, dtype=torch.float32) for parameter in parameters]
        losses = []
        for number, (hidden, labels) in enumerate(_chunks(hidden_NH.detach(), labels_N, size)):
            with torch.enable_grad():
                hidden = hidden.requires_grad_(True)
                part, _ = _losses(head(hidden), labels)
                found = torch.autograd.grad(part.sum(), [hidden, *parameters], allow_unused=True)
            hidden_grad[number * size : number * size + len(labels)] = found[0]
            for grad, one in zip(grads, found[1:], strict=True):
                if one is not None:
                    grad.add_(one)
            losses.append(part.detach())
        losses_N = torch.cat(losses)
        ctx.save_for_backward(
            hidden_grad, *(grad.to(parameter.dtype) for grad, parameter in zip(grads, parameters, strict=True))
        )
        ctx.mark_non_differentiable(losses_N)
        return losses_N.sum(), losses_N

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, total_grad: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, ...]:
        return None, None, None, *(grad * total_grad.to(grad.dtype) for grad in ctx.saved_tensors)
