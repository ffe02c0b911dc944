"""The objectives' Trainer as a mixin, for a `Trainer` of one's own."""

from __future__ import annotations

from typing import Any

from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from acclimate.errors import RecipeError
from acclimate.interop.examples import Examples, prepare
from acclimate.training.trainer import ObjectiveTrainer


class _PassingOn(Trainer):  # type: ignore[misc]
    """Stands behind `ObjectiveTrainer` in the order of classes, and hands what that does not know of to the user's
    `Trainer`."""

    _further_arguments: dict[str, Any]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**{**arguments, **self._further_arguments})


class ObjectiveTrainerMixin(ObjectiveTrainer, _PassingOn):
    """Gives a `Trainer` an objective's examples and its exact loss:

        class MyTrainer(acclimate.ObjectiveTrainerMixin, Trainer): ...

        trainer = MyTrainer(model, args, train_dataset=examples)

    Any subclass of `Trainer` may stand behind it. What it changes: the loss is divided by the targets of the whole
    effective batch, over accumulation steps and processes, part by part; examples come in the order of `args.seed`,
    masked anew in every epoch; dropout is a function of seed and step, so that resuming is exact; checkpoints are whole
    or absent; `tokens_seen` is logged. `evaluate` gives `Examples.score`.
    """

    def __init__(
        self,
        model: Any,
        args: TrainingArguments | None = None,
        data_collator: Any = None,
        train_dataset: Examples | None = None,
        eval_dataset: Examples | None = None,
        processing_class: Any = None,
        *,
        callbacks: list[Any] | None = None,
        **arguments: Any,
    ) -> None:
        """
        Args:
            model: with its head; prepared for packed rows where the examples have them.
            args: as ever. `max_steps` is set from `num_train_epochs` where it is not given.
            data_collator: not needed; the examples have their own.
            train_dataset, eval_dataset: made by `examples_for`.
            processing_class: the tokenizer, saved beside the model.
            callbacks, arguments: of the `Trainer` behind.

        Raises:
            RecipeError: the data sets are no `Examples`, or several accelerators are driven by one process.
        """
        for name, dataset in (("train_dataset", train_dataset), ("eval_dataset", eval_dataset)):
            if not isinstance(dataset, Examples) and (dataset is not None or name == "train_dataset"):
                raise RecipeError(
                    f"`{name}` is of type {type(dataset).__name__}; make it by `acclimate.examples_for(texts, "
                    "tokenizer, model=model)`"
                )
        assert train_dataset is not None
        args = TrainingArguments() if args is None else args
        if args.n_gpu > 1:
            raise RecipeError(
                f"one process sees {args.n_gpu} accelerators, and would copy the model to threads, in which texts of "
                "packed rows do not stay apart; start one process for each (`torchrun --nproc-per-node`), or show it "
                "one (CUDA_VISIBLE_DEVICES=0)"
            )
        if train_dataset.packed or train_dataset.objective.directs:
            prepare(model)
        self._further_arguments = {**arguments, "eval_dataset": eval_dataset}
        super().__init__(model, args, train_dataset.by_key, processing_class, callbacks=callbacks)
        if args.disable_tqdm:
            self.add_callback(PrinterCallback)

    def evaluate(
        self, eval_dataset: Examples | None = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """The measures of `Examples.score`, logged; of `eval_dataset`, default the one that the Trainer has."""
        examples = self.eval_dataset if eval_dataset is None else eval_dataset
        if not isinstance(examples, Examples):
            raise RecipeError(
                "there are no examples to evaluate on: give `eval_dataset`, made by `acclimate.examples_for`"
            )
        self._evaluate_held_out = lambda model: examples.score(model, self.args.eval_batch_size)
        return super().evaluate(None, ignore_keys, metric_key_prefix)
