"""The Hugging Face `Trainer` with an objective plugged in.

What differs from the stock Trainer, and why:

- The loss is Σ over parts of weight · sum / count, where the counts are of the whole effective batch, over
  accumulation steps and processes. So accumulation 1 and 4 give the same gradient; the stock Trainer's is inflated
  for most masked-LM heads (transformers#47688).
- Examples come from a stream that is a function of the seed (`stream.py`), and torch is reseeded for every
  micro-step, so that dropout depends on neither loader workers nor evaluation, and a resumed run is the same run.
- Checkpoints are written aside and renamed (`checkpoints.py`).
- Evaluation asks a function given by the caller, which scores the held-out text exactly (no mean of batch means).
"""

from __future__ import annotations

import functools
import itertools
import math
import shutil
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import TrainOutput, rotate_checkpoints

from acclimate.errors import writing_to
from acclimate.models.generators import GeneratorAndDiscriminator
from acclimate.objectives.base import Batch, Objective
from acclimate.randomness import Purpose
from acclimate.training.checkpoints import put_in_place, staging_folder
from acclimate.training.stream import ExampleDataset, Order, StreamSampler, TokenCounter
from acclimate.training.waiting import WaitingClock

EvaluateHeldOut = Callable[[PreTrainedModel], dict[str, float]]


def global_batch_size(args: TrainingArguments) -> int:
    """Examples per optimizer step, over all processes and accumulation steps."""
    examples: int = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    return examples


def settle_steps(args: TrainingArguments, dataset: ExampleDataset) -> None:
    """Set `max_steps` from `num_train_epochs` where it is not given."""
    if args.max_steps <= 0:
        args.max_steps = steps_for_epochs(Order.of(dataset, args.seed), args)


def steps_for_epochs(order: Order, args: TrainingArguments) -> int:
    """Optimizer steps for `num_train_epochs`; the last batch runs on into the next epoch where it has to."""
    examples = order.epoch_length * Fraction(args.num_train_epochs)
    return max(1, math.ceil(examples / global_batch_size(args)))


