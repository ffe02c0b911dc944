"""Tokens (floor 2): tokenizers, the token store with its word starts, and packing.

Importing this package is light: names are looked up when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acclimate.tokens.added import add_missing_tokens, sentinel_ids
    from acclimate.tokens.packing import Plan, pack
    from acclimate.tokens.sentences import sentence_starts
    from acclimate.tokens.settings import TokenizerSettings
    from acclimate.tokens.store import (
        BREAK,
        IS_RANDOM,
        JOINT,
        LAYERS,
        SECOND_START,
        SENTENCE_START,
        WORD_START,
        TokenStore,
        build_token_store,
        open_token_store,
    )
    from acclimate.tokens.tokenizers import Frame, load_tokenizer, text_frame, tokenizer_fingerprint
    from acclimate.tokens.training import train_tokenizer
    from acclimate.tokens.words import word_starts

_HOMES = {
    "BREAK": "store",
    "Frame": "tokenizers",
    "IS_RANDOM": "store",
    "JOINT": "store",
    "LAYERS": "store",
    "Plan": "packing",
    "SECOND_START": "store",
    "SENTENCE_START": "store",
    "TokenStore": "store",
    "TokenizerSettings": "settings",
    "WORD_START": "store",
    "add_missing_tokens": "added",
    "build_token_store": "store",
    "load_tokenizer": "tokenizers",
    "open_token_store": "store",
    "pack": "packing",
    "sentence_starts": "sentences",
    "sentinel_ids": "added",
    "text_frame": "tokenizers",
    "tokenizer_fingerprint": "tokenizers",
    "train_tokenizer": "training",
    "word_starts": "words",
}

__all__ = [
    "BREAK",
    "Frame",
    "IS_RANDOM",
    "JOINT",
    "LAYERS",
    "Plan",
    "SECOND_START",
    "SENTENCE_START",
    "TokenStore",
    "TokenizerSettings",
    "WORD_START",
    "add_missing_tokens",
    "build_token_store",
    "load_tokenizer",
    "open_token_store",
    "pack",
    "sentence_starts",
    "sentinel_ids",
    "text_frame",
    "tokenizer_fingerprint",
    "train_tokenizer",
    "word_starts",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
