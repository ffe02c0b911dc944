"""The tokenizer of a run: the model's own, one that the recipe names, or one trained on the corpus."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from acclimate.artifacts import staged_folder, whole_manifest, write_manifest
from acclimate.corpus import Corpus
from acclimate.errors import ModelError
from acclimate.jobs.recipes import Recipe
from acclimate.objectives.base import Need
from acclimate.progress import Listener
from acclimate.tokens.added import add_missing_tokens, declare_tokens
from acclimate.tokens.settings import TokenizerSettings
from acclimate.tokens.tokenizers import load_tokenizer
from acclimate.tokens.training import train_tokenizer

KIND = "tokenizer"


@dataclass(frozen=True)
class RunTokenizer:
    """A tokenizer fit for an objective.

    Attributes:
        tokenizer: with every token that the objective needs.
        added: the tokens that were added for that, and those that the recipe's tokenizer adds to the model's own.
        new_ids: ids whose meaning the model has yet to learn; empty for a model of random weights.
    """

    tokenizer: PreTrainedTokenizerBase
    added: tuple[str, ...]
    new_ids: tuple[int, ...]


def trains_tokenizer(recipe: Recipe) -> bool:
    """Whether the recipe asks for a tokenizer to be trained."""
    return recipe.tokenizer is not None and recipe.tokenizer.train is not None


def named_tokenizer(recipe: Recipe, needs: Sequence[Need]) -> RunTokenizer:
    """The tokenizer that the recipe names, or the model's own, with what an objective needs.

    Raises:
        ModelError: it cannot be loaded, its ids mean something else than the model learned, or it lacks a token that
            cannot be added.
    """
    settings, model = recipe.tokenizer, recipe.model
    own = None if model.name is None else load_tokenizer(model.name, revision=model.revision)
    if settings is None or settings.name is None:
        assert own is not None
        tokenizer = own
    else:
        tokenizer = load_tokenizer(settings.name, revision=settings.revision)
        if own is not None:
            _check_extends(tokenizer, own)
    return with_needs(tokenizer, own, recipe, needs)


def _check_extends(tokenizer: PreTrainedTokenizerBase, own: PreTrainedTokenizerBase) -> None:
    known, vocabulary = own.get_vocab(), tokenizer.get_vocab()
    moved = [token for token, index in known.items() if vocabulary.get(token) != index]
    if moved:
        raise ModelError(
            f"the tokenizer does not go with the model: {len(moved):,} of the model's {len(known):,} tokens have "
            f"another id or none in it (such as {moved[0]!r}); use the model's own, or one that only adds tokens"
        )


def with_needs(
    tokenizer: PreTrainedTokenizerBase, own: PreTrainedTokenizerBase | None, recipe: Recipe, needs: Sequence[Need]
) -> RunTokenizer:
    """A tokenizer with what an objective needs; `own` is the model's, None for a model of random weights."""
    if recipe.tokenizer is not None:
        roles = {name: getattr(recipe.tokenizer, name) for name in ("mask_token", "pad_token", "eos_token")}
        tokenizer = declare_tokens(tokenizer, roles)
    if recipe.adapter is not None and tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
        # An adapter leaves the embeddings as they are, so that there is no place for a new token. Padding is never
        # attended to nor predicted: any token serves.
        tokenizer = copy.deepcopy(tokenizer)
        tokenizer.pad_token = tokenizer.eos_token
    extended, _ = add_missing_tokens(tokenizer, needs)
    known = (own or tokenizer).get_vocab()
    new = sorted((index, token) for token, index in extended.get_vocab().items() if token not in known)
    if new and recipe.adapter is not None:
        raise ModelError(
            f"`adapter` leaves the model's embeddings as they are, and the tokenizer lacks what the objective needs "
            f"({', '.join(token for _, token in new[:3])}); train without `adapter`, or name a tokenizer and a model "
            "that have it"
        )
    return RunTokenizer(
        extended,
        tuple(token for _, token in new),
        () if own is None else tuple(index for index, _ in new),
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
