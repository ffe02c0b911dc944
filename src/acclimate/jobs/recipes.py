"""The whole recipe: every section put together, and every mistake in it told at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from acclimate.corpus import CorpusSettings
from acclimate.evaluation.settings import EvaluationSettings
from acclimate.jobs import replay
from acclimate.jobs.replay import ReplaySettings
from acclimate.models.settings import AdapterSettings, ModelSettings
from acclimate.objectives import OBJECTIVES, check_objective
from acclimate.recipe import (
    Section,
    apply_overrides,
    check,
    expand_shorthand,
    parse_overrides,
    raise_problems,
    read_recipe,
    write_yaml,
)
from acclimate.tokens.settings import TokenizerSettings
from acclimate.training.compute import ComputeSettings
from acclimate.training.settings import OWNED, RENAMED, check_training, training_fields
from acclimate.training.trackers import check_trackers


class ObjectiveSection(Section):
    """The `objective:` section: a name, and the options of the objective of that name beside it.

    Attributes:
        name: a row of the table of objectives; default the model's own.
    """

    model_config = ConfigDict(extra="allow")
    SHORTHAND: ClassVar[str | None] = "name"

    name: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


# Settings of the recipe itself, which are refused under `training:`.
_TOP = ("seed", "output_dir", "report_to", "resume_from_checkpoint")


def _under_training(advice: str) -> str:
    return f"under `training:`, {advice}" if advice.startswith("write ") else advice


class Recipe(Section):
    """A run, complete.

    Attributes:
        model: what to start from: a hub id, a folder, or `{config: …}` for random weights.
        tokenizer: default the model's own; `{train: wordpiece, …}` trains one on the corpus, for a new model.
        corpus: a corpus folder, or `{sources: […]}` to build one first.
        objective: a name, or `{name: …, options}`; default the model's own.
        max_length: tokens in a row, special tokens included.
        isolate: what attention does not cross: "group" (a file, whole or by line), "document" or "none".
        packing: several texts in a row, kept apart by attention; false: one text a row. Models in which packed texts
            would see each other always get one text a row.
        compute: how training is computed: attention, the head's positions, dropout's draws, memory.
        adapter: `lora`, or `{type: lora, r: 16, …}`: train a small adapter and leave the model's weights as they are.
        replay: a share, or `{share: 0.1, path: …}`: general text in the training stream.
        training: any field of `transformers.TrainingArguments`.
        evaluation: how before and after are compared.
        output_dir: the run folder.
        seed: of every random choice.
        report_to: trackers, as in TrainingArguments; none by default, and none ever asks for a key.
        resume_from_checkpoint: a checkpoint to go on from; by default the newest whole one of an interrupted run.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {
        **{name: advice for name, advice in OWNED.items() if name not in _TOP},
        **{name: _under_training(advice) for name, advice in RENAMED.items()},
        "model_name_or_path": "write `model`",
        "model_name": "write `model`",
        "config_name": "write `model: {config: …}`",
        "tokenizer_name": "write `tokenizer`",
        "tokenizer_name_or_path": "write `tokenizer`",
        "max_seq_length": "write `max_length`",
        "block_size": "write `max_length`",
        "train_file": "write `corpus: {sources: […]}`",
        "validation_file": "leave it out; a part of the corpus is held out (`corpus.held_out`)",
        "dataset_name": "write `corpus: {sources: [{dataset: …}]}`",
        "line_by_line": "write `unit: line` for the source under `corpus.sources`",
        "whole_word_mask": "write `objective: {name: mlm, unit: word}`",
        "mlm": "write `objective: mlm`",
        "peft_config": "write `adapter: {type: lora, …}`",
        "lora": "write `adapter: {type: lora, …}`",
        "use_lora": "write `adapter: lora`",
        "overwrite_output_dir": "leave it out; to train anew, remove the folder or choose another `output_dir`",
        "pad_to_max_length": "leave it out; rows are packed",
    }

    model: ModelSettings
    tokenizer: TokenizerSettings | None = None
    corpus: CorpusSettings
    objective: ObjectiveSection = ObjectiveSection()
    max_length: int = Field(128, ge=8)
    isolate: Literal["document", "group", "none"] = "group"
    packing: bool = True
    adapter: AdapterSettings | None = None
    replay: ReplaySettings | None = None
    compute: ComputeSettings = ComputeSettings()
    training: dict[str, Any] = {}
    evaluation: EvaluationSettings = EvaluationSettings()
    output_dir: str
    seed: int = Field(42, ge=0, lt=2**32)
    report_to: str | list[str] = "none"
    resume_from_checkpoint: str | None = None


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file, apply `key=value` overrides, and check all of it.

    Raises:
        RecipeError: lists every mistake, each with its dotted path.
    """
    return make_recipe(read_recipe(path), parse_overrides(overrides), where=f"recipe {path}")


def make_recipe(
    data: Mapping[str, Any], overrides: Mapping[str, Any] | None = None, *, where: str = "recipe"
) -> Recipe:
    """A recipe from plain data, with overrides by dotted path.

    Raises:
        RecipeError: lists every mistake, each with its dotted path.
    """
    merged = apply_overrides(data, overrides or {}, Recipe)
    raise_problems(where, find_problems(merged))
    recipe = Recipe.model_validate(merged)
    if recipe.replay is not None:
        raise_problems(where, replay.problems(recipe.replay, recipe.evaluation.general))
    return recipe


def find_problems(data: Mapping[str, Any]) -> list[str]:
    """Every mistake in the plain data of a recipe."""
    problems = check(Recipe, data, places=_places())
    training = data.get("training")
    if isinstance(training, Mapping):
        problems += check_training(training, places=_places())
    problems += check_trackers(data.get("report_to"))
    return problems + _objective_problems(data.get("objective")) + _corpus_problems(data.get("corpus"))


def _objective_problems(value: Any) -> list[str]:
    objective = expand_shorthand(ObjectiveSection, value)
    if not isinstance(objective, Mapping):
        return []
    options = {key: value for key, value in objective.items() if key != "name"}
    name = objective.get("name")
    if isinstance(name, str):
        return check_objective(name, options, places=_places())
    if options and name is None:
        return [f"`objective` has options ({', '.join(map(str, options))}), but no `name`, such as `mlm`"]
    return []


def _corpus_problems(value: Any) -> list[str]:
    """Elsewhere a corpus may be named later, or have nothing but sources; a recipe needs one of the two."""
    if isinstance(value, Mapping) and not value.get("path") and not value.get("sources"):
        return ["`corpus` needs a corpus folder (`path`) or `sources` to build one"]
    return []


def _places() -> dict[str, str]:
    """Where keys belong that the sections' own schemas cannot know of."""
    places = {name: name for name in Recipe.model_fields} | {name: f"training.{name}" for name in training_fields()}
    for objective in OBJECTIVES.values():
        places |= {name: f"objective.{name}" for name in objective.Settings.model_fields}
    return places


