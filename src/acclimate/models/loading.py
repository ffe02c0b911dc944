"""Load a model for an objective, or make a new one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from acclimate.artifacts import file_digest
from acclimate.errors import ModelError
from acclimate.hub import local_files_only, reaching_hub
from acclimate.models.families import load_config, position_limit
from acclimate.models.settings import ModelSettings


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to train, in fp32.

    Attributes:
        model: the model, with the head that was asked for.
        new_parameters: names of parameters that the checkpoint did not have (a fresh head); all of them for a new
            model.
        added_tokens: how many rows the embeddings grew by for the tokenizer.
        from_scratch: whether all weights are random.
    """

    model: PreTrainedModel
    new_parameters: tuple[str, ...]
    added_tokens: int
    from_scratch: bool


def model_config(settings: ModelSettings, tokenizer: PreTrainedTokenizerBase | None = None) -> PreTrainedConfig:
    """The configuration that `settings` name; for a new model, with the tokenizer's sizes and special tokens."""
    if settings.name is not None:
        return load_config(settings.name, settings.revision, trust_remote_code=settings.trust_remote_code)
    assert settings.config is not None
    values: dict[str, Any] = dict(settings.config)
    if tokenizer is not None:
        values["vocab_size"] = len(tokenizer)
        for name in ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"):
            values.setdefault(name, getattr(tokenizer, name, None))
    try:
        return AutoConfig.for_model(**values)
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"`model.config` makes no model: {error}") from error


def load_model(
    settings: ModelSettings, auto_class: str, tokenizer: PreTrainedTokenizerBase, *, seed: int
) -> LoadedModel:
    """Load or make a model with the head `auto_class` (such as "AutoModelForMaskedLM") in fp32.

    fp32 whatever the checkpoint's own type: updates of 1e-5 are lost in bf16 parameters (`bf16: true` under
    `training:` computes in bf16 over fp32 weights). Embeddings grow where the tokenizer has more tokens; new rows
    start at the mean of the old ones, as `resize_token_embeddings` does.

    Args:
        seed: of the random weights of new parts, and of the whole of a new model.

    Raises:
        ModelError: no such model, the hub is not reached, or the architecture does not have this head.
    """
    auto = getattr(transformers, auto_class)
    torch.manual_seed(seed)
    config = model_config(settings, tokenizer)
    if settings.name is None:
        try:
            model = auto.from_config(config, attn_implementation=_attention(auto, config))
        except ValueError as error:
            raise ModelError(f"`model.config` makes no model with {auto_class}: {_first_line(error)}") from error
        return LoadedModel(model, tuple(name for name, _ in model.named_parameters()), 0, True)
    with reaching_hub("model", settings.name, ModelError):
        model, info = auto.from_pretrained(
            settings.name,
            revision=settings.revision,
            trust_remote_code=settings.trust_remote_code,
            dtype=torch.float32,
            local_files_only=local_files_only(settings.name),
            output_loading_info=True,
            attn_implementation=_attention(auto, config),
        )
    if info.get("mismatched_keys"):
        names = ", ".join(sorted(str(key[0]) for key in info["mismatched_keys"]))
        raise ModelError(f"{settings.name}: these weights do not have the shapes that its config.json says: {names}")
    parameters = {name for name, _ in model.named_parameters()}
    new = tuple(sorted(name for name in info["missing_keys"] if name in parameters))
    return LoadedModel(model, new, _grow_embeddings(model, tokenizer), False)


def _attention(auto: Any, config: PreTrainedConfig) -> str | None:
    """SDPA where the architecture has it; the model's own choice otherwise."""
    try:
        model_class = auto._model_mapping[type(config)]
    except KeyError:
        return None
    return "sdpa" if getattr(model_class, "_supports_sdpa", False) else None


def _grow_embeddings(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    have = int(model.get_input_embeddings().weight.shape[0])
    if len(tokenizer) <= have:
        return 0
    model.resize_token_embeddings(len(tokenizer))
    return len(tokenizer) - have


def weight_digests(name: str | None) -> dict[str, str]:
    """Digests of the weight files of a model's folder, by file name; empty for a hub id, which has its commit."""
    folder = Path(name) if name is not None else None
    if folder is None or not folder.is_dir():
        return {}
    return {path.name: file_digest(path) for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")])}


def check_max_length(config: PreTrainedConfig, max_length: int) -> None:
    """Refuse rows that are longer than the model's positions."""
    limit = position_limit(config)
    if limit is not None and max_length > limit:
        raise ModelError(f"`max_length` is {max_length}, but this model has positions for {limit} tokens")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
