"""Warm up a fresh head on general text, the rest of the model frozen.

An encoder without a masked-LM head gets one of random weights. What it then says is no honest "before": any training
would look like a gain. So the head alone is trained first, on general text, until its loss no longer falls; base plus
warmed head is the model that the run starts from and is compared with.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from acclimate.progress import Listener
from acclimate.training.callbacks import ProgressTeller, StopOnSignal
from acclimate.training.compute import ComputeSettings, set_up
from acclimate.training.settings import training_arguments
from acclimate.training.stream import ExampleDataset
from acclimate.training.trainer import ObjectiveTrainer

# The loss is logged for stretches of so many steps. When the mean of the last four is less than 1 % below that of the
# four before, the head is warm. One stretch against the next would stop at the first plateau: a new head learns how
# often tokens occur long before it learns to read the layers below.
STRETCH = 25
WINDOW = 4
SMALLEST_FALL = 0.01
LEARNING_RATE = 1e-3
BATCH_TOKENS = 2048
# What of the recipe's `training:` holds for the warm-up too: where and in which precision is computed.
_MACHINE = ("use_cpu", "bf16", "fp16", "tf32", "dataloader_num_workers", "ddp_backend")


class _StopAtPlateau(TrainerCallback):  # type: ignore[misc]
    def __init__(self) -> None:
        self.losses: list[float] = []
        self.leveled_off = False

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))
            last, before = self.losses[-WINDOW:], self.losses[-2 * WINDOW : -WINDOW]
            if len(before) == WINDOW and sum(last) > (1 - SMALLEST_FALL) * sum(before):
                self.leveled_off = True
                control.should_training_stop = True


def warm_up_head(
    model: PreTrainedModel,
    new_parameters: Sequence[str],
    dataset: ExampleDataset,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_steps: int,
    seed: int,
    listener: Listener,
    training: Mapping[str, Any],
    compute: ComputeSettings,
) -> dict[str, Any]:
    """Train only `new_parameters` on general text until the loss levels off or `max_steps` are done.

    Args:
        training: the recipe's `training:` section, of which device and precision are taken.
        compute: how it is computed.

    Returns:
        steps, tokens, the loss of the first and last stretch, and whether the loss leveled off, for the manifest.
    """
    frozen = [parameter for name, parameter in model.named_parameters() if name not in set(new_parameters)]
    was_training = [parameter.requires_grad for parameter in frozen]
    for parameter in frozen:
        parameter.requires_grad_(False)
    plateau = _StopAtPlateau()
    try:
        with tempfile.TemporaryDirectory() as folder, StopOnSignal(listener) as stop:
            values = {
                **{name: training[name] for name in _MACHINE if name in training},
                "per_device_train_batch_size": max(1, BATCH_TOKENS // dataset.objective.max_length),
                "max_steps": max_steps,
                "learning_rate": LEARNING_RATE,
                "lr_scheduler_type": "constant_with_warmup",
                "warmup_steps": STRETCH,
                "logging_steps": STRETCH,
                "save_strategy": "no",
            }
            args = training_arguments(values, Path(folder), seed=seed, report_to="none")
            set_up(model, compute, args, {})
            trainer = ObjectiveTrainer(model, args, dataset, tokenizer, callbacks=[plateau, stop])
            trainer.add_callback(ProgressTeller(listener, "warming up the new head", lambda: trainer.tokens_seen))
            trainer.train()
            if stop.received is not None:
                stop.interrupt("stopped while warming up the new head; the same command starts over")
    finally:
        for parameter, flag in zip(frozen, was_training, strict=True):
            parameter.requires_grad_(flag)
    return {
        "steps": trainer.state.global_step,
        "tokens": trainer.tokens_seen,
        "first_loss": plateau.losses[0] if plateau.losses else None,
        "last_loss": plateau.losses[-1] if plateau.losses else None,
        "leveled_off": plateau.leveled_off,
    }
