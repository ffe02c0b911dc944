"""How to generate: the fields of `transformers.GenerationConfig`, checked before a model is asked."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping
from typing import Any

from transformers import GenerationConfig

from acclimate.errors import RecipeError

# Fields that are not the user's: what is returned, and what the library writes about itself.
_OURS = (
    "return_dict_in_generate",
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "output_scores",
    "prefill_chunk_size",
    "transformers_version",
)
# Fields that say how a token is drawn, and mean nothing where the likeliest is taken.
_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff")
# Names that other tools have.
_MEANT = {"random_seed": "seed", "length": "max_length", "n": "num_return_sequences", "beams": "num_beams"}


def generation_fields() -> list[str]:
    """The names of the settings, as `transformers` has them."""
    return sorted(name for name in vars(GenerationConfig()) if not name.startswith("_") and name not in _OURS)


def generation_config(own: GenerationConfig, settings: Mapping[str, Any]) -> GenerationConfig:
    """The model's own settings with the user's in their place.

    Raises:
        RecipeError: an unknown setting, or values that make no sense together; every mistake at once.
    """
    known = generation_fields()
    given = {name: value for name, value in settings.items() if value is not None}
    problems = [_unknown(name, known) for name in given if name not in known]
    config = copy.deepcopy(own)
    for name in given:
        if name in known:
            setattr(config, name, given[name])
    problems += _problems(config, given)
    if problems:
        raise RecipeError("settings that cannot be carried out:", problems)
    try:
        config.validate(strict=False)
    except (ValueError, TypeError) as error:
        raise RecipeError(f"settings that cannot be carried out: {_first_line(error)}") from error
    return config


def _unknown(name: str, known: list[str]) -> str:
    if name in _OURS:
        return f"`{name}`: this is no setting of what is generated; leave it out"
    near = [_MEANT[name]] if name in _MEANT else difflib.get_close_matches(name, [*known, "seed"], n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else "the settings are the fields of `transformers.GenerationConfig`"
    return f"`{name}`: unknown; {hint}"


def _problems(config: GenerationConfig, given: Mapping[str, Any]) -> list[str]:
    problems = []
    for name in ("max_length", "max_new_tokens", "num_beams", "num_return_sequences"):
        value = given.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            problems.append(f"`{name}`: expected a number of at least 1, got {value!r}")
    if given.get("max_length") is not None and given.get("max_new_tokens") is not None:
        problems.append("`max_length` and `max_new_tokens` both limit the length; give one of them")
    if not config.do_sample:
        problems += [
            f"`{name}`: says how tokens are drawn, and the likeliest one is taken here; add `do_sample=true`"
            for name in _SAMPLING
            if name in given
        ]
    if problems:
        return problems
    sequences, beams = config.num_return_sequences or 1, config.num_beams or 1
    if not config.do_sample and sequences > max(beams, 1):
        problems.append(
            f"`num_return_sequences`: {sequences} different texts need as many beams (`num_beams={sequences}`), or "
            "drawn tokens (`do_sample=true`)"
        )
    return problems


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
