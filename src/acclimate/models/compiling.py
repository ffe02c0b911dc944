"""`torch.compile` of a model's layers, one by one.

The layers of a transformer are alike: compiled one by one they share a single graph, which takes seconds where the
whole model takes minutes; and what is plain Python around them (masks of packed rows, the head at its positions) stays
so.
"""

from __future__ import annotations

import torch
from transformers.modeling_layers import GradientCheckpointingLayer

# Lengths of rows are rounded up to a multiple of this, so that few shapes are met.
LENGTH_MULTIPLE = 64


def compile_layers(model: torch.nn.Module, *, backend: str | None = None, mode: str | None = None) -> int:
    """Compile every layer of a model in place; names of parameters and what is saved stay the same.

    Args:
        backend, mode: as of `torch.compile`; default "inductor" in its default mode.

    Returns:
        The number of layers; 0 for an architecture whose layers are not told apart.
    """
    layers = layers_of(model)
    for layer in layers:
        layer.compile(backend=backend or "inductor", mode=mode)
    return len(layers)


def layers_of(model: torch.nn.Module) -> list[GradientCheckpointingLayer]:
    """The layers of a model; none for an architecture that does not tell them apart."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def fall_back_where_needed() -> None:
    """Let what cannot be compiled run as it is, as where compiling was not asked for."""
    import torch._dynamo

    torch._dynamo.config.suppress_errors = True
