"""How many floating point operations a training step needs, counted so that no trick can raise the figure.

A matrix product of a [tokens, inputs] activation with a weight of P = inputs x outputs entries is P multiplications and
P additions a token: 2 P. The backward pass has two such products, for the gradient of the activation and for that of
the weight: 4 P. So a trained weight costs 6 P a token, and a frozen one (beneath an adapter), which has no gradient of
its own, 4 P.

- Body: every linear weight below the head, at every token that is no padding. Embeddings are looked up, not multiplied.
- Head: its linear weights, at the predicted positions only, whoever computes more.
- Left out: attention scores (12 x row length x width a token and layer; in BERT-base 2 % of the body for rows of 128,
  7 % for rows of 512), norms, biases, the optimizer, and whatever is computed again to save memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FORWARD = 2
BACKWARD_ACTIVATION = 2
BACKWARD_WEIGHT = 2


@dataclass(frozen=True)
class LinearWeights:
    """Entries of linear weights: of the body and of the head, trained and frozen."""

    body: int = 0
    frozen_body: int = 0
    head: int = 0
    frozen_head: int = 0


def training_flops(weights: LinearWeights, num_tokens: float, num_predicted: float) -> float:
    """Operations to train on so many tokens, of which so many positions are predicted."""
    trained = FORWARD + BACKWARD_ACTIVATION + BACKWARD_WEIGHT
    frozen = FORWARD + BACKWARD_ACTIVATION
    body = trained * weights.body + frozen * weights.frozen_body
    head = trained * weights.head + frozen * weights.frozen_head
    return body * num_tokens + head * num_predicted


def linear_weights(model: Any) -> LinearWeights:
    """Count the weights of a model's linear layers; what stands outside of `base_model` is the head."""
    import torch

    if hasattr(model, "get_base_model"):  # a peft adapter
        model = model.get_base_model()
    counts = dict.fromkeys(("body", "frozen_body", "head", "frozen_head"), 0)
    in_body = set(map(id, model.base_model.modules()))
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            part = "body" if id(module) in in_body else "head"
            counts[part if module.weight.requires_grad else f"frozen_{part}"] += module.weight.numel()
    return LinearWeights(**counts)
