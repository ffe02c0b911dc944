"""Tiny random models of every model type: 120 tokens, 2 layers, 32 wide, 96 positions; padding is token 1.

The weights are larger than usual, so that what a token sees shows in the logits.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

VOCABULARY = 120
PAD = 1

_SPECIAL = {"pad_token_id": PAD, "bos_token_id": 0, "eos_token_id": 2}
_COMMON: dict[str, Any] = {
    **_SPECIAL,
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 96,
    "initializer_range": 0.3,
}
_GROUPED: dict[str, Any] = {**_COMMON, "num_key_value_heads": 2}
_HEADS_OF_8: dict[str, Any] = {**_GROUPED, "head_dim": 8}
# The first layer sees 8 tokens, the second all.
_SLIDING: dict[str, Any] = {
    **_HEADS_OF_8,
    "sliding_window": 8,
    "layer_types": ["sliding_attention", "full_attention"],
}
_DEBERTA: dict[str, Any] = {
    **_COMMON,
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
}
_XLM: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "emb_dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "max_position_embeddings": 96,
    "embed_init_std": 0.3,
    "init_std": 0.3,
    "pad_index": PAD,
    "bos_index": 0,
    "eos_index": 2,
}
_T5: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "pad_token_id": PAD,
    "eos_token_id": 2,
    "decoder_start_token_id": PAD,
}
_BART: dict[str, Any] = {
    **_SPECIAL,
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 96,
    "init_std": 0.3,
    "decoder_start_token_id": 2,
}
_GPT2: dict[str, Any] = {
    **_SPECIAL,
    "vocab_size": VOCABULARY,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 96,
    "initializer_range": 0.3,
}
_CONFIGS: dict[str, dict[str, Any]] = {
    # Encoders
    "albert": {**_COMMON, "embedding_size": 16},
    "bert": _COMMON,
    "camembert": _COMMON,
    "data2vec-text": _COMMON,
    "convbert": {**_COMMON, "embedding_size": 32},
    "deberta": _DEBERTA,
    "deberta-v2": {**_DEBERTA, "position_buckets": 16, "norm_rel_ebd": "layer_norm", "share_att_key": True},
    "distilbert": {
        "vocab_size": VOCABULARY,
        "dim": 32,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 64,
        "max_position_embeddings": 96,
        "pad_token_id": PAD,
        "initializer_range": 0.3,
    },
    "electra": {**_COMMON, "embedding_size": 16},
    "ernie": _COMMON,
    "eurobert": {**_GROUPED, "mask_token_id": 4},
    "flaubert": _XLM,
    "funnel": {
        "vocab_size": VOCABULARY,
        "d_model": 32,
        "d_head": 8,
        "n_head": 4,
        "d_inner": 64,
        "block_sizes": [1, 1],
        "num_decoder_layers": 1,
        "pad_token_id": PAD,
    },
    "megatron-bert": _COMMON,
    "mobilebert": {**_COMMON, "embedding_size": 16, "intra_bottleneck_size": 32},
    # Sliding windows of 8 tokens in two of three layers.
    "modernbert": {
        **_COMMON,
        "num_hidden_layers": 4,
        "local_attention": 8,
        "cls_token_id": 0,
        "sep_token_id": 2,
    },
    "mpnet": _COMMON,
    "nomic_bert": _COMMON,
    "rembert": {**_COMMON, "input_embedding_size": 16, "output_embedding_size": 32},
    "roberta": _COMMON,
    "roberta-prelayernorm": _COMMON,
    "roformer": {**_COMMON, "embedding_size": 16},
    "xlm": _XLM,
    "xlm-roberta": _COMMON,
    "xlm-roberta-xl": _COMMON,
    # Decoders
    "bloom": {
        **_SPECIAL,
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "n_layer": 2,
        "n_head": 4,
        "initializer_range": 0.3,
    },
    "cohere": {**_GROUPED, "logit_scale": 1.0},
    "gemma": _HEADS_OF_8,
    "gemma2": {**_SLIDING, "query_pre_attn_scalar": 8},
    "gemma3_text": {**_SLIDING, "query_pre_attn_scalar": 8},
    "glm": _HEADS_OF_8,
    "glm4": _HEADS_OF_8,
    "gpt2": _GPT2,
    "gpt_bigcode": _GPT2,
    "gpt_neo": {
        **_SPECIAL,
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 8,
        "max_position_embeddings": 96,
        "initializer_range": 0.3,
    },
    "gptj": {**_GPT2, "rotary_dim": 4},
    "granite": _GROUPED,
    "gpt_neox": _COMMON,
    "llama": _GROUPED,
    "ministral": _SLIDING,
    "mistral": {**_GROUPED, "sliding_window": 8},
    "mixtral": {**_GROUPED, "num_local_experts": 2},
    "modernbert-decoder": {**_COMMON, "local_attention": 8, "global_attn_every_n_layers": 2},
    "olmo2": _GROUPED,
    "opt": {
        **_SPECIAL,
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "word_embed_proj_dim": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "ffn_dim": 64,
        "max_position_embeddings": 96,
        "init_std": 0.3,
    },
    "phi": _COMMON,
    "phi3": {**_GROUPED, "sliding_window": 8},
    "qwen2": _GROUPED,
    "qwen3": _HEADS_OF_8,
    "qwen3_moe": {**_HEADS_OF_8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "smollm3": _GROUPED,
    "stablelm": _GROUPED,
    "starcoder2": _GROUPED,
    # Encoder-decoders
    "bart": _BART,
    "longt5": {**_T5, "local_radius": 4},
    "marian": {**_BART, "decoder_vocab_size": VOCABULARY},
    "mbart": _BART,
    "mt5": _T5,
    "pegasus": _BART,
    "plbart": _BART,
    "t5": _T5,
    "umt5": _T5,
}
MODEL_TYPES = tuple(_CONFIGS)


def tiny_config(model_type: str, **changes: Any) -> PreTrainedConfig:
    """The tiny configuration of a model type, with some values changed."""
    return AutoConfig.for_model(model_type, **{**_CONFIGS[model_type], **changes})


def tiny_model(model_type: str, auto_class: str, **changes: Any) -> PreTrainedModel:
    """A tiny random model in evaluation mode, always of the same weights, with the head of a class of Auto classes."""
    torch.manual_seed(0)
    model: PreTrainedModel = getattr(transformers, auto_class).from_config(tiny_config(model_type, **changes)).eval()
    return model
