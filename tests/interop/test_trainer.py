"""The mixin: an objective's Trainer before a Trainer of one's own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoModelForPreTraining, Trainer, TrainingArguments

from acclimate.errors import RecipeError
from acclimate.interop.trainer import ObjectiveTrainerMixin
from tests.interop.cases import arguments, examples_of, tiny, tokenizer_of


class TheirTrainer(Trainer):
    """A Trainer of somebody's own, with an argument of its own."""

    def __init__(self, *, greeting: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.greeting = greeting
        self.steps: list[float] = []

    def training_step(self, *arguments: Any) -> torch.Tensor:
        loss = super().training_step(*arguments)
        self.steps.append(loss.item())
        return loss


class MyTrainer(ObjectiveTrainerMixin, TheirTrainer):
    pass


class Plain(ObjectiveTrainerMixin, Trainer):
    pass


def digest(model: torch.nn.Module) -> str:
    return hashlib.sha256(b"".join(value.detach().numpy().tobytes() for value in model.parameters())).hexdigest()


def test_it_stands_before_any_trainer(tmp_path: Path) -> None:
    model = tiny("mlm")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = MyTrainer(
        model,
        arguments(tmp_path, 2),
        train_dataset=examples_of("mlm", model),
        greeting="hello",
        optimizers=(optimizer, None),
    )
    trainer.train()
    assert trainer.greeting == "hello" and len(trainer.steps) == 2
    assert trainer.optimizer.optimizer is optimizer


def test_a_run_that_was_cut_off_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    # Dropout is on, and the cut is within the second epoch: 35 rows are 5 steps of 8.
    ends = {}
    for name, stops in (("whole", [9]), ("cut", [6, 9])):
        for stop in stops:
            model = tiny("mlm")
            for module in model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.1
            examples = examples_of("mlm", model)
            assert len(examples) == 35
            args = arguments(
                tmp_path / name,
                2,
                max_steps=stop,
                lr_scheduler_type="constant",
                save_strategy="steps",
                save_steps=6,
                logging_strategy="steps",
                logging_steps=1,
            )
            trainer = Plain(model, args, train_dataset=examples)
            trainer.train(resume_from_checkpoint=stop != stops[0])
        ends[name] = digest(model), [record["loss"] for record in trainer.state.log_history if "loss" in record]
    assert ends["cut"] == ends["whole"]


def test_it_logs_tokens_and_scores_examples(tmp_path: Path) -> None:
    model = tiny("mlm")
    examples, held_out = examples_of("mlm", model), examples_of("mlm", model, mlm_probability=0.3)
    args = arguments(tmp_path, max_steps=2, eval_strategy="steps", eval_steps=1, per_device_eval_batch_size=4)
    trainer = Plain(model, args, train_dataset=examples, eval_dataset=held_out)
    trainer.train()
    measures = [record for record in trainer.state.log_history if "eval_loss" in record]
    assert len(measures) == 2
    assert measures[-1]["eval_loss"] == pytest.approx(held_out.score(model)["loss"])
    rows = [examples.by_key[int(key)] for key in examples.order.keys(0, 16)]
    assert measures[-1]["tokens_seen"] == sum(len(row["input_ids"]) for row in rows)
    assert trainer.evaluate(examples)["eval_loss"] == pytest.approx(examples.score(model)["loss"])


def test_generator_and_discriminator_are_saved_side_by_side(tmp_path: Path) -> None:
    model = tiny("rtd")
    trainer = Plain(
        model,
        arguments(tmp_path, max_steps=2, save_strategy="steps", save_steps=2),
        train_dataset=examples_of("rtd", model),
        processing_class=tokenizer_of("electra"),
    )
    trainer.train()
    for folder in (tmp_path / "checkpoint-2", tmp_path / "model"):
        if folder.name == "model":
            trainer.save_model(str(folder))
        discriminator = AutoModelForPreTraining.from_pretrained(folder)
        generator = AutoModelForMaskedLM.from_pretrained(folder / "generator")
        assert digest(discriminator) == digest(model.discriminator)
        assert torch.equal(generator.get_input_embeddings().weight, model.generator.get_input_embeddings().weight)


def test_epochs_become_steps(tmp_path: Path) -> None:
    model = tiny("mlm")
    examples = examples_of("mlm", model)
    trainer = Plain(model, arguments(tmp_path, max_steps=-1, num_train_epochs=2), train_dataset=examples)
    trainer.train()
    assert trainer.state.global_step == examples.num_steps(2, 8) == -(-2 * len(examples) // 8)


def test_other_data_sets_are_refused(tmp_path: Path) -> None:
    model = tiny("mlm")
    examples = examples_of("mlm", model)
    with pytest.raises(RecipeError, match=r"`train_dataset` is of type list; make it by `acclimate.examples_for"):
        Plain(model, arguments(tmp_path), train_dataset=[{"input_ids": [1]}])
    with pytest.raises(RecipeError, match="`train_dataset` is of type NoneType"):
        Plain(model, arguments(tmp_path))
    with pytest.raises(RecipeError, match="`eval_dataset` is of type list"):
        Plain(model, arguments(tmp_path), train_dataset=examples, eval_dataset=[1])
    trainer = Plain(model, arguments(tmp_path), train_dataset=examples)
    with pytest.raises(RecipeError, match="no examples to evaluate on"):
        trainer.evaluate()


def test_copies_of_a_model_in_threads_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("mlm")
    monkeypatch.setattr(TrainingArguments, "n_gpu", 2)
    with pytest.raises(RecipeError, match="one process sees 2 accelerators"):
        Plain(model, arguments(tmp_path), train_dataset=examples_of("mlm", model))
