"""Dropout drawn as bytes, for CPUs.

Torch draws a number for every element by a generator that makes one at a time; on a CPU with fast matrix products that
costs more than the products of a small model. Here eight elements share one 64-bit draw of the same generator, a byte
each: an element is dropped where its byte is below a threshold. So the probability is a multiple of 1/256 (0.1 becomes
26/256 = 0.1016), and what is kept is scaled by just that.
"""

from __future__ import annotations

from typing import Any

import torch

_LEVELS = 256


class _ByteDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, threshold: int) -> torch.Tensor:
        count = values.numel()
        # Without a lower bound the top bit would never be set.
        words = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        kept = (words.view(torch.uint8)[:count] >= threshold).view(values.shape)
        ctx.save_for_backward(kept)
        ctx.scale = _LEVELS / (_LEVELS - threshold)
        return torch.mul(values, kept).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (kept,) = ctx.saved_tensors
        return torch.mul(grad, kept).mul_(ctx.scale), None


def byte_dropout(values: torch.Tensor, p: float) -> torch.Tensor:
    """Values on the CPU with a share `p` of them set to zero, and the others scaled so that the mean stays.

    A function of torch's generator, as all dropout. `p` is rounded to a multiple of 1/256, but never to none or all.
    Compiled layers draw theirs as the compiler has it.
    """
    if p <= 0:
        return values
    if torch.compiler.is_compiling():
        return torch.nn.functional.dropout(values, p)
    threshold = min(max(round(p * _LEVELS), 1), _LEVELS - 1)
    dropped: torch.Tensor = _ByteDropout.apply(values, threshold)  # type: ignore[no-untyped-call]
    return dropped


class ByteDropout(torch.nn.Dropout):
    """`torch.nn.Dropout` by `byte_dropout` where its input is on the CPU."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p >= 1 or input.device.type != "cpu":
            return super().forward(input)
        return byte_dropout(input, self.p)


def use_byte_dropout(model: torch.nn.Module) -> None:
    """Replace every `torch.nn.Dropout` of a model; it has no parameters, so checkpoints stay as they are."""
    for module in model.modules():
        for name, child in module.named_children():
            if type(child) is torch.nn.Dropout:
                setattr(module, name, ByteDropout(child.p))


# What configurations call their dropouts. Those of heads that are not trained here (classifiers) are not among them.
_NAMES = (
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "hidden_dropout",
    "resid_dropout",
    "embed_dropout",
    "resid_pdrop",
    "embd_pdrop",
    "attn_pdrop",
    "residual_dropout",
    "embedding_dropout",
    "mlp_dropout",
    "dropout_rate",
)


def dropout_changes(config: Any, p: float) -> dict[str, float]:
    """The fields of a configuration that set all its dropouts to `p`; empty where it has none."""
    return {name: p for name in _NAMES if isinstance(getattr(config, name, None), float | int)}
