"""The tokenizer of a run: the model's own, one that the recipe names, or one trained on the corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from acclimate.artifacts import staged_folder, whole_manifest, write_manifest
from acclimate.corpus import Corpus
from acclimate.errors import ModelError
from acclimate.jobs.recipes import Recipe
from acclimate.progress import Listener
from acclimate.tokens.settings import TokenizerSettings
from acclimate.tokens.tokenizers import load_tokenizer
from acclimate.tokens.training import train_tokenizer

KIND = "tokenizer"


def trains_tokenizer(recipe: Recipe) -> bool:
    """Whether the recipe asks for a tokenizer to be trained."""
    return recipe.tokenizer is not None and recipe.tokenizer.train is not None


def named_tokenizer(recipe: Recipe) -> PreTrainedTokenizerBase:
    """The tokenizer that the recipe names, or the model's own.

    Raises:
        ModelError: it cannot be loaded, or its ids mean something else than the model learned.
    """
    settings = recipe.tokenizer
    if settings is None or settings.name is None:
        assert recipe.model.name is not None
        return load_tokenizer(recipe.model.name, revision=recipe.model.revision)
    tokenizer = load_tokenizer(settings.name, revision=settings.revision)
    if recipe.model.name is not None:
        _check_extends(tokenizer, load_tokenizer(recipe.model.name, revision=recipe.model.revision))
    return tokenizer


def _check_extends(tokenizer: PreTrainedTokenizerBase, own: PreTrainedTokenizerBase) -> None:
    known, vocabulary = own.get_vocab(), tokenizer.get_vocab()
    moved = [token for token, index in known.items() if vocabulary.get(token) != index]
    if moved:
        raise ModelError(
            f"the tokenizer does not go with the model: {len(moved):,} of the model's {len(known):,} tokens have "
            f"another id or none in it (such as {moved[0]!r}); use the model's own, or one that only adds tokens"
        )


def trained_tokenizer(
    settings: TokenizerSettings, corpora: Sequence[Corpus], folder: Path, listener: Listener
) -> PreTrainedTokenizerBase:
    """Train a tokenizer on corpora into `folder`, or take the one that was trained there on the same before."""
    made_from = {
        "corpora": [corpus.fingerprint for corpus in corpora],
        "settings": settings.model_dump(mode="json"),
    }
    manifest = whole_manifest(folder, KIND)
    if manifest is None or manifest.get("made_from") != made_from:
        listener.message(f"training a {settings.train} tokenizer")
        texts = (document.text for corpus in corpora for document in corpus.documents("train"))
        tokenizer = train_tokenizer(texts, settings)
        with staged_folder(folder, replace=True) as staging:
            tokenizer.save_pretrained(staging)
            write_manifest(staging, KIND, {"made_from": made_from})
    return load_tokenizer(folder)
