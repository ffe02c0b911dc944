"""Self-supervised objectives: one file each, and one row each in the table `OBJECTIVES`.

Floor 3: imports from tokens and below; knows nothing of models but what it calls.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from acclimate.errors import ModelError, RecipeError
from acclimate.objectives.base import Family, Objective
from acclimate.objectives.clm import CausalLanguageModeling
from acclimate.objectives.mass import MaskedSequenceToSequence
from acclimate.objectives.mlm import MaskedLanguageModeling
from acclimate.objectives.mlm_nsp import MaskedLanguageModelingWithNextSentence
from acclimate.objectives.mlm_sop import MaskedLanguageModelingWithSentenceOrder
from acclimate.objectives.mntp import MaskedNextTokenPrediction
from acclimate.objectives.prefix_lm import PrefixLanguageModeling
from acclimate.objectives.rtd import ReplacedTokenDetection
from acclimate.objectives.span_denoising import SpanDenoising
from acclimate.objectives.text_infilling import TextInfilling
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.recipe import Section, check, validate

OBJECTIVES: dict[str, type[Objective]] = {
    "mlm": MaskedLanguageModeling,
    "mlm_nsp": MaskedLanguageModelingWithNextSentence,
    "mlm_sop": MaskedLanguageModelingWithSentenceOrder,
    "rtd": ReplacedTokenDetection,
    "clm": CausalLanguageModeling,
    "prefix_lm": PrefixLanguageModeling,
    "mntp": MaskedNextTokenPrediction,
    "span_denoising": SpanDenoising,
    "text_infilling": TextInfilling,
    "mass": MaskedSequenceToSequence,
}

# The objective that is chosen where none is named: by model type, by the class that a checkpoint was saved from (an
# ELECTRA folder holds a discriminator or a generator), by family. The first row that is right counts.
OWN_OBJECTIVE: tuple[tuple[str, str], ...] = (
    ("albert", "mlm_sop"),
    ("ElectraForPreTraining", "rtd"),
    ("t5", "span_denoising"),
    ("mt5", "span_denoising"),
    ("umt5", "span_denoising"),
    ("longt5", "span_denoising"),
    ("encoder-decoder", "text_infilling"),
    ("encoder", "mlm"),
    ("decoder", "clm"),
)


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


def own_objective(family: Family, config: PreTrainedConfig) -> str:
    """The objective that a model was made for; a `ModelError` where no objective here fits it."""
    known = {config.model_type, family, *(getattr(config, "architectures", None) or ())}
    fitting = fitting_objectives(family, config.model_type)
    for key, name in OWN_OBJECTIVE:
        if key in known and name in fitting:
            return name
    raise ModelError(_nothing_fits(family, config.model_type))


def fitting_objectives(family: Family, model_type: str) -> list[str]:
    """The objectives that can train models of a type."""
    return [
        name
        for name, objective in OBJECTIVES.items()
        if family in objective.families
        and (not objective.model_types or model_type in objective.model_types)
        and model_type not in objective.unfit
    ]


def check_fit(name: str, family: Family, model_type: str) -> None:
    """Refuse an objective that does not fit a model, with the objectives that do."""
    objective = find_objective(name)
    fitting = fitting_objectives(family, model_type)
    if name in fitting:
        return
    offer = f"objectives that fit it: {', '.join(fitting)}" if fitting else _nothing_fits(family, model_type)
    article = "an" if family.startswith("e") else "a"
    if family not in objective.families:
        wants = f"{' or '.join(objective.families)} models"
    elif model_type in objective.unfit:
        raise ModelError(f"`{name}` cannot train model type {model_type!r}: {objective.unfit[model_type]}; {offer}")
    else:
        wants = f"a model of type {', '.join(objective.model_types)}"
    raise ModelError(f"`{name}` needs {wants}, and model type {model_type!r} is {article} {family}; {offer}")


def _nothing_fits(family: str, model_type: str) -> str:
    return f"no objective here fits {family} models such as {model_type!r} yet; there are: " + "; ".join(
        f"{name} ({', '.join(found.model_types or found.families)})" for name, found in OBJECTIVES.items()
    )


def resolve_objective(name: str, options: Mapping[str, Any], family: Family) -> tuple[type[Objective], Section]:
    """The class that carries an objective out for a family of models, and its options, checked.

    Raises:
        RecipeError: mistakes in the options, or a variant that the family has not.
    """
    objective = find_objective(name)
    settings = validate(objective.Settings, options, f"objective `{name}`", path="objective")
    return objective.resolve(family, settings), settings


def make_objective(
    name: str,
    options: Mapping[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    seed: int,
    family: Family | None = None,
    decoder_start_id: int | None = None,
) -> Objective:
    """An objective ready to use with a tokenizer.

    Args:
        family: of the model; default the first that the objective fits.
        decoder_start_id: `decoder_start_token_id` of the model's configuration, for encoder-decoders.
    """
    objective, settings = resolve_objective(name, options, family or find_objective(name).families[0])
    vocabulary = Vocabulary.of(tokenizer, decoder_start_id=decoder_start_id)
    return objective(settings, vocabulary, max_length=max_length, seed=seed)
