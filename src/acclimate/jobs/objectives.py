"""The table of objectives for people, and which of them fit a model."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedConfig

from acclimate.errors import ModelError
from acclimate.models.families import family, load_config
from acclimate.objectives import OBJECTIVES, OWN_OBJECTIVE, check_fit, own_objective
from acclimate.objectives.base import Family


@dataclass(frozen=True)
class ObjectiveEntry:
    """A row of the table of objectives.

    Attributes:
        name, summary, paper: as of `Objective`.
        families: the model families that it fits.
        model_types: of these only the ones named; empty for all.
        parts: of the loss, {name: weight}.
        fits: whether it can train the model in question; None where no model was named.
        why_not: why it cannot; None where it can.
    """

    name: str
    summary: str
    paper: str
    families: tuple[Family, ...]
    model_types: tuple[str, ...]
    parts: dict[str, float]
    fits: bool | None = None
    why_not: str | None = None


@dataclass(frozen=True)
class ObjectiveTable:
    """The objectives, and what they have to do with a model.

    Attributes:
        objectives: in the order of `OBJECTIVES`.
        model: the model in question; None where none was named, and so for the rest.
        model_type: its type.
        own: the objective that is chosen for it where none is named; None where none fits.
        why_own: why that one.
    """

    objectives: tuple[ObjectiveEntry, ...]
    model: str | None = None
    model_type: str | None = None
    own: str | None = None
    why_own: str | None = None


def list_objectives(model: str | None = None) -> ObjectiveTable:
    """The table of objectives.

    Args:
        model: a hub id or folder; which objectives fit it is told, too, and which is its own.

    Raises:
        ModelError: there is no such model, or it is no language model.
    """
    if model is None:
        return ObjectiveTable(tuple(_entry(name) for name in OBJECTIVES))
    config = load_config(model)
    kind = family(config)
    entries = tuple(_entry(name, kind, config.model_type) for name in OBJECTIVES)
    try:
        own = own_objective(kind, config)
    except ModelError as error:
        return ObjectiveTable(entries, model, config.model_type, why_own=str(error))
    return ObjectiveTable(entries, model, config.model_type, own, _why_own(kind, config))


def _entry(name: str, kind: Family | None = None, model_type: str = "") -> ObjectiveEntry:
    objective = OBJECTIVES[name]
    fits, why_not = None, None
    if kind is not None:
        try:
            check_fit(name, kind, model_type)
            fits = True
        except ModelError as error:
            fits, why_not = False, str(error).partition(";")[0]
    return ObjectiveEntry(
        name=name,
        summary=objective.summary,
        paper=objective.paper,
        families=objective.families,
        model_types=objective.model_types,
        parts={part.name: part.weight for part in objective.parts},
        fits=fits,
        why_not=why_not,
    )


def _why_own(kind: Family, config: PreTrainedConfig) -> str:
    """In words, the row of `OWN_OBJECTIVE` that counts."""
    architectures = getattr(config, "architectures", None) or ()
    keys = [key for key, _ in OWN_OBJECTIVE if key in {config.model_type, kind, *architectures}]
    if keys[0] in architectures:
        return f"the checkpoint was saved from {keys[0]}"
    if keys[0] == config.model_type:
        return f"{config.model_type} models were made with it"
    return f"{config.model_type} models are {kind}s"
