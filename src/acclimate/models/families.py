"""What a model type is: its family, its positions, and how the texts of a packed row are kept apart in it.

Two tables, one row per model type that was tried (`tests/models/test_attention.py` holds every row). In a type of
`PACKING`, no text of a pack sees another, and each gives the logits that it gives alone. A type of `ONE_TEXT_A_ROW`
mixes neighbouring tokens by its structure; like a type that is in neither table it gets one text a row, which costs
padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import transformers
from packaging.version import Version
from transformers import AutoConfig, PreTrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from acclimate.errors import ModelError
from acclimate.hub import local_files_only, reaching_hub

TRANSFORMERS = Version(transformers.__version__)

Family = Literal["encoder", "decoder", "encoder-decoder"]


@dataclass(frozen=True)
class Packing:
    """How packed rows work in a model type.

    Attributes:
        position_offset: what the first position of a text counts as: a number, or "pad" for `pad_token_id + 1`.
        positions: how the model learns of positions that begin anew in each text. "argument": by `position_ids`, or it
            needs none, since all its positions are relative; "embedding": its `embed_positions` count along the row and
            are replaced; "alibi": Bloom's bias is replaced.
        mask_argument: of models that build their mask themselves: the module of the base model (or list of modules)
            that takes it as second argument, [B, L] or [B, L, L]. None: the model asks `transformers` for its mask.
        triangle: of models whose layers and a causal rule of their own to the mask of `transformers`, which is causal
            already: the buffer that holds it. It is made to look both ways, so that the mask alone says who sees whom.
        unless: settings of the configuration that rule packed rows out where they are set.
        since: the version of `transformers` that computes them right.
    """

    position_offset: int | Literal["pad"] = 0
    positions: Literal["argument", "embedding", "alibi"] = "argument"
    mask_argument: str | None = None
    triangle: str | None = None
    unless: tuple[str, ...] = ()
    since: str | None = None


PACKING: dict[str, Packing] = {
    # Encoders
    "albert": Packing(),
    "bert": Packing(),
    "camembert": Packing("pad"),
    "data2vec-text": Packing("pad"),
    "deberta": Packing(mask_argument="encoder"),
    "deberta-v2": Packing(mask_argument="encoder", unless=("conv_kernel_size",)),
    "distilbert": Packing(),
    "electra": Packing(),
    "ernie": Packing(),
    "eurobert": Packing(),
    "flaubert": Packing(mask_argument="attentions"),
    "megatron-bert": Packing(),
    "modernbert": Packing(),
    "mpnet": Packing(2),
    "nomic_bert": Packing(),
    "rembert": Packing(),
    "roberta": Packing("pad"),
    "roberta-prelayernorm": Packing("pad"),
    # Rotary positions of queries and keys are relative; those of values are not.
    "roformer": Packing(unless=("rotary_value",)),
    "xlm": Packing(mask_argument="attentions"),
    "xlm-roberta": Packing("pad"),
    "xlm-roberta-xl": Packing("pad"),
    # Decoders
    "bloom": Packing(positions="alibi"),
    "cohere": Packing(),
    "gemma": Packing(),
    "gemma2": Packing(),
    "gemma3_text": Packing(),
    "glm": Packing(),
    "glm4": Packing(),
    "gpt2": Packing(),
    "gpt_bigcode": Packing(),
    "gpt_neo": Packing(triangle="bias"),
    "gpt_neox": Packing(),
    "gptj": Packing(),
    "granite": Packing(),
    "llama": Packing(),
    "ministral": Packing(),
    "mistral": Packing(),
    "mixtral": Packing(),
    "modernbert-decoder": Packing(),
    "olmo2": Packing(),
    "opt": Packing(),
    "phi": Packing(),
    "phi3": Packing(),
    "qwen2": Packing(),
    "qwen3": Packing(),
    "qwen3_moe": Packing(),
    "smollm3": Packing(),
    "stablelm": Packing(),
    "starcoder2": Packing(),
    # Encoder-decoders
    "bart": Packing(positions="embedding"),
    "marian": Packing(positions="embedding"),
    "mbart": Packing(positions="embedding"),
    "mt5": Packing(),
    "pegasus": Packing(positions="embedding"),
    "plbart": Packing(positions="embedding"),
    "t5": Packing(),
    "umt5": Packing(since="5.18"),  # its decoder saw the neighbours
}

# Why texts cannot share a row in these.
ONE_TEXT_A_ROW: dict[str, str] = {
    "convbert": "its convolutions reach over the ends of texts",
    "funnel": "it pools neighbouring tokens",
    "longt5": "it attends by blocks of the row, and builds its masks itself",
    "mobilebert": "its embeddings are made of three neighbouring tokens",
}
_SEE_PADDING = frozenset({"convbert", "funnel"})

# Positions are relative, or given by ALiBi: rows may be of any length, whatever the configuration says.
_UNLIMITED = frozenset({"bloom", "funnel", "longt5", "mt5", "t5", "umt5"})
_LIMITS = ("max_position_embeddings", "n_positions", "n_ctx")


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
    # A BERT-like type may be set up as a decoder, and XLM as a causal one.
    causal = getattr(config, "is_decoder", False) or getattr(config, "causal", False)
    if config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not causal:
        return "encoder"
    if config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return "decoder"
    raise ModelError(
        f"model type {config.model_type!r} is not a language model that transformers can pretrain: expected an "
        "encoder with a masked-LM head, a causal decoder or an encoder-decoder"
    )


def model_types_of(family: Family) -> tuple[str, ...]:
    """The model types of a family that were tried, by name, whether packed or one text a row."""
    return tuple(sorted(name for name in (*PACKING, *ONE_TEXT_A_ROW) if _usual_family(name) == family))


def _usual_family(model_type: str) -> Family:
    if model_type in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return "encoder-decoder"
    return "encoder" if model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES else "decoder"


def packs(config: PreTrainedConfig) -> bool:
    """Whether texts can share a row in models of a configuration."""
    packing = PACKING.get(config.model_type)
    if packing is None or any(getattr(config, name, None) for name in packing.unless):
        return False
    return packing.since is None or Version(packing.since) <= TRANSFORMERS


def sees_padding(config: PreTrainedConfig) -> bool:
    """Whether the logits of a text depend on the padding behind it, whatever the mask says.

    So it is in ConvBERT, whose convolutions reach into the padding, and in Funnel, which pools the last token with
    padding, and cuts it off where a row is not padded. `transformers` computes them so: their logits are exact only in
    batches of texts of one length, or of one text.
    """
    return config.model_type in _SEE_PADDING


def position_limit(config: PreTrainedConfig) -> int | None:
    """The longest row, in tokens, that a model's positions allow; None where they are not limited.

    None for relative positions (T5, Funnel, DeBERTa without position embeddings) and ALiBi (Bloom). Rotary positions
    have the limit that the model was trained with.
    """
    if config.model_type in _UNLIMITED or not getattr(config, "position_biased_input", True):
        return None
    limit: int | None = next((value for name in _LIMITS if (value := getattr(config, name, None)) is not None), None)
    if limit is None or limit <= 0:  # XLNet says -1.
        return None
    # RoBERTa's 514 positions hold rows of 512: the first two are never used.
    return limit - position_offset(config)


def position_offset(config: PreTrainedConfig) -> int:
    """What the first position of a text counts as in this model."""
    packing = PACKING.get(config.model_type, Packing())
    return int(config.pad_token_id or 0) + 1 if packing.position_offset == "pad" else packing.position_offset
