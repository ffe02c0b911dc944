"""The `compute:` section of a recipe: how training is computed. It changes speed and memory; what is learned it changes
by rounding only."""

from __future__ import annotations

from typing import Any, Literal

import torch
from transformers import TrainingArguments

from acclimate.hardware import keep_memory
from acclimate.models.dropout import use_byte_dropout
from acclimate.models.kernels import Kernel, has_attention_dropout, use_kernel
from acclimate.models.loading import prepare_head
from acclimate.recipe import Section


class ComputeSettings(Section):
    """How training is computed.

    Attributes:
        sparse_head: run the model's head at the predicted positions only, and in chunks where they are many.
        attention: "products" (two matrix products and a softmax), "sdpa" (torch's `scaled_dot_product_attention`),
            "varlen" (no padding and no masks between packed texts; CUDA, half precision, no dropout in attention), or
            "auto": products on a CPU, varlen where it can be, else sdpa. Models whose attention is their own keep it.
        byte_dropout: draw dropout by bytes on a CPU, with probabilities in steps of 1/256.
        keep_memory: keep freed memory in the process, on a CPU.
    """

    sparse_head: bool = True
    attention: Literal["auto", "products", "sdpa", "varlen"] = "auto"
    byte_dropout: bool = True
    keep_memory: bool = True


def set_up(
    model: Any, settings: ComputeSettings, args: TrainingArguments, *, dropout: float | None = None
) -> dict[str, Any]:
    """Make a model compute as the settings say.

    Args:
        model: bare, with an adapter, or generator and discriminator; prepared for packed rows where it has them.
        args: whose device and precision count.
        dropout: that the model was loaded with, where it is not its configuration's.

    Returns:
        What was chosen, for the manifest: `precision`, `attention` (None where the model has its own), `sparse_head`,
        `byte_dropout`, `keep_memory`, `torch_compile`.
    """
    device = args.device.type
    prepare_head(model, sparse=settings.sparse_head)
    kernel = _kernel(model, settings, args, dropout)
    used = use_kernel(model, kernel)
    on_cpu = device == "cpu"
    if on_cpu and settings.byte_dropout:
        use_byte_dropout(model)
    return {
        "precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32",
        "attention": kernel if used else None,
        "sparse_head": settings.sparse_head,
        "byte_dropout": on_cpu and settings.byte_dropout,
        "keep_memory": on_cpu and settings.keep_memory and keep_memory(),
        "torch_compile": bool(args.torch_compile),
        "threads": torch.get_num_threads(),
    }


def _kernel(model: Any, settings: ComputeSettings, args: TrainingArguments, dropout: float | None) -> Kernel:
    if settings.attention != "auto":
        return settings.attention
    if args.device.type == "cpu":
        return "products"
    drops = has_attention_dropout(model) if dropout is None else dropout > 0
    if args.device.type == "cuda" and (args.bf16 or args.fp16) and not drops:
        return "varlen"
    return "sdpa"
