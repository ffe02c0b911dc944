"""The `training:` section of a recipe: any field of `transformers.TrainingArguments`.

The fields and their types are read off the installed `transformers`; the tables here say what we own ourselves, what
old recipes may still call by its former name, and where our defaults differ.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from transformers import TrainingArguments

from acclimate.corpus.parallel import default_workers
from acclimate.hardware import has_fast_bf16
from acclimate.recipe import describe, unknown_key

_AT_THE_TOP = "it stands at the top of the recipe: `{0}: …`, not under `training:`"
_NO_EFFECT = "it has no effect here: evaluation scores the objective's own targets, not `compute_metrics`"

# Fields of TrainingArguments that are not for recipes, and why.
OWNED: Mapping[str, str] = {
    "seed": _AT_THE_TOP.format("seed"),
    "output_dir": _AT_THE_TOP.format("output_dir"),
    "report_to": _AT_THE_TOP.format("report_to"),
    "resume_from_checkpoint": _AT_THE_TOP.format("resume_from_checkpoint"),
    "data_seed": "one `seed`, at the top of the recipe, keys every choice",
    "remove_unused_columns": "examples have just the columns that the objective needs",
    "label_smoothing_factor": "self-supervised objectives have no use for it",
    "label_names": "the objective names its labels",
    "include_for_metrics": _NO_EFFECT,
    "batch_eval_metrics": _NO_EFFECT,
    "prediction_loss_only": _NO_EFFECT,
    "eval_accumulation_steps": _NO_EFFECT,
    "eval_do_concat_batches": _NO_EFFECT,
    "eval_use_gather_object": _NO_EFFECT,
    "train_sampling_strategy": "rows are packed to one length, and their order is a function of the seed",
    "length_column_name": "rows are packed to one length",
    "dataloader_drop_last": "no example is dropped: rows run on across epochs",
    "average_tokens_across_devices": "losses are always divided by the count of targets over all processes",
    "accelerator_config": "batches are always split by process, and every process seeds its loaders alike",
    "per_device_eval_batch_size": "write `evaluation.batch_size`",
    "auto_find_batch_size": "the batch size is part of the recipe; set `per_device_train_batch_size`",
    "ignore_data_skip": "resuming goes on with the next example at no cost",
    "enable_jit_checkpoint": "SIGINT and SIGTERM save a checkpoint anyway",
    "include_num_input_tokens_seen": "tokens seen are always counted",
    "disable_tqdm": "progress is shown by the command line, and not at all from Python",
    "push_to_hub": "push the finished run folder with `hf upload`",
    "do_train": "use `acclimate pretrain`",
    "do_eval": "use `acclimate evaluate`",
    "do_predict": "use `acclimate fill`",
    "local_rank": "the launcher sets it",
}

# What older recipes may say, and what to write now.
RENAMED: Mapping[str, str] = {
    "evaluation_strategy": "write `eval_strategy`",
    "overwrite_output_dir": "leave it out; to train anew, remove the folder or choose another `output_dir`",
    "no_cuda": "write `use_cpu: true`",
    "use_mps_device": "leave it out; the device is found by itself",
    "group_by_length": "leave it out; rows are packed to one length",
    "warmup_ratio": "write `warmup_steps`; a value below 1 is a share of all steps",
    "logging_dir": "set the environment variable TENSORBOARD_LOGGING_DIR",
    "per_gpu_train_batch_size": "write `per_device_train_batch_size`",
    "per_gpu_eval_batch_size": "write `evaluation.batch_size` at the top of the recipe",
    "fp16_backend": "leave it out",
    "fp16_opt_level": "leave it out",
    "half_precision_backend": "leave it out",
    "save_safetensors": "leave it out; weights are always saved as safetensors",
    "evaluate_during_training": "write `eval_strategy: steps`",
    "max_seq_length": "write `max_length` at the top of the recipe",
    "batch_size": "write `per_device_train_batch_size`",
    "epochs": "write `num_train_epochs`",
    "num_epochs": "write `num_train_epochs`",
    "lr": "write `learning_rate`",
    "adafactor": "write `optim: adafactor`",
    "split_batches": "leave it out; batches are always split by process",
    "dispatch_batches": "leave it out; batches are always split by process",
    "push_to_hub_model_id": "push the finished run folder with `hf upload`",
}

# What `transformers` does not refuse, and nothing can be trained with.
AT_LEAST: Mapping[str, int] = {
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "dataloader_num_workers": 0,
    "learning_rate": 0,
}

# Fields that may not be zero: it would mean "none", and be taken for "not given".
NOT_ZERO = ("num_train_epochs", "max_steps")

# Where our defaults differ from those of `transformers`. A loss that is no number is shown as such; to look for it in
# every step would have an accelerator wait.
DEFAULTS: Mapping[str, Any] = {"logging_steps": 50, "logging_nan_inf_filter": False}
# What says how layers are compiled; `compute.py` does it, since the Trainer would compile the model as a whole.
COMPILE = ("torch_compile", "torch_compile_backend", "torch_compile_mode")
# What says in which precision is computed; where none of it is given, bf16 is used where it is fast.
_PRECISION = ("bf16", "fp16")
# Loader workers beside an accelerator, where the machine has the cores. (By objective, one core makes some 6,000 to
# 37,000 rows of 128 tokens a second; see `bench/data.py`.) On the CPU the model and the workers share the cores, and
# making examples is 0.1 % of a step of a small model.
NUM_WORKERS = 4
# Batches that each worker makes ahead.
PREFETCH = 4


@cache
def _fields() -> dict[str, Any]:
    hints = typing.get_type_hints(TrainingArguments)
    return {field.name: hints[field.name] for field in dataclasses.fields(TrainingArguments) if field.init}


def training_fields() -> list[str]:
    """The fields of `TrainingArguments` that a recipe may set."""
    return sorted(_fields().keys() - OWNED.keys())


def check_training(values: Any, path: str = "training", *, places: Mapping[str, str] | None = None) -> list[str]:
    """Every mistake in a `training:` section, each with its dotted path and how to mend it.

    `places` says where keys belong that stand elsewhere in a recipe: {"mlm_probability": "objective.mlm_probability"}.
    """
    if not isinstance(values, Mapping):
        return [f"`{path}`: expected a mapping of TrainingArguments, such as `num_train_epochs: 3`"]
    found = [_check_field(path, str(name), value, places or {}) for name, value in values.items()]
    problems = [problem for problem in found if problem is not None]
    if problems:
        return problems
    try:
        _build(dict(values), Path("unused"), seed=0, report_to="none")
    except (ValueError, TypeError, ImportError, RuntimeError) as error:
        return [f"`{path}`: {error}"]
    return []


def _check_field(path: str, name: str, value: Any, places: Mapping[str, str]) -> str | None:
    fields = _fields()
    if name in OWNED:
        return f"`{path}.{name}` is not a setting here: {OWNED[name]}"
    if name not in fields:
        return unknown_key(f"{path}.{name}", name, fields.keys() - OWNED.keys(), RENAMED, places)
    try:
        coerced = _adapter(name).validate_python(value)
    except ValidationError as error:
        return f"`{path}.{name}`: {describe(error.errors())}"
    for choices in typing.get_args(fields[name]):
        if isinstance(choices, type) and issubclass(choices, Enum) and isinstance(coerced, str):
            try:
                choices(coerced)
            except ValueError as error:
                return f"`{path}.{name}`: {error}"
    if name in NOT_ZERO and (coerced == 0 or (name == "num_train_epochs" and coerced < 0)):
        return f"`{path}.{name}` must be above 0, got {value}"
    if name in AT_LEAST and coerced < AT_LEAST[name]:
        return f"`{path}.{name}` must be at least {AT_LEAST[name]}, got {value}"
    return None


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(_fields()[name], config=ConfigDict(arbitrary_types_allowed=True))


def training_arguments(values: Mapping[str, Any], output_dir: Path, *, seed: int, report_to: Any) -> TrainingArguments:
    """The `TrainingArguments` that a checked `training:` section stands for."""
    args = _build(values, output_dir, seed=seed, report_to=report_to)
    # With several accelerators in sight the Trainer would run replicas in threads of one process, which share the
    # layout of packed rows; one process per accelerator is faster, too.
    args._n_gpu = min(args.n_gpu, 1)
    return args


def _loader_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """How examples are made where the values given do not say it: by workers beside an accelerator, which live as long
    as the run (an epoch of a small corpus is short), else by the process that trains."""
    workers = values.get("dataloader_num_workers")
    if workers is None:
        workers = 0 if values["use_cpu"] or not _forks() else min(NUM_WORKERS, default_workers() - 1)
    ahead = {"dataloader_prefetch_factor": PREFETCH, "dataloader_persistent_workers": True} if workers else {}
    return {"dataloader_num_workers": workers, **ahead}


def _transfer_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Batches go to a GPU while it computes: from pinned memory, and without waiting for each field."""
    pinned = values.get("dataloader_pin_memory", torch.cuda.is_available() and not values["use_cpu"])
    return {"dataloader_pin_memory": pinned, "accelerator_config": {"non_blocking": pinned}}


def _forks() -> bool:
    """Whether a new process is a copy of this one. Where it starts anew it imports everything again, and needs a guard
    in the caller's script: nothing to do unasked."""
    return (multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]) == "fork"


def _build(values: Mapping[str, Any], output_dir: Path, *, seed: int, report_to: Any) -> TrainingArguments:
    given = {name: _adapter(name).validate_python(value) for name, value in values.items()}
    # Else the Trainer takes `bf16: true` on a machine without accelerator for a mistake.
    given.setdefault("use_cpu", not torch.accelerator.is_available())
    precision = {} if any(name in given for name in _PRECISION) else {"bf16": has_fast_bf16(on_cpu=given["use_cpu"])}
    return TrainingArguments(
        **{
            **DEFAULTS,
            **precision,
            **_loader_defaults(given),
            **_transfer_defaults(given),
            **{name: value for name, value in given.items() if name not in COMPILE},
            "output_dir": str(output_dir),
            "seed": seed,
            "report_to": report_to,
            "remove_unused_columns": False,
            "disable_tqdm": True,
        }
    )
