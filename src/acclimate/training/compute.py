"""The `compute:` section of a recipe: how training is computed. It changes speed and memory; what is learned it changes
by rounding only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from transformers import TrainingArguments

from acclimate.errors import ModelError
from acclimate.hardware import can_compile, keep_memory
from acclimate.models.aligned_head import align_vocabulary
from acclimate.models.compiling import LENGTH_MULTIPLE, compile_layers, fall_back_where_needed, layers_of
from acclimate.models.dropout import use_byte_dropout
from acclimate.models.kernels import Kernel, has_attention_dropout, use_kernel
from acclimate.models.loading import prepare_head
from acclimate.recipe import Section
from acclimate.training.settings import COMPILE

# Steps from which on compiled layers are the default on a GPU. BERT-base at 256 x 128 on an H200: 12 ms a step are won,
# and 10 s are spent before the first.
COMPILE_FROM = 2000


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
    model: Any,
    settings: ComputeSettings,
    args: TrainingArguments,
    training: Mapping[str, Any],
    *,
    dropout: float | None = None,
) -> dict[str, Any]:
    """Make a model compute as the settings say.

    Args:
        model: bare, with an adapter, or generator and discriminator; prepared for packed rows where it has them.
        args: whose device and precision count.
        training: the recipe's `training:` section, of which `torch_compile` is carried out here.
        dropout: that the model was loaded with, where it is not its configuration's.

    Returns:
        What was chosen, for the manifest: `precision`, `attention` (None where the model has its own), `sparse_head`,
        `byte_dropout`, `keep_memory`, `torch_compile`.
    """
    device = args.device.type
    prepare_head(model, sparse=settings.sparse_head)
    kernel = _kernel(model, settings, args, dropout)
    on_cpu = device == "cpu"
    by_bytes = on_cpu and settings.byte_dropout
    used = use_kernel(model, kernel, byte_dropout=by_bytes)
    if by_bytes:
        use_byte_dropout(model)
    if device == "cuda" and settings.sparse_head:
        align_vocabulary(model)
    compiles = wants_compile(training)
    if compiles:
        backend, mode = training.get("torch_compile_backend"), training.get("torch_compile_mode")
        if not compile_layers(model, backend=backend, mode=mode):
            raise ModelError("`training.torch_compile`: the layers of this model are not told apart; leave it out")
    return {
        "precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32",
        "attention": kernel if used else None,
        "sparse_head": settings.sparse_head,
        "byte_dropout": by_bytes,
        "keep_memory": on_cpu and settings.keep_memory and keep_memory(),
        "torch_compile": compiles,
        "threads": torch.get_num_threads(),
    }


def with_compile(
    training: Mapping[str, Any], args: TrainingArguments, model: torch.nn.Module, *, packed: bool
) -> dict[str, Any]:
    """A `training:` section with `torch_compile`, where it does not say it and it pays: on a GPU, in runs of
    `COMPILE_FROM` steps and more, with packed rows (all of like length). What cannot be compiled then runs as it is.

    Args:
        args: whose `max_steps` are known.
    """
    said = any(name in training for name in COMPILE)
    pays = args.device.type == "cuda" and packed and args.max_steps >= COMPILE_FROM
    if said or not pays or not can_compile() or not layers_of(model):
        return dict(training)
    fall_back_where_needed()
    return {**training, "torch_compile": True}


def wants_compile(training: Mapping[str, Any]) -> bool:
    """Whether a `training:` section asks for compiled layers."""
    return any(training.get(name) for name in COMPILE)


def length_multiple(training: Mapping[str, Any], max_length: int, *, packed: bool) -> int:
    """What rows of a batch are padded to a multiple of: so that compiled layers meet few shapes, nearly full rows are
    filled up."""
    if not (packed and wants_compile(training)):
        return 1
    return LENGTH_MULTIPLE if max_length % LENGTH_MULTIPLE == 0 else max_length


def _kernel(model: Any, settings: ComputeSettings, args: TrainingArguments, dropout: float | None) -> Kernel:
    if settings.attention != "auto":
        return settings.attention
    if args.device.type == "cpu":
        return "products"
    drops = has_attention_dropout(model) if dropout is None else dropout > 0
    if args.device.type == "cuda" and (args.bf16 or args.fp16) and not drops:
        return "varlen"
    return "sdpa"
