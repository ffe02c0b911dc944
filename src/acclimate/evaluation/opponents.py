"""What a run's model is compared with: the model that it started from, or another one that the user names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from acclimate.artifacts import find_manifest
from acclimate.errors import ModelError
from acclimate.evaluation.models import Way, claims, load_before, own_way, way_before
from acclimate.models.loading import load_model
from acclimate.models.settings import ModelSettings
from acclimate.tokens.tokenizers import load_tokenizer
from acclimate.training.run_folder import RunFolder

# How a tokenizer fills rows up and cuts them off says nothing of how it cuts texts.
_NOT_OF_TEXTS = ("padding", "truncation")


@dataclass(frozen=True, eq=False)
class Opponent:
    """The model that stands on the side of "before".

    Attributes:
        description: what it is, for people.
        way: how it is asked, if by other tokens than the run's model; None where both cut texts alike.
        load: gives the model.
        claim, notes: whether the difference may be called a gain, and what the reader should know.
        name: of another model than the one before training; None for that one.
    """

    description: str
    way: Way | None
    load: Callable[[], Any]
    claim: bool
    notes: tuple[str, ...]
    name: str | None = None


def model_before(run: RunFolder, after: Way) -> Opponent:
    """The model that a run started from."""
    way = way_before(run, after)
    claim, reasons = claims(run.manifest, by_own_tokenizer=way is not None)
    return Opponent(
        run.manifest["before"]["description"], way, lambda: load_before(run, after, way), claim, tuple(reasons)
    )


def other_model(run: RunFolder, after: Way, name: str) -> Opponent:
    """Another model: a run, a model's folder or a hub id.

    Raises:
        ModelError: there is no such model, it cannot be asked by the run's objective, or (when it is loaded) it has no
            head for it.
    """
    tokenizer = load_tokenizer(name)
    way = None if cut_alike(tokenizer, after.tokenizer) else own_way(run, tokenizer)
    return Opponent(name, way, lambda: _load(name, way or after), True, _seen(run, name), name)


def _load(name: str, way: Way) -> Any:
    loaded = load_model(ModelSettings(name=name), way.objective.head, way.tokenizer, seed=0)
    if loaded.new_parameters:
        raise ModelError(
            f"{name} has no head for `{way.objective.name}` ({', '.join(loaded.new_parameters[:3])}, … would be "
            "random), so that it cannot be compared with; name a model that has one, or a run of it"
        )
    return loaded.model


def _seen(run: RunFolder, name: str) -> tuple[str, ...]:
    """A note where the other model may have been trained on what is held out here."""
    manifest = find_manifest(Path(name), "run") if Path(name).is_dir() else None
    corpus = (manifest or {}).get("corpus") or {}
    if corpus.get("fingerprint") == run.manifest["corpus"]["fingerprint"]:
        return ()
    return (f"whether {name} was trained on what is held out here is not known",)


def cut_alike(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Whether two tokenizers cut every text into the same ids, as far as their definitions tell."""
    if not (one.is_fast and other.is_fast):
        return type(one) is type(other) and one.get_vocab() == other.get_vocab()
    return _definition(one) == _definition(other)


def _definition(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return {name: value for name, value in told.items() if name not in _NOT_OF_TEXTS}


def file_name(opponent: Opponent) -> str:
    """In which file of `RUN/evaluation` a comparison is kept."""
    if opponent.name is None:
        return "evaluation.json"
    # Of a path the last two parts, of a hub id all of it.
    parts = opponent.name.replace("\\", "/").rstrip("/").split("/")[-2:]
    told = re.sub(r"[^\w.-]+", "-", "-".join(parts)).strip("-.")
    return f"against-{told}.json"
