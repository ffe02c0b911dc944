"""What a run starts from: noted in its manifest, and made fit to be compared with.

A checkpoint without the objective's head gets a fresh one, which is warmed up on general text first
(`training/warmup.py`); the model with its warm head is kept in the run folder as the "before".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acclimate.artifacts import read_manifest, staged_folder, whole_manifest, write_manifest
from acclimate.errors import DataError, RecipeError
from acclimate.evaluation.general import general_corpus
from acclimate.jobs.recipes import Recipe
from acclimate.jobs.tokenizers import RunTokenizer
from acclimate.models.adapters import add_adapter
from acclimate.models.loading import LoadedModel, load_model, packs, prepare_for_packs, weight_digests
from acclimate.models.settings import ModelSettings
from acclimate.objectives.base import Objective
from acclimate.progress import Listener
from acclimate.tokens.cache import corpus_tokens
from acclimate.training.checkpoints import find_checkpoints
from acclimate.training.run_folder import RunFolder
from acclimate.training.stream import ExampleDataset
from acclimate.training.warmup import warm_up_head

BASE = "base"
KIND = "base model"


@dataclass(frozen=True)
class Start:
    """The model of a run before its training.

    Attributes:
        model: ready to train, with its adapter where the recipe has one.
        packed: whether its rows hold several texts.
    """

    model: Any
    packed: bool


class BaseModel:
    """Loads what a recipe starts from, and settles what it is compared with."""

    def __init__(
        self, recipe: Recipe, run: RunFolder, tokens: RunTokenizer, objective: Objective, listener: Listener
    ) -> None:
        self.recipe = recipe
        self.run = run
        self.tokens = tokens
        self.objective = objective
        self.listener = listener
        self.folder = run.path / BASE

    def start(self) -> Start:
        """Load the model, note what it is, and warm up a fresh head where there is general text for it."""
        loaded = self._load(self.recipe.model)
        packed = self.recipe.packing and self.objective.packs and packs(loaded.model)
        self._prepare(loaded)
        if self.run.manifest.get("before") is None or not find_checkpoints(self.run.path):
            loaded = self._settle(loaded, packed)
        elif self.folder.exists():
            # The run is going on: what it started from was settled when it began.
            loaded = self._load_kept(loaded)
        model = loaded.model
        if self.recipe.adapter is not None:
            model = add_adapter(model, self.recipe.adapter, self.objective.head, seed=self.recipe.seed)
        return Start(model, packed)

    def _load(self, settings: ModelSettings) -> LoadedModel:
        return load_model(
            settings,
            self.objective.head,
            self.tokens.tokenizer,
            seed=self.recipe.seed,
            head_options=self.objective.head_options() if settings is self.recipe.model else None,
            new_tokens=self.tokens.new_ids,
            keep_dtype=self.recipe.adapter is not None,
        )

    def _prepare(self, loaded: LoadedModel) -> None:
        # Harmless where rows hold one text, and needed where the objective says which tokens see which.
        if packs(loaded.model):
            prepare_for_packs(loaded.model)

    def _settle(self, loaded: LoadedModel, packed: bool) -> LoadedModel:
        recipe = self.recipe
        description = recipe.model.name or f"a new {loaded.model.config.model_type} model of random weights"
        warmup: dict[str, Any] | None = None
        fresh = bool(loaded.new_parameters) and not loaded.from_scratch
        if fresh and recipe.evaluation.general is not None and recipe.evaluation.head_warmup_steps > 0:
            if whole_manifest(self.folder, KIND) is None:
                self._warm_up(loaded, packed)
            loaded = self._load_kept(loaded)
            warmup = read_manifest(self.folder, KIND)["head_warmup"]
            description += ", its new head warmed up on general text"
        elif fresh and recipe.adapter is not None:
            raise RecipeError(
                "the model's head is new, and `adapter` would leave it at its random weights: give "
                "`evaluation.general`, so that it is warmed up first, or leave `adapter` out"
            )
        elif fresh:
            self.listener.message(
                "the head is new and there is no general text to warm it up on: give `evaluation.general` for an "
                "honest comparison of before and after"
            )
        self.run.update(
            before={
                "model": _origin(recipe.model, loaded),
                "weights": weight_digests(recipe.model.name),
                "folder": BASE if warmup else None,
                "description": description,
            },
            model={
                "type": loaded.model.config.model_type,
                "parameters": loaded.model.num_parameters(),
                "from_scratch": loaded.from_scratch,
                "new_parameters": list(loaded.new_parameters) if fresh else [],
                "added_tokens": list(self.tokens.added),
                "new_tokens": list(self.tokens.new_ids),
                # Padding is neither read nor predicted.
                "unseen_tokens": len({*self.tokens.new_ids} - {self.tokens.tokenizer.pad_token_id}),
                "head_warmup": warmup,
            },
        )
        return loaded

    def _warm_up(self, loaded: LoadedModel, packed: bool) -> None:
        """Warm up the head and keep the model in `RUN/base`."""
        recipe, tokenizer = self.recipe, self.tokens.tokenizer
        assert recipe.evaluation.general is not None
        folder = self.run.path / "evaluation" / "general-corpus"
        general = general_corpus(recipe.evaluation.general, folder, self.listener)
        fallback = self.run.path / "evaluation"
        store = corpus_tokens(
            general, "train", tokenizer, fallback=fallback, listener=self.listener, layers=self.objective.layers
        )
        try:
            plan = self.objective.plan(store, isolate=recipe.isolate, packed=packed)
        except DataError as error:
            message = f"the head cannot be warmed up on `evaluation.general` ({general.folder}): {error}"
            raise DataError(message) from error
        if len(plan) == 0:
            raise DataError(f"the general text in {general.folder} has no tokens to warm up the head on")
        self.listener.message("the head is new: warming it up on general text, the rest of the model frozen")
        figures = warm_up_head(
            loaded.model,
            loaded.new_parameters,
            ExampleDataset(self.objective, store, plan),
            tokenizer,
            max_steps=recipe.evaluation.head_warmup_steps,
            seed=recipe.seed,
            listener=self.listener,
            training=recipe.training,
            compute=recipe.compute,
        )
        with staged_folder(self.folder, replace=True) as staging:
            loaded.model.save_pretrained(staging)
            tokenizer.save_pretrained(staging)
            write_manifest(staging, KIND, {"head_warmup": figures})

    def _load_kept(self, loaded: LoadedModel) -> LoadedModel:
        """The kept model, with what was new in it before it was kept."""
        warm = self._load(self.recipe.model.model_copy(update={"name": str(self.folder), "revision": None}))
        self._prepare(warm)
        return replace(loaded, model=warm.model)


def _origin(settings: ModelSettings, loaded: LoadedModel) -> dict[str, Any]:
    """The model's settings, so that they find the same model later and from elsewhere: a folder by its whole path, a
    hub id with the commit that was loaded."""
    origin = settings.model_dump(mode="json")
    if settings.name is not None and Path(settings.name).exists():
        origin["name"] = str(Path(settings.name).absolute())
    elif settings.name is not None:
        origin["revision"] = getattr(loaded.model.config, "_commit_hash", None) or settings.revision
    return origin
