"""From a recipe to rows of tokens: the steps that training and looking at batches have in common."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from acclimate.artifacts import find_manifest
from acclimate.corpus import Corpus, CorpusSettings, build_corpus, open_corpus
from acclimate.errors import DataError, ModelError, RecipeError
from acclimate.jobs.recipes import Recipe
from acclimate.jobs.replay import replayed_corpus
from acclimate.jobs.tokenizers import (
    RunTokenizer,
    named_tokenizer,
    trained_tokenizer,
    trains_tokenizer,
    with_needs,
)
from acclimate.models.families import family, model_types_of
from acclimate.models.families import packs as can_be_packed
from acclimate.models.loading import check_max_length, decoder_start_id, model_config
from acclimate.objectives import check_fit, make_objective, own_objective, resolve_objective
from acclimate.objectives.base import Need, Objective
from acclimate.progress import Listener
from acclimate.tokens.cache import corpus_tokens
from acclimate.tokens.store import TokenStore
from acclimate.training.stream import ExampleDataset, ReplayDataset


class Preparation:
    """The steps of one recipe; each is short and does one thing."""

    def __init__(self, recipe: Recipe, folder: Path, listener: Listener) -> None:
        """
        Args:
            folder: where a corpus, a tokenizer and tokens are put that the recipe has no other place for; the run
                folder, in training. It is made when something is written.
        """
        self.recipe = recipe
        self.folder = folder
        self.listener = listener

    # ---- before any work: does it fit together? ----------------------------------------------------------------

    def check_fit(self) -> tuple[PreTrainedConfig, str]:
        """Refuse what cannot work before hours are spent on a corpus; the model's configuration and the objective's
        name."""
        recipe = self.recipe
        config = model_config(recipe.model)
        kind = family(config)
        name = recipe.objective.name or own_objective(kind, config)
        check_fit(name, kind, config.model_type)
        check_max_length(config, recipe.max_length)
        objective, _ = resolve_objective(name, recipe.objective.options, kind)
        if objective.directs and not can_be_packed(config):
            raise ModelError(
                f"`{name}` says which tokens see which, and models of type {config.model_type!r} cannot be told; those "
                f"of these types can: {', '.join(model_types_of(kind))}"
            )
        if recipe.adapter is not None and objective.head == "replaced-token-detection":
            raise RecipeError(
                f"`adapter` does not go with `{name}`, which trains a generator and a discriminator as a whole; leave "
                "`adapter` out, or use `mlm`"
            )
        if recipe.objective.name is None:
            self.listener.message(f"objective: {name}, the one that {config.model_type} models were made with")
        named = recipe.tokenizer is not None and recipe.tokenizer.name is not None
        if recipe.model.config is not None and not named and not trains_tokenizer(self.recipe):
            raise RecipeError(
                "a model of random weights needs a `tokenizer`: name one, or train one, such as "
                "`tokenizer: {train: wordpiece, vocab_size: 8000}`"
            )
        if recipe.model.name is not None and trains_tokenizer(self.recipe):
            raise RecipeError(
                "`tokenizer.train` makes a new vocabulary, which a pretrained model's embeddings know nothing of; "
                "leave `tokenizer` out, or start from random weights with `model: {config: …}`"
            )
        self._check_inputs(name, config)
        return config, name

    def _check_inputs(self, objective_name: str, config: PreTrainedConfig) -> None:
        """Open what is there already: a mistake in it should not leave a run folder behind that was never a run."""
        recipe = self.recipe
        if not recipe.corpus.sources:
            self.corpus()
        if not trains_tokenizer(self.recipe):
            tokens = named_tokenizer(recipe, self.needs(objective_name, config))
            if tokens.added:
                self.listener.message(
                    f"tokens that `{objective_name}` needs and the tokenizer lacks are added: {_some(tokens.added)}; "
                    "their embeddings start at the mean of the others"
                )
            self.objective(objective_name, tokens.tokenizer, config, recipe.seed)

    def needs(self, objective_name: str, config: PreTrainedConfig) -> tuple[Need, ...]:
        """The tokens without which the objective does not work."""
        objective, settings = resolve_objective(objective_name, self.recipe.objective.options, family(config))
        return objective.needed(settings)

    # ---- documents to examples ---------------------------------------------------------------------------------

    def corpus(self) -> Corpus:
        """The recipe's corpus, built where it is to be built."""
        settings: CorpusSettings = self.recipe.corpus
        if settings.sources:
            folder = settings.path or self.folder / "corpus"
            return build_corpus(settings, folder, on_message=self.listener.message)
        assert settings.path is not None
        if find_manifest(settings.path, "corpus") is None and Path(settings.path).exists():
            raise RecipeError(
                f"{settings.path} is no corpus; build one from it first: "
                f"acclimate corpus build {settings.path} -o corpora/NAME"
            )
        return open_corpus(settings.path)

    def tokenizer(self, corpus: Corpus, objective_name: str, config: PreTrainedConfig) -> RunTokenizer:
        """The tokenizer, trained on the corpus where the recipe says so, with what the objective needs."""
        needs = self.needs(objective_name, config)
        if not trains_tokenizer(self.recipe):
            return named_tokenizer(self.recipe, needs)
        assert self.recipe.tokenizer is not None
        trained = trained_tokenizer(self.recipe.tokenizer, [corpus], self.folder / "tokenizer", self.listener)
        return with_needs(trained, None, self.recipe, needs)

    def objective(
        self, name: str, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, seed: int
    ) -> Objective:
        """The objective with the recipe's options."""
        return make_objective(
            name,
            self.recipe.objective.options,
            tokenizer,
            max_length=self.recipe.max_length,
            seed=seed,
            family=family(config),
            decoder_start_id=decoder_start_id(config),
        )

    def dataset(self, objective: Objective, store: TokenStore, packed: bool, where: str) -> ExampleDataset:
        """The store cut into rows; `where` is its corpus's folder, for messages."""
        plan = objective.plan(store, isolate=self.recipe.isolate, packed=packed)
        if len(plan) == 0:
            raise DataError(f"the corpus in {where} has no text that is long enough to train on")
        return ExampleDataset(objective, store, plan)

    def with_replay(
        self, documents: ExampleDataset, tokenizer: PreTrainedTokenizerBase, packed: bool
    ) -> tuple[ReplayDataset, Corpus]:
        """The documents with the recipe's general text between them, and the corpus that this is from."""
        settings = self.recipe.replay
        assert settings is not None
        corpus = replayed_corpus(settings, self.recipe.evaluation.general, self.folder, self.listener)
        layers = documents.objective.layers
        store = corpus_tokens(corpus, "train", tokenizer, fallback=self.folder, listener=self.listener, layers=layers)
        replayed = self.dataset(documents.objective, store, packed, str(corpus.folder))
        return ReplayDataset(documents, replayed, settings.share), corpus


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{names[0]} … {names[-1]} ({len(names)})"
