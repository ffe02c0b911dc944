"""The whole recipe: every mistake in it at once, and what is written out is read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from acclimate.corpus import SourceSettings
from acclimate.errors import RecipeError
from acclimate.evaluation.settings import EvaluationSettings
from acclimate.jobs.recipes import (
    ObjectiveSection,
    Recipe,
    find_problems,
    identity,
    load_recipe,
    make_recipe,
    to_data,
    to_yaml,
)
from acclimate.objectives import OBJECTIVES
from acclimate.training.settings import OWNED, RENAMED

BASE: dict[str, Any] = {"model": "google-bert/bert-base-uncased", "corpus": "corpora/docs", "output_dir": "runs/docs"}


def problems(**settings: Any) -> list[str]:
    """The mistakes of a recipe that is right but for these settings."""
    return find_problems({**BASE, **settings})


# ---- right recipes --------------------------------------------------------------------------------------------------


def test_the_shortest_recipe_has_its_defaults() -> None:
    recipe = make_recipe(BASE)
    assert recipe.model.name == "google-bert/bert-base-uncased"
    assert recipe.corpus.path == "corpora/docs"
    assert recipe.tokenizer is None
    assert (recipe.objective.name, recipe.objective.options) == (None, {})
    assert (recipe.max_length, recipe.isolate, recipe.packing, recipe.seed) == (128, "group", True, 42)
    assert (recipe.training, recipe.report_to, recipe.resume_from_checkpoint) == ({}, "none", None)
    assert recipe.evaluation == EvaluationSettings()


def test_shorthands_stand_for_what_they_say() -> None:
    recipe = make_recipe(
        {
            **BASE,
            "tokenizer": "tokenizers/x",
            "corpus": {"sources": "docs"},
            "objective": "mlm",
            "evaluation": {"general": "general.txt"},
        }
    )
    assert recipe.tokenizer is not None and recipe.tokenizer.name == "tokenizers/x"
    assert recipe.corpus.sources == [SourceSettings(path="docs")]
    assert recipe.objective == ObjectiveSection(name="mlm")
    assert recipe.evaluation.general is not None and recipe.evaluation.general.path == "general.txt"
    assert recipe.evaluation.general.held_out == 0.5


def test_overrides_promote_shorthands() -> None:
    recipe = make_recipe(
        {**BASE, "objective": "mlm", "corpus": {"sources": ["a", "b"]}, "evaluation": {"general": "g"}},
        {
            "objective.unit": "word",
            "model.revision": "v1",
            "corpus.sources.1.limit": 5,
            "evaluation.general.held_out": 0.1,
            "training.learning_rate": 1e-4,
            "seed": 3,
        },
    )
    assert (recipe.objective.name, recipe.objective.options) == ("mlm", {"unit": "word"})
    assert (recipe.model.name, recipe.model.revision) == (BASE["model"], "v1")
    assert [source.limit for source in recipe.corpus.sources] == [None, 5]
    assert recipe.evaluation.general is not None
    assert (recipe.evaluation.general.path, recipe.evaluation.general.held_out) == ("g", 0.1)
    assert (recipe.training, recipe.seed) == ({"learning_rate": 1e-4}, 3)


def test_sections_with_nothing_in_them_are_left_out() -> None:
    empty = {**BASE, "tokenizer": None, "objective": None, "training": None, "evaluation": None}
    assert make_recipe(empty) == make_recipe(BASE)
    assert problems(corpus=None) == ["`corpus` is missing"]


def test_a_file_and_overrides_make_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "a recipe.yaml"
    path.write_text("model: m\ncorpus: 語料\noutput_dir: r\ntraining:\n  learning_rate: 1e-4\n", encoding="utf-8")
    recipe = load_recipe(path, ["training.max_steps=5", "training.eval_strategy=no", "output_dir=other folder"])
    assert recipe.training == {"learning_rate": 0.0001, "max_steps": 5, "eval_strategy": "no"}
    assert (recipe.corpus.path, recipe.output_dir) == ("語料", "other folder")


# ---- mistakes -------------------------------------------------------------------------------------------------------


def test_an_empty_recipe_lacks_three_settings() -> None:
    assert find_problems({}) == ["`model` is missing", "`corpus` is missing", "`output_dir` is missing"]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        """\
