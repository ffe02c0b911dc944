"""Self-supervised objectives: one file each, and one row each in the table `OBJECTIVES`.

Floor 3: imports from tokens and below; knows nothing of models but what it calls.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

from acclimate.errors import ModelError, RecipeError
from acclimate.objectives.base import Objective, Vocabulary
from acclimate.objectives.mlm import MaskedLanguageModeling
from acclimate.recipe import check, validate

OBJECTIVES: dict[str, type[Objective]] = {
    "mlm": MaskedLanguageModeling,
}

# The objective that is chosen where none is named, by the family of the model.
OWN_OBJECTIVE: dict[str, str] = {
    "encoder": "mlm",
}


def find_objective(name: str) -> type[Objective]:
    """The objective of a name; an unknown one is a `RecipeError` that names the nearest."""
    if name not in OBJECTIVES:
        near = difflib.get_close_matches(name, OBJECTIVES, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(OBJECTIVES)}"
        raise RecipeError(f"`objective.name`: unknown objective {name!r}; {hint}")
    return OBJECTIVES[name]


def check_objective(
    name: str, options: Mapping[str, Any], path: str = "objective", *, places: Mapping[str, str] | None = None
) -> list[str]:
    """Every mistake in the options of an objective; `places` says where keys belong that stand elsewhere."""
    try:
        objective = find_objective(name)
    except RecipeError as error:
        return [str(error)]
    return check(objective.Settings, dict(options), path, places=places)


def own_objective(family: str, model_type: str) -> str:
    """The objective that a model was made for; a `ModelError` where no objective here fits its family."""
    if family not in OWN_OBJECTIVE:
        raise ModelError(_nothing_fits(family, model_type))
    return OWN_OBJECTIVE[family]


def check_fit(name: str, family: str, model_type: str) -> None:
    """Refuse an objective that does not fit a model, with the objectives that do."""
    objective = find_objective(name)
    if family in objective.families:
        return
    fitting = [other for other, candidate in OBJECTIVES.items() if family in candidate.families]
    offer = f"objectives that fit it: {', '.join(fitting)}" if fitting else _nothing_fits(family, model_type)
    article = "an" if family.startswith("e") else "a"
    raise ModelError(
        f"`{name}` needs {' or '.join(objective.families)} models, and model type {model_type!r} is "
        f"{article} {family}; {offer}"
    )


def _nothing_fits(family: str, model_type: str) -> str:
    return (
        f"no objective here fits {family} models (such as {model_type!r}) yet; `clm` and `mntp` for decoders and "
        "`span_denoising` for encoder-decoders are to come"
    )


def make_objective(
    name: str, options: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, *, max_length: int, seed: int
) -> Objective:
    """An objective ready to use with a tokenizer."""
    objective = find_objective(name)
    settings = validate(objective.Settings, options, f"objective `{name}`", path="objective")
    return objective(settings, Vocabulary.of(tokenizer), max_length=max_length, seed=seed)
