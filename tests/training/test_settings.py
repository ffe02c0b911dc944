"""The `training:` section: which fields of TrainingArguments there are, and what is told of the others."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainingArguments

from acclimate.training.settings import (
    AT_LEAST,
    DEFAULTS,
    OWNED,
    RENAMED,
    _loader_defaults,
    check_training,
    training_arguments,
    training_fields,
)

ALL_FIELDS = {field.name for field in dataclasses.fields(TrainingArguments) if field.init}


def arguments(values: dict[str, Any], **changes: Any) -> TrainingArguments:
    return training_arguments(values, Path("runs/a"), **{"seed": 3, "report_to": "none", **changes})


# ---- the tables -----------------------------------------------------------------------------------------------------


def test_the_tables_fit_the_installed_transformers() -> None:
    """A field that transformers gains is a setting, one that it loses must move to RENAMED."""
    assert OWNED.keys() - {"resume_from_checkpoint"} <= ALL_FIELDS | {"do_train", "do_eval", "do_predict"}
    assert not RENAMED.keys() & ALL_FIELDS
    assert not RENAMED.keys() & OWNED.keys()
    assert AT_LEAST.keys() <= ALL_FIELDS
    assert DEFAULTS.keys() <= ALL_FIELDS
    assert set(training_fields()) == ALL_FIELDS - OWNED.keys()


@pytest.mark.parametrize("name", OWNED)
def test_every_field_that_we_own_is_refused_with_the_reason(name: str) -> None:
    assert check_training({name: 1}) == [f"`training.{name}` is not a setting here: {OWNED[name]}"]


@pytest.mark.parametrize("name", RENAMED)
def test_every_field_of_older_versions_is_told_what_to_write(name: str) -> None:
    assert check_training({name: 1}) == [f"`training.{name}` is not a setting here: {RENAMED[name]}"]


@pytest.mark.parametrize("name", RENAMED)
def test_what_is_told_to_write_exists(name: str) -> None:
    """The new name in `write \\`name: …\\`` is a field, or a setting at the top."""
    advice = RENAMED[name]
    if not advice.startswith("write `"):
        assert advice.startswith(("leave it out", "push ", "set the environment variable"))
        return
    new = advice.split("`")[1].split(":")[0]
    if "at the top" in advice:
        assert new in ("max_length", "evaluation.batch_size")
    else:
        assert new in training_fields()


@pytest.mark.parametrize("name", training_fields())
def test_every_other_field_may_be_given_its_default(name: str) -> None:
    field = next(field for field in dataclasses.fields(TrainingArguments) if field.name == name)
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    plain = default.value if hasattr(default, "value") else default
    assert check_training({name: plain}) == []


# ---- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"max_step": 5}, "unknown key `training.max_step`; did you mean `training.max_steps`?"),
        ({"learning_rate": "fast"}, "`training.learning_rate`: expected a number, got 'fast'"),
        ({"max_steps": 1.5}, "`training.max_steps`: expected a whole number, got 1.5"),
        ({"max_steps": [5]}, "`training.max_steps`: expected a whole number, got [5]"),
        ({"bf16": "perhaps"}, "`training.bf16`: expected true or false, got 'perhaps'"),
        ({"save_total_limit": "few"}, "`training.save_total_limit`: expected a whole number, got 'few'"),
        ({"per_device_train_batch_size": 0}, "`training.per_device_train_batch_size` must be at least 1, got 0"),
        ({"gradient_accumulation_steps": 0}, "`training.gradient_accumulation_steps` must be at least 1, got 0"),
        ({"learning_rate": -1e-4}, "`training.learning_rate` must be at least 0, got -0.0001"),
        ({"eval_strategy": "sometimes"}, "`training.eval_strategy`: sometimes is not a valid IntervalStrategy"),
        ({"eval_strategy": False}, "`training.eval_strategy`: "),
        ({"optim": "adamx"}, "`training.optim`: adamx is not a valid OptimizerNames"),
        ({"lr_scheduler_type": "up"}, "`training.lr_scheduler_type`: up is not a valid SchedulerType"),
    ],
)
def test_wrong_values_are_told(values: dict[str, Any], problem: str) -> None:
    (found,) = check_training(values)
    assert found.startswith(problem)


def test_all_mistakes_are_told_at_once_under_the_path_given() -> None:
    found = check_training({"lr": 1, "max_step": 1, "bf16": "x", "optim": "x", "seed": 1}, "training")
    assert [problem.split("`")[1] for problem in found] == [
        "training.lr",
        "training.max_step",
        "training.bf16",
        "training.optim",
        "training.seed",
    ]
    assert check_training({"max_step": 1}, "finetune.training") == [
        "unknown key `finetune.training.max_step`; did you mean `finetune.training.max_steps`?"
    ]


def test_settings_that_do_not_go_together_are_told() -> None:
    (problem,) = check_training({"load_best_model_at_end": True, "save_strategy": "epoch", "eval_strategy": "steps"})
    assert problem.startswith("`training`: ") and "load_best_model_at_end" in problem


def test_a_library_that_is_missing_is_told() -> None:
    (problem,) = check_training({"deepspeed": "zero3.json"})
    assert problem.startswith("`training`: ") and "deepspeed" in problem


@pytest.mark.parametrize("value", [[1], "fast", 5])
def test_what_is_no_mapping_is_told(value: Any) -> None:
    (problem,) = check_training(value)
    assert problem.startswith("`training`: expected a mapping")


def test_keys_that_belong_elsewhere_are_told_where() -> None:
    assert check_training({"unit": "word"}, places={"unit": "objective.unit"}) == [
        "unknown key `training.unit`; `unit` belongs at `objective.unit`"
    ]


# ---- arguments ------------------------------------------------------------------------------------------------------


def test_arguments_are_what_the_recipe_says() -> None:
    args = arguments({"learning_rate": "1e-4", "max_steps": 5.0, "lr_scheduler_type": "cosine", "warmup_steps": 0.1})
    assert (args.learning_rate, args.max_steps, args.warmup_steps) == (1e-4, 5, 0.1)
    assert args.lr_scheduler_type == "cosine"
    assert (args.output_dir, args.seed, args.report_to) == ("runs/a", 3, [])


def test_our_defaults_hold_unless_the_recipe_says_otherwise() -> None:
    assert arguments({}).logging_steps == DEFAULTS["logging_steps"] == 50
    assert arguments({"logging_steps": 7}).logging_steps == 7
    assert arguments({}).remove_unused_columns is False
    assert arguments({}).disable_tqdm is True
    # Trackers never ask for a key, since there are none.
    assert arguments({}, report_to="none").report_to == []
    # Everything else is as in transformers.
    own = {"logging_steps", "logging_nan_inf_filter", "remove_unused_columns", "disable_tqdm"}
    of_the_machine = {"dataloader_pin_memory", "use_cpu", "bf16"}
    ours, theirs = arguments({}), TrainingArguments(output_dir="runs/a", seed=3, report_to="none")
    different = {name for name in ALL_FIELDS - own - of_the_machine if getattr(ours, name) != getattr(theirs, name)}
    assert different <= {"accelerator_config"}  # an object of its own in each


def test_checking_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert check_training({"max_steps": 5}) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("cpus", "workers"), [(1, 0), (2, 1), (3, 2), (16, 4)])
def test_beside_an_accelerator_workers_make_examples(monkeypatch: pytest.MonkeyPatch, cpus: int, workers: int) -> None:
    # As many as there are cores beside that of the process that trains, at most four.
    monkeypatch.setattr("acclimate.training.settings.default_workers", lambda: cpus)
    monkeypatch.setattr("multiprocessing.get_start_method", lambda allow_none: "fork")
    assert _loader_defaults({"use_cpu": False})["dataloader_num_workers"] == workers
    # Where processes are not copies, a script without a guard would start itself again.
    monkeypatch.setattr("multiprocessing.get_start_method", lambda allow_none: None)
    monkeypatch.setattr("multiprocessing.get_all_start_methods", lambda: ["spawn", "fork"])
    assert _loader_defaults({"use_cpu": False})["dataloader_num_workers"] == 0


def test_on_the_cpu_the_process_that_trains_makes_examples() -> None:
    assert _loader_defaults({"use_cpu": True}) == {"dataloader_num_workers": 0}
    args = arguments({"use_cpu": True})
    assert (args.dataloader_num_workers, args.dataloader_prefetch_factor) == (0, None)
    assert not args.dataloader_persistent_workers


def test_workers_that_are_asked_for_live_on_and_work_ahead() -> None:
    args = arguments({"use_cpu": True, "dataloader_num_workers": 3})
    assert (args.dataloader_num_workers, args.dataloader_prefetch_factor) == (3, 4)
    assert args.dataloader_persistent_workers
    # What is given holds.
    args = arguments(
        {"dataloader_num_workers": 3, "dataloader_prefetch_factor": 2, "dataloader_persistent_workers": False}
    )
    assert args.dataloader_prefetch_factor == 2 and not args.dataloader_persistent_workers
    assert arguments({"dataloader_num_workers": 0}).dataloader_num_workers == 0