class ObjectiveTrainer(Trainer):  # type: ignore[misc]
    """Trains a model by an `Objective`."""

    loss_is_scaled_for_ga = True
    control: TrainerControl
    state: TrainerState

    def __init__(
        self,
        model: PreTrainedModel,
        args: TrainingArguments,
        dataset: ExampleDataset,
        tokenizer: PreTrainedTokenizerBase,
        *,
        held_out: ExampleDataset | None = None,
        evaluate_held_out: EvaluateHeldOut | None = None,
        callbacks: list[TrainerCallback] | None = None,
        length_multiple: int = 1,
    ) -> None:
        """
        Args:
            model: prepared for packed rows where the dataset has them.
            args: `max_steps` is set from `num_train_epochs` where it is not given.
            dataset: what to train on.
            tokenizer: saved beside the model.
            held_out: held-out examples; must be given where `args.eval_strategy` is not "no".
            evaluate_held_out: gives the metrics of a model on them, without prefix.
            length_multiple: rows of a batch are padded to a multiple of it, as compiled layers want it.
        """
        self.objective: Objective = dataset.objective
        self._evaluate_held_out = evaluate_held_out
        self.order = Order.of(dataset, args.seed)
        self._token_counter = TokenCounter(dataset, args.seed)
        self._micro_step = 0
        self._start_step: int | None = None  # the first step of this session; a resumed run has others before
        self._clock = WaitingClock()
        self._saving = False
        settle_steps(args, dataset)
        super().__init__(
            model=model,
            args=args,
            train_dataset=dataset,
            eval_dataset=held_out,
            processing_class=tokenizer,
            data_collator=functools.partial(self.objective.collate, multiple=length_multiple),
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)

    # ---- order -------------------------------------------------------------------------------------------------

    def _get_train_sampler(self, train_dataset: Any = None) -> StreamSampler:
        return StreamSampler(self.order, global_batch_size(self.args))

    @property
    def examples_seen(self) -> int:
        """Examples trained on so far, replayed ones included."""
        return int(self.state.global_step) * global_batch_size(self.args)

    @property
    def tokens_seen(self) -> int:
        """Tokens trained on so far, replayed ones included, padding not."""
        return self._token_counter.upto(self.examples_seen)

    # ---- loss --------------------------------------------------------------------------------------------------

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device
    ) -> tuple[list[Batch], torch.Tensor]:
        """The micro-batches of one optimizer step, and their counts of targets per part, over all processes: [P]."""
        if self._start_step is None:
            self._start_step = self.state.global_step
        with self._clock.waiting():
            batches = list(itertools.islice(epoch_iterator, num_batches))
        # Counted where the batches are: to fetch a number from an accelerator is to wait for all that it has to do.
        dtype = torch.float32 if device.type == "mps" else torch.float64
        counts = torch.zeros(len(self.objective.parts), dtype=dtype, device=device)
        for batch in batches:
            counts += self.objective.counts(batch).to(device, dtype)
        if self.args.world_size > 1:
            counts = self.accelerator.reduce(counts, reduction="sum")
        self._micro_step = 0
        return batches, counts

    def training_step(
        self, model: torch.nn.Module, inputs: Batch, num_items_in_batch: torch.Tensor | None = None
    ) -> torch.Tensor:
        self._reseed()
        self._micro_step += 1
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        return loss

    def _reseed(self) -> None:
        entropy = [
            self.args.seed,
            int(Purpose.DROPOUT),
            self.state.global_step,
            self._micro_step,
            self.args.process_index,
        ]
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1))

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> Any:
        """Σ over parts of weight · sum / count · processes: averaged over processes by DDP, this is the loss over the
        whole effective batch."""
        sums = self.objective.sums(model, inputs)
        counts = self.objective.counts(inputs).to(sums.device) if num_items_in_batch is None else num_items_in_batch
        weights = torch.tensor(self.objective.weights, dtype=sums.dtype, device=sums.device)
        loss = (weights * sums / counts.clamp(min=1).to(sums.dtype)).sum() * self.accelerator.num_processes
        return (loss, None) if return_outputs else loss

    # ---- logs, evaluation, checkpoints -------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        # The Trainer's epochs are rounded up to whole batches; ours are passes over the rows.
        self.state.epoch = self.order.documents_before(self.examples_seen) / self.order.num_rows
        logs["tokens_seen"] = self.tokens_seen
        if "loss" in logs:
            logs["data_wait_share"] = round(self._clock.share(), 4)
        elif "train_runtime" in logs:
            logs["data_wait_share"] = round(self._clock.overall_share(), 4)
            self._clock = WaitingClock()
        super().log(logs, start_time)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        assert self._evaluate_held_out is not None, "eval_strategy needs held-out examples"
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self._evaluate_held_out(self.model).items()}
        self.model.train()
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _get_output_dir(self, trial: Any) -> str:
        run_folder = Path(super()._get_output_dir(trial))
        return str(staging_folder(run_folder) if self._saving else run_folder)

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        run_folder = Path(self._get_output_dir(trial))
        step = self.state.global_step
        with writing_to(run_folder):
            if self.args.should_save:
                shutil.rmtree(staging_folder(run_folder), ignore_errors=True)
            self.accelerator.wait_for_everyone()
            self._saving = True
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self._saving = False
            self.accelerator.wait_for_everyone()
            staged_best = str(staging_folder(run_folder) / f"checkpoint-{step}")
            if self.state.best_model_checkpoint == staged_best:
                self.state.best_model_checkpoint = str(run_folder / f"checkpoint-{step}")
            if self.args.should_save:
                self.state.save_to_json(str(Path(staged_best) / "trainer_state.json"))
                put_in_place(run_folder, step)
                rotate_checkpoints(
                    output_dir=str(run_folder),
                    save_total_limit=self.args.save_total_limit,
                    best_model_checkpoint=self.state.best_model_checkpoint,
                    use_mtime=False,
                )
            self.accelerator.wait_for_everyone()

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        model = self.accelerator.unwrap_model(self.model)
        if not isinstance(model, GeneratorAndDiscriminator):
            super()._save(output_dir, state_dict)
        if not self.args.should_save:
            return
        folder = Path(output_dir or self.args.output_dir)
        if isinstance(model, GeneratorAndDiscriminator):
            # The stock Trainer would put the weights of both into one file, which no class of transformers reads.
            model.save_pretrained(folder)
            self.processing_class.save_pretrained(folder)
            torch.save(self.args, folder / TRAINING_ARGS_NAME)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if isinstance(self.model, GeneratorAndDiscriminator):
            self.model.load_weights(resume_from_checkpoint)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        if isinstance(self.model, GeneratorAndDiscriminator):
            self.model.load_weights(self.state.best_model_checkpoint)
        else:
            super()._load_best_model()

    def take_finished(self, checkpoint: Path) -> TrainOutput:
        """Take over a checkpoint of the last step, instead of training: the run was cut off while it was finishing.

        (The stock Trainer would train one step more.)
        """
        self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        self._start_step = self.state.global_step
        best = self.state.best_model_checkpoint if self.args.load_best_model_at_end else None
        self._load_from_checkpoint(best or str(checkpoint))
        losses = [record["loss"] for record in self.state.log_history if "loss" in record]
        metrics = {
            "train_runtime": 0.0,
            "train_samples_per_second": 0.0,
            "train_steps_per_second": 0.0,
            "total_flos": self.state.total_flos,
            "train_loss": sum(losses) / len(losses) if losses else float("nan"),
            "epoch": self.state.epoch or 0.0,
        }
        return TrainOutput(self.state.global_step, metrics["train_loss"], metrics)

    def summary(self, output: TrainOutput) -> dict[str, float]:
        """The figures that end a run, as people know them from Trainer, and the tokens seen."""
        metrics = dict(output.metrics)
        runtime = metrics.get("train_runtime", 0.0)
        session_tokens = self.tokens_seen - self._token_counter.upto(
            (self._start_step or 0) * global_batch_size(self.args)
        )
        replayed = self._token_counter.replayed_upto(self.examples_seen)
        return {
            "global_step": output.global_step,
            **metrics,
            "tokens_seen": self.tokens_seen,
            **({"replayed_tokens_seen": replayed} if replayed else {}),
            "train_tokens_per_second": session_tokens / runtime if runtime else 0.0,
        }
