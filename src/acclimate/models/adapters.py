"""Adapters (LoRA) through `peft`: the model's own weights stay as they are."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from acclimate.errors import ModelError
from acclimate.models.settings import AdapterSettings

# What peft calls the heads; without one the adapter wraps the model as it is. A generator and a discriminator are
# trained as a whole, without adapters.
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

    options = settings.model_dump(exclude={"type"})
    torch.manual_seed(seed)
    try:
        with warnings.catch_warnings():
            # peft asks models for names that transformers has since given other names.
            warnings.simplefilter("ignore", FutureWarning)
            return get_peft_model(model, LoraConfig(task_type=_TASKS.get(head), **options))
    except ValueError as error:
        raise ModelError(f"`adapter` does not fit this model: {error}") from error


def adapted_base(name: str) -> tuple[str, str | None] | None:
    """The model (and its revision) that a folder holds an adapter of; None where it holds none.

    Such a folder has no `config.json`: with one, transformers would look for the whole model's weights beside it.
    """
    path = Path(name) / "adapter_config.json"
    if not path.is_file() or (Path(name) / "config.json").exists():
        return None
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        return settings["base_model_name_or_path"], settings.get("revision")
    except (ValueError, KeyError) as error:
        raise ModelError(f"{path} is no configuration of an adapter: {error}") from error


def is_adapted(model: Any) -> bool:
    """Whether a model carries a peft adapter."""
    return hasattr(model, "peft_config") and hasattr(model, "get_base_model")


def without_adapter(model: Any) -> PreTrainedModel:
    """The model beneath the adapter, or the model itself."""
    return model.get_base_model() if is_adapted(model) else model
