"""How many floating point operations a training step needs, counted so that no trick can raise the figure.

A matrix product of a [tokens, inputs] activation with a weight of P = inputs x outputs entries is P multiplications and
P additions a token: 2 P. The backward pass has two such products, for the gradient of the activation and for that of
the weight: 4 P. So a trained weight costs 6 P a token, and a frozen one (beneath an adapter), which has no gradient of
its own, 4 P.

- Body: every linear weight below the head, at every token that is no padding. Embeddings are looked up, not multiplied.
- Head: its linear weights, at the predicted positions only, whoever computes more.
- A generator and its discriminator are both trained; of an encoder-decoder each side costs its own tokens.
- Left out: attention scores (12 x row length x width a token and layer; in BERT-base 2 % of the body for rows of 128,
  7 % for rows of 512), norms, biases, the optimizer, whatever is computed again to save memory, and experts of which
  each token meets a few.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


def example_flops(
    model: Any, num_tokens: float, num_predicted: Sequence[float], *, num_decoder_tokens: float = 0.0
) -> float:
    """Operations to train a model on examples of so many tokens.

    Args:
        model: bare, with an adapter, or generator and discriminator (`models/generators.py`).
        num_tokens: that are no padding; of an encoder-decoder, the encoder's.
        num_predicted: positions that are predicted, for each part of the objective; of most the first one counts, since
            the heads of others are small.
        num_decoder_tokens: of an encoder-decoder.
    """
    if hasattr(model, "discriminator"):
        told, judged = num_predicted[:2]
        return training_flops(linear_weights(model.generator), num_tokens, told) + training_flops(
            linear_weights(model.discriminator), num_tokens, judged
        )
    whole = linear_weights(model)
    if not num_decoder_tokens:
        return training_flops(whole, num_tokens, num_predicted[0])
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    encoder = _of_all_tokens(linear_weights(plain.get_encoder()))
    decoder = _of_all_tokens(linear_weights(plain.get_decoder()))
    head = LinearWeights(head=whole.head, frozen_head=whole.frozen_head)
    return (
        training_flops(encoder, num_tokens, 0)
        + training_flops(decoder, num_decoder_tokens, 0)
        + training_flops(head, 0, num_predicted[0])
    )


def _of_all_tokens(weights: LinearWeights) -> LinearWeights:
    """A stack's weights, all of them of its body."""
    return LinearWeights(body=weights.body + weights.head, frozen_body=weights.frozen_body + weights.frozen_head)


def _bodies(model: Any) -> Iterator[Any]:
    """The modules below the head; T5, which has no base model, has a stack on each side."""
    body = model.base_model
    stacks = [model.get_encoder(), model.get_decoder()] if body is model and _is_encoder_decoder(model) else [body]
    for stack in stacks:
        yield from stack.modules()


def _is_encoder_decoder(model: Any) -> bool:
    return bool(model.config.is_encoder_decoder) and hasattr(model, "encoder") and hasattr(model, "decoder")


def linear_weights(model: Any) -> LinearWeights:
    """Count the weights of a model's linear layers; what stands outside of `base_model` is the head."""
    import torch
    from transformers.pytorch_utils import Conv1D  # GPT-2's linear layer

    if hasattr(model, "get_base_model"):  # a peft adapter
        model = model.get_base_model()
    counts = dict.fromkeys(("body", "frozen_body", "head", "frozen_head"), 0)
    in_body = set(map(id, _bodies(model)))
    for module in model.modules():
        if isinstance(module, (torch.nn.Linear, Conv1D)):
            part = "body" if id(module) in in_body else "head"
            counts[part if module.weight.requires_grad else f"frozen_{part}"] += module.weight.numel()
    return LinearWeights(**counts)
