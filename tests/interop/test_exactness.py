"""Loss and gradient in other people's loops are those of our own Trainer for the same examples, for any accumulation.

Micro-batches have unequal numbers of targets, so that a mean of their means would be another loss.
"""

from __future__ import annotations

import functools
import itertools
import tempfile
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from transformers import Trainer
from transformers.modeling_outputs import MaskedLMOutput

from acclimate.errors import ModelError
from acclimate.interop.trainer import ObjectiveTrainerMixin
from acclimate.training.stream import ExampleDataset
from acclimate.training.trainer import ObjectiveTrainer
from tests.interop.cases import (
    BATCH,
    CASES,
    ONE_PART,
    SEVERAL_PARTS,
    Gradients,
    arguments,
    examples_of,
    tiny,
    tokenizer_of,
)
from tests.objectives.checks import check_gradients, gradients

Step = tuple[float, dict[str, torch.Tensor]]


class MyTrainer(ObjectiveTrainerMixin, Trainer):
    """What a user writes."""


@functools.cache
def ours(name: str) -> Step:
    """The first step of `ObjectiveTrainer`, in one micro-batch."""
    model = tiny(name)
    examples = examples_of(name, model)
    dataset = ExampleDataset(examples.objective, examples.by_key.store, examples.by_key.plan)
    kept = Gradients()
    with tempfile.TemporaryDirectory() as folder:
        args = arguments(Path(folder), remove_unused_columns=False)
        trainer = ObjectiveTrainer(model, args, dataset, tokenizer_of(CASES[name]), callbacks=[kept])
        return trainer.train().training_loss, kept.first


def by_mixin(name: str, accumulation: int, folder: Path) -> Step:
    model = tiny(name)
    kept = Gradients()
    trainer = MyTrainer(
        model, arguments(folder, accumulation), train_dataset=examples_of(name, model), callbacks=[kept]
    )
    return trainer.train().training_loss, kept.first


def by_function(name: str, accumulation: int, folder: Path) -> Step:
    """The stock Trainer, with a function."""
    model = tiny(name)
    examples = examples_of(name, model)
    kept = Gradients()
    trainer = Trainer(
        model,
        arguments(folder, accumulation),
        train_dataset=examples,
        data_collator=examples.collate,
        compute_loss_func=examples.compute_loss,
        callbacks=[kept],
    )
    return trainer.train().training_loss, kept.first


def by_loop(name: str, accumulation: int, folder: Path) -> Step:
    """A loop of one's own, with `accelerate`."""
    accelerator = Accelerator(cpu=True)
    model = tiny(name)
    examples = examples_of(name, model)
    loader = examples.loader(BATCH // accumulation, num_steps=1, accumulation=accumulation)
    model, loader = accelerator.prepare(model, loader)
    batches = list(itertools.islice(loader, accumulation))
    counts = accelerator.reduce(examples.counts(batches))
    total = 0.0
    model.train()
    for batch in batches:
        loss = examples.loss(model, batch, counts, num_processes=accelerator.num_processes)
        accelerator.backward(loss)
        total += loss.item()
    return total, gradients(model)


WAYS = {"mixin": by_mixin, "function": by_function, "loop": by_loop}


@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize(
    ("name", "way"),
    [*itertools.product(ONE_PART, WAYS), *itertools.product(SEVERAL_PARTS, ("mixin", "loop"))],
)
def test_loss_and_gradient_are_ours(name: str, way: str, accumulation: int, tmp_path: Path) -> None:
    loss, found = WAYS[way](name, accumulation, tmp_path)
    expected_loss, expected = ours(name)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    check_gradients(found, expected, rtol=1e-4)


@pytest.mark.parametrize("name", SEVERAL_PARTS)
def test_a_function_cannot_divide_by_the_counts_of_several_parts(name: str) -> None:
    examples = examples_of(name, tiny(name))
    with pytest.raises(ModelError, match="ObjectiveTrainerMixin"):
        _ = examples.compute_loss


def test_outputs_without_logits_are_told() -> None:
    examples = examples_of("mlm", tiny("mlm"))
    with pytest.raises(ModelError, match="no `logits`: load it with its head"):
        examples.compute_loss({"last_hidden_state": torch.zeros(1)}, torch.zeros(1, 1, dtype=torch.long))


def test_no_target_is_no_loss() -> None:
    # A mean over nothing would be NaN.
    examples = examples_of("mlm", tiny("mlm"))
    labels = torch.full((1, 4), -100)
    assert examples.compute_loss(MaskedLMOutput(logits=torch.zeros(1, 4, 120)), labels) == 0
