"""What a model type is: its family, and how the texts of a packed row are kept apart in it.

One table, one row per model type whose way with packs was tried (`tests/models/test_attention.py` holds every row:
in a pack, no text sees another, and each gives the logits that it gives alone). A model type that is not in the table
gets one text a row, which is always right and costs padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transformers import AutoConfig, PreTrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from acclimate.errors import ModelError
from acclimate.hub import local_files_only, reaching_hub

Family = Literal["encoder", "decoder", "encoder-decoder"]


@dataclass(frozen=True)
class Packing:
    """How packed rows work in a model type.

    `position_offset` is what the first position of a text counts as: 0, or `pad_token_id + 1` in RoBERTa's line
    ("pad").
    """

    position_offset: Literal["zero", "pad"] = "zero"


PACKING: dict[str, Packing] = {
    "albert": Packing(),
    "bert": Packing(),
    "camembert": Packing("pad"),
    "distilbert": Packing(),
    "electra": Packing(),
    "ernie": Packing(),
    "modernbert": Packing(),
    "roberta": Packing("pad"),
    "xlm-roberta": Packing("pad"),
}


def load_config(name: str, revision: str | None = None, *, trust_remote_code: bool = False) -> PreTrainedConfig:
    """The configuration of a hub id or folder.

    Raises:
        ModelError: there is no such model here or on the hub, or the hub is not reached.
    """
    with reaching_hub("model", name, ModelError):
        return AutoConfig.from_pretrained(
            name, revision=revision, trust_remote_code=trust_remote_code, local_files_only=local_files_only(name)
        )


def family(config: PreTrainedConfig) -> Family:
    """Whether a configuration is of an encoder (predicts masked tokens), a decoder or an encoder-decoder.

    Raises:
        ModelError: it is none of them (a vision model, say).
    """
    if config.is_encoder_decoder:
        return "encoder-decoder"
    if config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False):
        return "encoder"
    if config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return "decoder"
    raise ModelError(
        f"model type {config.model_type!r} is not a language model that transformers can pretrain: expected an "
        "encoder with a masked-LM head, a causal decoder or an encoder-decoder"
    )


def position_limit(config: PreTrainedConfig) -> int | None:
    """The longest row, in tokens, that a model's positions allow; None where they are not limited."""
    limit: int | None = getattr(config, "max_position_embeddings", None)
    packing = PACKING.get(config.model_type)
    if limit is not None and packing is not None and packing.position_offset == "pad":
        # RoBERTa's 514 positions hold rows of 512: the first two are never used.
        return limit - _pad_offset(config)
    return limit


def _pad_offset(config: PreTrainedConfig) -> int:
    return int(config.pad_token_id or 0) + 1


def position_offset(config: PreTrainedConfig) -> int:
    """What the first position of a text counts as in this model."""
    packing = PACKING.get(config.model_type)
    return _pad_offset(config) if packing is not None and packing.position_offset == "pad" else 0
