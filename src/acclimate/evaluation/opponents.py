"""What a run's model is compared with: the model that it started from, or another one that the user names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from acclimate.artifacts import find_manifest
from acclimate.errors import ModelError
from acclimate.evaluation.models import Way, claims, load_before, own_way, way_before
from acclimate.models.families import family
from acclimate.models.loading import load_model, model_config
from acclimate.models.settings import ModelSettings
from acclimate.tokens.tokenizers import load_tokenizer
from acclimate.training.run_folder import KIND as RUN
from acclimate.training.run_folder import RunFolder, open_run

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
        CheckpointError: it is a run that is not finished.
        ModelError: there is no such model, it is the run itself, it cannot be asked by the run's objective, or (when it
            is loaded) it has no head for it.
    """
    manifest = _manifest_of(run, name)
    tokenizer = load_tokenizer(name)
    _check_family(run, name)
    way = None if cut_alike(tokenizer, after.tokenizer) else _way_of(run, name, tokenizer)
    return Opponent(name, way, lambda: _load(name, way or after), True, _notes(run, name, manifest), name)


def _manifest_of(run: RunFolder, name: str) -> Mapping[str, Any]:
    """The manifest of a finished run; an empty one of other models."""
    if not name.strip():
        raise ModelError("`against` is empty; name a run, a model's folder or a hub id")
    folder = Path(name)
    if not folder.is_dir():
        return {}
    if folder.samefile(run.path):
        raise ModelError(f"{name} is the run itself; name another run or model to compare it with")
    return open_run(folder).manifest if find_manifest(folder, RUN) is not None else {}


def _check_family(run: RunFolder, name: str) -> None:
    """Refuse a model that reads texts in another way than the run's: its head may fit, but its figures mean nothing."""
    theirs, own = family(model_config(ModelSettings(name=name))), run.manifest["objective"]["family"]
    if theirs != own:
        raise ModelError(
            f"the model in {name} is of the family `{theirs}`, that of {run.path} of `{own}`: it cannot be asked by "
            f"`{run.manifest['objective']['name']}`; name a model of the family `{own}`"
        )


def _way_of(run: RunFolder, name: str, tokenizer: PreTrainedTokenizerBase) -> Way:
    try:
        return own_way(run, tokenizer)
    except ModelError as error:
        raise ModelError(
            f"{name} cannot be compared with {run.path} by `{run.manifest['objective']['name']}`: {error}"
        ) from error


def _load(name: str, way: Way) -> Any:
    loaded = load_model(ModelSettings(name=name), way.objective.head, way.tokenizer, seed=0)
    if loaded.new_parameters:
        raise ModelError(
            f"{name} has no head for `{way.objective.name}` ({', '.join(loaded.new_parameters[:3])}, … would be "
            "random), so that it cannot be compared with; name a model that has one, or a run of it"
        )
    return loaded.model


def _notes(run: RunFolder, name: str, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Where the other model may have been trained on what is held out here, or was by another objective."""
    notes = []
    own, theirs = run.manifest["objective"]["name"], (manifest.get("objective") or {}).get("name")
    if theirs not in (None, own):
        notes.append(f"{name} was trained by `{theirs}`, and is asked by `{own}` here")
    if (manifest.get("corpus") or {}).get("fingerprint") != run.manifest["corpus"]["fingerprint"]:
        notes.append(f"whether {name} was trained on what is held out here is not known")
    return tuple(notes)


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
