"""What a run starts from: noted in its manifest, and made fit to be compared with.

A checkpoint without the objective's head gets a fresh one, which is warmed up on general text first
(`training/warmup.py`); the model with its warm head is kept in the run folder as the "before".
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from acclimate.artifacts import read_manifest, staged_folder, whole_manifest, write_manifest
from acclimate.errors import DataError
from acclimate.evaluation.general import general_corpus
from acclimate.jobs.recipes import Recipe
from acclimate.models.attention import separate_segments
from acclimate.models.loading import LoadedModel, load_model, weight_digests
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


def settle_base(
    recipe: Recipe,
    run: RunFolder,
    loaded: LoadedModel,
    tokenizer: PreTrainedTokenizerBase,
    objective: Objective,
    packed: bool,
    listener: Listener,
) -> LoadedModel:
    """Note what the run starts from, and warm up a fresh head where there is general text for it.

    Returns:
        The model to train: the given one, or the one with its head warmed up.
    """
    if run.manifest.get("before") is not None and find_checkpoints(run.path):
        # The run is going on: what it started from was settled when it began.
        folder = run.path / BASE
        return _load_base(folder, recipe, loaded, tokenizer, objective, packed) if folder.exists() else loaded
    description = recipe.model.name or f"a new {loaded.model.config.model_type} model of random weights"
    warmup: dict[str, Any] | None = None
    fresh = bool(loaded.new_parameters) and not loaded.from_scratch
    if fresh and recipe.evaluation.general is not None and recipe.evaluation.head_warmup_steps > 0:
        folder = run.path / BASE
        if whole_manifest(folder, KIND) is None:
            _make_base(folder, recipe, run, loaded, tokenizer, objective, packed, listener)
        loaded = _load_base(folder, recipe, loaded, tokenizer, objective, packed)
        warmup = read_manifest(folder, KIND)["head_warmup"]
        description += ", its new head warmed up on general text"
    elif fresh:
        listener.message(
            "the head is new and there is no general text to warm it up on: give `evaluation.general` for an honest "
            "comparison of before and after"
        )
    run.update(
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
            "added_tokens": loaded.added_tokens,
            "head_warmup": warmup,
        },
    )
    return loaded


def _origin(settings: ModelSettings, loaded: LoadedModel) -> dict[str, Any]:
    """The model's settings, so that they find the same model later and from elsewhere: a folder by its whole path, a
    hub id with the commit that was loaded."""
    origin = settings.model_dump(mode="json")
    if settings.name is not None and Path(settings.name).exists():
        origin["name"] = str(Path(settings.name).absolute())
    elif settings.name is not None:
        origin["revision"] = getattr(loaded.model.config, "_commit_hash", None) or settings.revision
    return origin


def _make_base(
    folder: Path,
    recipe: Recipe,
    run: RunFolder,
    loaded: LoadedModel,
    tokenizer: PreTrainedTokenizerBase,
    objective: Objective,
    packed: bool,
    listener: Listener,
) -> None:
    """Warm up the head and keep the model in `folder`."""
    assert recipe.evaluation.general is not None
    general = general_corpus(recipe.evaluation.general, run.path / "evaluation" / "general-corpus", listener)
    store = corpus_tokens(general, "train", tokenizer, fallback=run.path / "evaluation", listener=listener)
    plan = objective.plan(store, isolate=recipe.isolate, packed=packed)
    if len(plan) == 0:
        raise DataError(f"the general text in {general.folder} has no tokens to warm up the head on")
    listener.message("the head is new: warming it up on general text, the rest of the model frozen")
    figures = warm_up_head(
        loaded.model,
        loaded.new_parameters,
        ExampleDataset(objective, store, plan),
        tokenizer,
        max_steps=recipe.evaluation.head_warmup_steps,
        seed=recipe.seed,
        listener=listener,
        training=recipe.training,
    )
    with staged_folder(folder, replace=True) as staging:
        loaded.model.save_pretrained(staging)
        tokenizer.save_pretrained(staging)
        write_manifest(staging, KIND, {"head_warmup": figures})


def _load_base(
    folder: Path,
    recipe: Recipe,
    loaded: LoadedModel,
    tokenizer: PreTrainedTokenizerBase,
    objective: Objective,
    packed: bool,
) -> LoadedModel:
    """The kept model, with what was new in it before it was kept."""
    settings = recipe.model.model_copy(update={"name": str(folder), "revision": None})
    warm = load_model(settings, objective.auto_class, tokenizer, seed=recipe.seed)
    if packed:
        separate_segments(warm.model)
    return replace(loaded, model=warm.model)