modle: bert
corpus: {sources: [docs, {path: more, recursiv: true}], held_out: 5}
objective: {name: mlm, mlm_probabilty: 0.2, unit: words}
max_length: long
max_steps: 100
training:
  lr: 1e-4
  evaluation_strategy: steps
  seed: 3
  num_train_epoch: 3
  per_device_train_batch_size: 0
evaluation: {max_token: 5}
""",
        encoding="utf-8",
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, ["seed=-1"])
    assert str(caught.value).startswith(f"recipe {path} has 16 mistakes:\n  - ")
    assert sorted(caught.value.problems) == sorted(
        [
            "unknown key `modle`; did you mean `model`?",
            "`model` is missing",
            "unknown key `corpus.sources.1.recursiv`; did you mean `corpus.sources.1.recursive`?",
            "`corpus.held_out`: Input should be less than 1, got 5",
            "unknown key `objective.mlm_probabilty`; did you mean `objective.mlm_probability`?",
            "`objective.unit`: Input should be 'token', 'word' or 'span', got 'words'",
            "`max_length`: expected a whole number, got 'long'",
            "unknown key `max_steps`; `max_steps` belongs at `training.max_steps`",
            "`training.lr` is not a setting here: write `learning_rate`",
            "`training.evaluation_strategy` is not a setting here: write `eval_strategy`",
            f"`training.seed` is not a setting here: {OWNED['seed']}",
            "unknown key `training.num_train_epoch`; did you mean `training.num_train_epochs`?",
            "`training.per_device_train_batch_size` must be at least 1, got 0",
            "unknown key `evaluation.max_token`; did you mean `evaluation.max_tokens`?",
            "`output_dir` is missing",
            "`seed`: Input should be greater than or equal to 0, got -1",
        ]
    )


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"max_steps": 5}, "unknown key `max_steps`; `max_steps` belongs at `training.max_steps`"),
        ({"learning_rate": 1}, "unknown key `learning_rate`; `learning_rate` belongs at `training.learning_rate`"),
        (
            {"mlm_probability": 0.2},
            "unknown key `mlm_probability`; `mlm_probability` belongs at `objective.mlm_probability`",
        ),
        ({"held_out": 0.1}, "unknown key `held_out`; `held_out` belongs at `corpus.held_out`"),
        ({"min_chars": 1}, "unknown key `min_chars`; `min_chars` belongs at `corpus.min_chars`"),
        ({"general": "x"}, "unknown key `general`; `general` belongs at `evaluation.general`"),
        ({"limit": 5}, "unknown key `limit`; `limit` belongs at `corpus.sources.0.limit`"),
        (
            {"training": {"mlm_probability": 0.2}},
            "unknown key `training.mlm_probability`; `mlm_probability` belongs at `objective.mlm_probability`",
        ),
        (
            {"training": {"max_length": 64}},
            "unknown key `training.max_length`; `max_length` stands at the top of the recipe",
        ),
        (
            {"objective": {"name": "mlm", "max_length": 64}},
            "unknown key `objective.max_length`; `max_length` stands at the top of the recipe",
        ),
        (
            {"objective": {"name": "mlm", "max_steps": 5}},
            "unknown key `objective.max_steps`; `max_steps` belongs at `training.max_steps`",
        ),
        (
            {"evaluation": {"seed": 5}},
            "unknown key `evaluation.seed`; `seed` stands at the top of the recipe",
        ),
        ({"lr": 1}, "`lr` is not a setting here: under `training:`, write `learning_rate`"),
        (
            {"batch_size": 1},
            "`batch_size` is not a setting here: under `training:`, write `per_device_train_batch_size`",
        ),
        ({"label_names": []}, "`label_names` is not a setting here: the objective names its labels"),
    ],
)
def test_misplaced_keys_are_told_where_they_belong(settings: dict[str, Any], problem: str) -> None:
    assert problems(**settings) == [problem]


@pytest.mark.parametrize("key", Recipe.RENAMED)
def test_every_key_of_elsewhere_is_told_what_to_write(key: str) -> None:
    assert problems(**{key: "x"}) == [f"`{key}` is not a setting here: {Recipe.RENAMED[key]}"]


@pytest.mark.parametrize("key", {**OWNED, **RENAMED})
def test_no_key_that_training_refuses_is_taken_at_the_top(key: str) -> None:
    told = problems(**{key: "x"})
    if key in Recipe.model_fields:
        assert not any("unknown key" in problem for problem in told)
    else:
        assert len(told) == 1 and told[0].startswith(f"`{key}` is not a setting here: ")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"objective": "mlmm"}, ["`objective.name`: unknown objective 'mlmm'; did you mean `mlm`?"]),
        ({"objective": "xyz"}, [f"`objective.name`: unknown objective 'xyz'; there are: {', '.join(OBJECTIVES)}"]),
        ({"objective": 5}, ["`objective.name`: expected text, got 5; put it in quotes"]),
        ({"objective": ["mlm"]}, ["`objective.name`: expected text, got ['mlm']"]),
        (
            {"objective": {"unit": "word"}},
            ["`objective` has options (unit), but no `name`, such as `mlm`"],
        ),
        (
            {"objective": {"name": "mlm", "mask_replace_prob": 0.9, "random_replace_prob": 0.2}},
            ["`objective`: `mask_replace_prob` and `random_replace_prob` together exceed 1"],
        ),
        ({"corpus": {}}, ["`corpus` needs a corpus folder (`path`) or `sources` to build one"]),
        ({"corpus": {"sources": []}}, ["`corpus` needs a corpus folder (`path`) or `sources` to build one"]),
        (
            {"corpus": {"sources": [{"git": "x", "path": "y"}]}},
            ["`corpus.sources.0`: a source needs exactly one of path, git and dataset; found path and git"],
        ),
        ({"model": {}}, ["`model`: give either `name`, a hub id or folder, or `config`, to start from random weights"]),
        ({"model": 5}, ["`model.name`: expected text, got 5; put it in quotes"]),
        ({"model": {"config": {"hidden_size": 3}}}, ["`model`: `config` needs a `model_type`, such as `bert`"]),
        ({"training": [1]}, ["`training`: expected a mapping of settings, got [1]"]),
        ({"evaluation": "x"}, ["`evaluation`: expected a mapping of settings, got 'x'"]),
        ({"report_to": 3}, ["`report_to`: expected text or a list, got 3; put it in quotes"]),
        ({"max_length": 7}, ["`max_length`: Input should be greater than or equal to 8, got 7"]),
        ({"seed": 2**32}, [f"`seed`: Input should be less than 4294967296, got {2**32}"]),
        ({"packing": "maybe"}, ["`packing`: expected true or false, got 'maybe'"]),
        (
            {"tokenizer": {"name": "x", "vocab_size": 500}},
            [
                "`tokenizer`: `vocab_size` is for a tokenizer that is trained on the corpus; "
                "add `train: wordpiece`, bpe or unigram, or leave `vocab_size` out"
            ],
        ),
    ],
)
def test_wrong_values_are_told(settings: dict[str, Any], expected: list[str]) -> None:
    assert problems(**settings) == expected


# ---- written out and read back --------------------------------------------------------------------------------------

RECIPES: dict[str, dict[str, Any]] = {
    "shortest": {},
    "tokenizer by name": {"tokenizer": "tokenizers/bert-base-chinese"},
    "tokenizer by name and revision": {"tokenizer": {"name": "org/tokenizer", "revision": "7e10"}},
    "wordpiece trained": {
        "model": {"config": {"model_type": "bert", "hidden_size": 64, "layer_norm_eps": 1e-12}},
        "tokenizer": {"train": "wordpiece", "vocab_size": 500, "lowercase": True},
    },
    "bpe trained": {"model": {"config": {"model_type": "roberta"}}, "tokenizer": {"train": "bpe", "min_frequency": 3}},
    "unigram trained": {"model": {"config": {"model_type": "albert"}}, "tokenizer": {"train": "unigram"}},
    "general text": {"evaluation": {"general": "general.txt", "max_tokens": None, "resamples": 500}},
    "general corpus of sources": {
        "evaluation": {
            "general": {"sources": ["a.txt", {"dataset": "org/set", "split": "train[:100]"}], "held_out": 0.2}
        }
    },
    "sources": {
        "corpus": {
            "path": "corpora/x",
            "sources": [
                "docs",
                {"path": "資治通鑑.txt", "unit": "line"},
                {"git": "https://example.org/docs.git", "revision": "1e10", "glob": ["*.md", "!x.md"]},
                {"path": "a.jsonl", "text_field": "no", "title": "prefix", "limit": 7},
            ],
            "held_out": 0.1,
            "min_chars": 0,
            "strict": True,
        }
    },
    "objective and training": {
        "objective": {"name": "mlm", "mlm_probability": 0.2, "unit": "word"},
        "training": {
            "learning_rate": 1e-5,
            "max_steps": 500,
            "eval_strategy": "no",
            "run_name": "1e-4",
            "lr_scheduler_kwargs": {"num_cycles": 2},
            "bf16": False,
        },
        "report_to": ["none"],
        "isolate": "none",
        "packing": False,
    },
    "text that looks like something else": {
        "model": {"name": "no", "revision": "12:30"},
        "output_dir": "2024-01-01",
        "resume_from_checkpoint": "runs/a: b/checkpoint-5 #1",
        "corpus": "~/corpora/'quoted' \"twice\"",
    },
}


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_written_out_is_the_same_recipe(tmp_path: Path, name: str) -> None:
    recipe = make_recipe({**BASE, **RECIPES[name]})
    path = tmp_path / "recipe.yaml"
    path.write_text(to_yaml(recipe), encoding="utf-8")
    again = load_recipe(path)
    assert again == recipe
    assert again.objective.options == recipe.objective.options
    assert identity(again) == identity(recipe)
    assert to_yaml(again) == to_yaml(recipe)
    assert yaml.safe_load(to_yaml(recipe)) == to_data(recipe)  # also by other readers of YAML


def test_a_recipe_is_written_out_with_every_default() -> None:
    data = to_data(make_recipe(BASE))
    assert list(data) == list(Recipe.model_fields)
    assert data["corpus"]["held_out"] == 0.05
    assert data["evaluation"]["resamples"] == 10_000


# ---- identity -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("output_dir", "elsewhere"),
        ("report_to", ["none"]),
        ("resume_from_checkpoint", "runs/a/checkpoint-5"),
        ("evaluation.max_tokens", 5),
        ("training.dataloader_num_workers", 2),
        ("training.save_steps", 7),
        ("training.save_total_limit", 1),
        ("training.logging_steps", 1),
    ],
)
def test_a_run_goes_on_though_these_change(path: str, value: Any) -> None:
    assert identity(make_recipe(BASE, {path: value})) == identity(make_recipe(BASE))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model", "other"),
        ("model.revision", "v2"),
        ("corpus", "other"),
        ("corpus.held_out", 0.1),
        ("tokenizer", "other"),
        ("objective", "mlm"),
        ("max_length", 64),
        ("isolate", "none"),
        ("packing", False),
        ("seed", 1),
        ("training.learning_rate", 1e-3),
        ("training.max_steps", 9),
        ("training.per_device_train_batch_size", 4),
    ],
)
def test_a_run_is_another_when_these_change(path: str, value: Any) -> None:
    assert identity(make_recipe(BASE, {path: value})) != identity(make_recipe(BASE))


def test_identity_is_flat_plain_data() -> None:
    flat = identity(make_recipe(BASE, {"training.lr_scheduler_kwargs": {"a": 1}}))
    assert flat["model.name"] == BASE["model"]
    assert flat["training.lr_scheduler_kwargs.a"] == 1
    assert flat["corpus.held_out"] == 0.05
