"""An objective with a tiny model of its kind each, and texts to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, TrainerCallback, TrainingArguments

from acclimate.interop.examples import Examples
from acclimate.interop.making import examples_for
from acclimate.models.families import family
from acclimate.models.loading import load_model
from acclimate.models.settings import ModelSettings
from acclimate.objectives import find_objective
from tests.models.tiny import tiny_config
from tests.objectives.checks import NO_DROPOUT, gradients, topics
from tests.objectives.test_matrix import matrix_tokenizer

# Objectives of one part, for which a function is enough, and those of several.
ONE_PART = {
    "mlm": "bert",
    "clm": "llama",
    "span_denoising": "t5",
    "text_infilling": "bart",
    "mntp": "llama",
    "prefix_lm": "llama",
}
SEVERAL_PARTS = {"mlm_nsp": "bert", "rtd": "electra"}
CASES = {**ONE_PART, **SEVERAL_PARTS}
BATCH = 8
SEED = 42


def some_texts(number: int = 40) -> list[str]:
    return [" ".join(f"w{token}" for token in document) for document in topics(number, longest=40)]


def tokenizer_of(model_type: str) -> PreTrainedTokenizerFast:
    return matrix_tokenizer(family(tiny_config(model_type)))


def tiny(name: str) -> Any:
    """A model with the head that an objective needs, without dropout; always the same weights."""
    model_type = CASES[name]
    dropout = NO_DROPOUT["bert" if model_type == "electra" else model_type]
    config = {**tiny_config(model_type, **dropout).to_diff_dict(), "model_type": model_type, "dtype": "float32"}
    head_options = {"generator": None} if name == "rtd" else {}
    return load_model(
        ModelSettings(config=config),
        find_objective(name).head,
        tokenizer_of(model_type),
        seed=0,
        head_options=head_options,
    ).model


def examples_of(name: str, model: Any, **options: Any) -> Examples:
    return examples_for(
        some_texts(), tokenizer_of(CASES[name]), name, 32, model=model, seed=SEED, num_workers=1, **options
    )


def arguments(folder: Path, accumulation: int = 1, **values: Any) -> TrainingArguments:
    """One step of `BATCH` examples; the gradient is not clipped."""
    defaults: dict[str, Any] = {
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "seed": SEED,
        "per_device_train_batch_size": BATCH // accumulation,
        "gradient_accumulation_steps": accumulation,
        "max_steps": 1,
        "max_grad_norm": 0.0,
        "save_strategy": "no",
        "logging_strategy": "no",
        "train_sampling_strategy": "sequential",
    }
    return TrainingArguments(str(folder), **{**defaults, **values})


class Gradients(TrainerCallback):
    """Keeps the gradients of the first step."""

    def __init__(self) -> None:
        self.first: dict[str, torch.Tensor] = {}

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if not self.first:
            self.first = gradients(model)
