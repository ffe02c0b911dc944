"""Where the token stores of a corpus lie: beside it, or with the run where the corpus cannot be written to."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from acclimate.progress import Listener, Progress
from acclimate.tokens.store import LAYERS, Layer, TokenStore, build_token_store
from acclimate.tokens.tokenizers import tokenizer_fingerprint

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from acclimate.corpus import Corpus


def corpus_tokens(
    corpus: Corpus,
    split: Literal["train", "held_out"],
    tokenizer: PreTrainedTokenizerBase,
    *,
    fallback: Path,
    listener: Listener,
    layers: Collection[Layer] = LAYERS,
    num_workers: int | None = None,
) -> TokenStore:
    """The token store of one split of a corpus: reused where it is up to date, built otherwise.

    Args:
        fallback: folder for stores where the corpus's own folder cannot be written to.
        listener: hears how far encoding has come.
        layers: what is to be known beside ids, joints and breaks: an objective's `layers`, "bytes" to measure by.
    """
    name = f"{split}-{tokenizer_fingerprint(tokenizer)[:12]}"
    if os.access(corpus.folder, os.W_OK):
        folder = corpus.folder / "tokens" / name
    else:
        folder = fallback / "tokens" / f"{corpus.fingerprint[:12]}-{name}"

    def tell(stage: str, done: int, total: int | None) -> None:
        listener.progress(Progress(stage, done, total, "document"))

    return build_token_store(corpus, split, tokenizer, folder, layers=layers, num_workers=num_workers, progress=tell)
