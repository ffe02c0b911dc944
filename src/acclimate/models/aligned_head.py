"""A head whose matrix products have sides that a GPU multiplies fast.

Tensor cores take bf16 matrices whose rows are a multiple of 16 bytes long. A vocabulary of 30,522 tokens is not: its
products fall back to kernels that take more than twice the time. Here the weights are filled up with zeros while they
are cast, and the logits of the tokens that do not exist are cut off: same logits, same gradients.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

# In numbers; 16 bytes in bf16 would be 8, whole tiles are faster still.
MULTIPLE = 64


def align_vocabulary(model: Any) -> bool:
    """Let the output embeddings of a model compute with a vocabulary that is filled up, under autocast.

    What is saved, and computed without autocast, stays as it is. False where there is nothing to gain: the vocabulary
    is aligned, or the head is no plain linear layer (an adapter's, say).
    """
    found = [_align(part) for part in _heads(model)]
    return any(found)


def _heads(model: Any) -> list[Any]:
    heads = [
        module.get_output_embeddings()
        for module in model.modules()
        if getattr(module, "takes_head_positions", False) and hasattr(module, "get_output_embeddings")
    ]
    return [head for head in heads if type(head) is torch.nn.Linear]


def _align(head: Any) -> bool:
    if head.out_features % MULTIPLE == 0:
        return False
    # A class of its own, no instance method: a copy of the model computes with its own weights.
    head.__class__ = _AlignedLinear
    return True


class _AlignedLinear(torch.nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        device = input.device.type
        if not torch.is_autocast_enabled(device):
            return super().forward(input)
        dtype = torch.get_autocast_dtype(device)
        missing = -self.out_features % MULTIPLE
        weight = F.pad(self.weight.to(dtype), (0, 0, 0, missing))
        bias = None if self.bias is None else F.pad(self.bias.to(dtype), (0, missing))
        return F.linear(input, weight, bias)[..., : self.out_features]