def to_data(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain data, every default written out."""
    return recipe.model_dump(mode="json")


def to_yaml(recipe: Recipe) -> str:
    """A recipe as a file that `acclimate run` takes."""
    return write_yaml(to_data(recipe))


# Settings that may change between an interrupted run and its continuation: they decide nothing about the weights.
_NOT_IDENTITY = ("output_dir", "report_to", "resume_from_checkpoint", "evaluation")
_TRAINING_NOT_IDENTITY = (
    "dataloader_num_workers",
    "dataloader_prefetch_factor",
    "dataloader_pin_memory",
    "dataloader_persistent_workers",
    "logging_steps",
    "logging_first_step",
    "logging_strategy",
    "save_total_limit",
    "save_steps",
    "save_strategy",
    "log_level",
    "run_name",
)


def identity(recipe: Recipe) -> dict[str, Any]:
    """What makes a run of this recipe the run it is: flat, by dotted path."""
    data = {key: value for key, value in to_data(recipe).items() if key not in _NOT_IDENTITY}
    if recipe.replay is not None and not recipe.replay.has_text and recipe.evaluation.general is not None:
        data["replay"]["general"] = recipe.evaluation.general.model_dump(mode="json")
    # The same folder, however it is written.
    for section, key in (("corpus", "path"), ("model", "name")):
        if data[section][key] is not None and Path(data[section][key]).exists():
            data[section][key] = str(Path(data[section][key]).resolve())
    data["training"] = {key: value for key, value in data["training"].items() if key not in _TRAINING_NOT_IDENTITY}
    return flat(data)


def flat(data: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted path."""
    return dict(_flatten(data, ""))


def _flatten(value: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [item for key, inner in value.items() for item in _flatten(inner, f"{path}.{key}" if path else str(key))]
    return [(path, value)]
