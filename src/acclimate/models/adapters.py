"""Adapters (LoRA) through `peft`: the model's own weights stay as they are."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel

from acclimate.errors import ModelError
from acclimate.models.generators import GeneratorAndDiscriminator
from acclimate.models.settings import AdapterSettings

# What peft calls the heads; without one the adapter wraps the model as it is.
_TASKS = {"causal-lm": "CAUSAL_LM", "seq2seq-lm": "SEQ_2_SEQ_LM"}


def add_adapter(model: torch.nn.Module, settings: AdapterSettings, head: str, *, seed: int) -> Any:
    """The model with a fresh adapter; only the adapter (and `modules_to_save`) is trained.

    Args:
        head: which head the model has, a row of `HEADS`.
        seed: of the adapter's random weights. A fresh adapter changes nothing yet.

    Raises:
        ModelError: the model takes no adapter, or has no layers of the names given.
    """
    from peft import LoraConfig, get_peft_model

    if isinstance(model, GeneratorAndDiscriminator):
        raise ModelError(
            "`adapter` does not go with `rtd`, which trains a generator and a discriminator as a whole; leave "
            "`adapter` out, or use `mlm`"
        )
    options = settings.model_dump(exclude={"type"})
    torch.manual_seed(seed)
    try:
        return get_peft_model(model, LoraConfig(task_type=_TASKS.get(head), **options))
    except ValueError as error:
        raise ModelError(f"`adapter` does not fit this model: {error}") from error


def is_adapted(model: Any) -> bool:
    """Whether a model carries a peft adapter."""
    return hasattr(model, "peft_config") and hasattr(model, "get_base_model")


def without_adapter(model: Any) -> PreTrainedModel:
    """The model beneath the adapter, or the model itself."""
    return model.get_base_model() if is_adapted(model) else model
