"""What is checked of every objective in the same way: sameness of examples, gradients, packs, learning, saving."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.data_loader import BatchSamplerShard
from transformers import PreTrainedTokenizerBase, TrainerCallback

from acclimate.models.loading import prepare_for_packs
from acclimate.objectives.base import BY_ALL, BY_LATER, IGNORE, INPUT_PLACES, LABEL_PLACES, Batch, Fields, Objective
from acclimate.objectives.encoder_decoder import encoder_decoder_inputs
from acclimate.objectives.predictions import model_inputs
from acclimate.objectives.rows import NO_PLACE, count_places
from acclimate.tokens.packing import Plan
from acclimate.training.settings import training_arguments
from acclimate.training.stream import ExampleDataset, Order, StreamSampler
from acclimate.training.trainer import ObjectiveTrainer
from tests.objectives.tiny import FIRST_REGULAR, tokenizer

# Dropout by the names that configurations have for it; what a configuration does not have, it ignores.
NO_DROPOUT: dict[str, dict[str, float]] = {
    "bart": {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0},
    "albert": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "classifier_dropout_prob": 0.0},
    "bert": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "electra": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "gpt2": {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "llama": {},
    "t5": {"dropout_rate": 0.0},
}


def texts(
    number: int, *, seed: int = 0, longest: int = 60, first: int = FIRST_REGULAR, last: int = 80
) -> list[list[int]]:
    """Documents of random tokens, of 3 to `longest`."""
    rng = np.random.default_rng(seed)
    return [rng.integers(first, last, size).tolist() for size in rng.integers(3, longest + 1, number)]


def chain(number: int, *, seed: int = 0, longest: int = 60, size: int = 24) -> list[list[int]]:
    """Documents of a Markov chain over `size` tokens: each has two successors, one of them nine times in ten. The
    entropy of the next token is 0.33 nats, that of a token by itself ln `size`."""
    rng = np.random.default_rng(seed)
    documents = []
    for length in rng.integers(8, longest + 1, number):
        steps = np.where(rng.random(length) < 0.9, 1, 5)
        documents.append((FIRST_REGULAR + (rng.integers(size) + np.cumsum(steps)) % size).tolist())
    return documents


def topics(number: int, *, seed: int = 0, longest: int = 60, num_topics: int = 8, size: int = 3) -> list[list[int]]:
    """Documents that each keep to the `size` tokens of one of `num_topics` topics: a token by itself has
    ln(num_topics · size) nats, one whose neighbours are known ln `size`."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(8, longest + 1, number)
    return [
        (FIRST_REGULAR + size * topic + rng.integers(size, size=length)).tolist()
        for topic, length in zip(rng.integers(num_topics, size=number), lengths, strict=True)
    ]


def unigram_entropy(tokens: np.ndarray) -> float:
    """Nats of a token by itself: what a model reaches that knows frequencies only."""
    shares = np.unique(tokens, return_counts=True)[1] / len(tokens)
    return float(-(shares * np.log(shares)).sum())


def epoch_of(subject: Objective, store: Any, plan: Plan, epoch: int = 0) -> list[Fields]:
    """All examples of an epoch."""
    return [subject.example(store, plan, epoch * len(plan) + number) for number in range(len(plan))]


# ---- the same arrays -------------------------------------------------------------------------------------------


def check_workers(subject: Objective, store: Any, plan: Plan, workers: int) -> None:
    """A loader gives the examples of its keys, however many workers it has."""
    sampler = StreamSampler(Order(len(plan), seed=1), 8)
    sampler.set_epoch(2)
    loader = torch.utils.data.DataLoader(
        ExampleDataset(subject, store, plan),
        batch_size=4,
        sampler=sampler,
        num_workers=workers,
        collate_fn=subject.collate,
    )
    expected = [subject.example(store, plan, key) for key in sampler]
    number = 0
    for number, batch in enumerate(loader, start=1):
        _equal_batches(batch, subject.collate(expected[4 * number - 4 : 4 * number]))
    assert 4 * number == len(expected)


def check_processes(make: Callable[[], Objective], store: Any, plan: Plan) -> None:
    """The batches of two processes are together those of one. Each process has an objective of its own, which knows
    nothing of what the other did."""
    sampler = StreamSampler(Order(len(plan), seed=1), 8)
    sampler.set_epoch(1)
    batches = torch.utils.data.BatchSampler(sampler, 4, drop_last=False)
    one = make()
    expected = [one.collate([one.example(store, plan, key) for key in keys]) for keys in batches]
    assert len(expected) >= 4
    for index in range(2):
        subject = make()
        shard = list(BatchSamplerShard(batches, num_processes=2, process_index=index))
        found = [subject.collate([subject.example(store, plan, key) for key in keys]) for keys in shard]
        for batch, again in zip(found, expected[index::2], strict=True):
            _equal_batches(batch, again)


def _equal_batches(batch: Batch, again: Batch) -> None:
    assert batch.keys() == again.keys()
    assert all(torch.equal(batch[name], again[name]) for name in batch)


# ---- places ----------------------------------------------------------------------------------------------------


def exposed(store: Any, examples: Iterable[Fields]) -> tuple[np.ndarray, np.ndarray]:
    """[T], [T] how often each token of a store is an input, and how often a target; every label is what stands at its
    place."""
    examples = list(examples)
    for example in examples:
        known = example[LABEL_PLACES] != NO_PLACE
        assert np.array_equal(store.ids[example[LABEL_PLACES][known]], example["labels"][known])
        assert (example["labels"][known] != IGNORE).all()
    inputs = count_places([example[INPUT_PLACES] for example in examples], len(store))
    return inputs, count_places([example[LABEL_PLACES] for example in examples], len(store))


# ---- losses and gradients --------------------------------------------------------------------------------------


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """{name: gradient} of every parameter; zero where a parameter has none."""
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        for name, parameter in model.named_parameters()
    }


def check_gradients(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], *, rtol: float = 1e-5) -> None:
    """Equal by name, to `rtol` and a millionth of the largest gradient; not all zero."""
    assert ours.keys() == theirs.keys()
    largest = max(float(gradient.abs().max()) for gradient in ours.values())
    assert largest > 0
    for name, gradient in ours.items():
        assert torch.allclose(gradient, theirs[name], rtol=rtol, atol=1e-6 * largest), name


def loss_of(subject: Objective, model: Any, batch: Batch) -> torch.Tensor:
    """Σ over parts of weight · sum / count, as the Trainer has it."""
    return (torch.tensor(subject.weights) * subject.sums(model, batch) / subject.counts(batch).clamp(min=1)).sum()


def check_padding(subject: Objective, model: Any, examples: list[Fields]) -> None:
    """Sums and gradients of a batch of unequal lengths are those of its rows one by one."""
    assert len({len(example["input_ids"]) for example in examples}) > 1
    weights = torch.tensor(subject.weights)
    found = []
    for batches in ([subject.collate(examples)], [subject.collate([example]) for example in examples]):
        model.zero_grad()
        sums = [subject.sums(model, batch) for batch in batches]
        (weights * torch.stack(sums)).sum().backward()
        found.append((torch.stack(sums).sum(0).detach(), gradients(model)))
    assert torch.allclose(found[0][0], found[1][0], rtol=1e-5)
    check_gradients(found[0][1], found[1][1], rtol=1e-4)


class _FirstGradients(TrainerCallback):
    def __init__(self) -> None:
        self.first: dict[str, torch.Tensor] = {}

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if not self.first:
            self.first = gradients(model)


def make_trainer(
    subject: Objective,
    store: Any,
    plan: Plan,
    model: Any,
    folder: Path,
    *,
    saved_with: PreTrainedTokenizerBase | None = None,
    callbacks: Any = None,
    **values: Any,
) -> ObjectiveTrainer:
    """A Trainer on the CPU that saves nothing by itself; the model is prepared where rows have several texts, or say
    who sees whom.

    Args:
        saved_with: the tokenizer beside the model; the Trainer gives its special tokens to the configuration.
    """
    defaults: dict[str, Any] = {
        "use_cpu": True,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_strategy": "no",
    }
    if subject.directs or (subject.packs and len(plan.pieces) > len(plan)):
        prepare_for_packs(model)
    args = training_arguments({**defaults, **values}, folder, seed=3, report_to="none")
    return ObjectiveTrainer(
        model, args, ExampleDataset(subject, store, plan), saved_with or tokenizer(), callbacks=callbacks
    )


def check_accumulation(subject: Objective, store: Any, plan: Plan, make_model: Callable[[], Any], folder: Path) -> None:
    """One step over eight examples: loss and gradient are the same at once and in four parts."""
    found = {}
    for steps in (1, 4):
        kept = _FirstGradients()
        trainer = make_trainer(
            subject,
            store,
            plan,
            make_model(),
            folder / str(steps),
            callbacks=[kept],
            per_device_train_batch_size=8 // steps,
            gradient_accumulation_steps=steps,
            max_steps=1,
            max_grad_norm=0.0,
        )
        found[steps] = (trainer.train().training_loss, kept.first)
    assert math.isclose(found[4][0], found[1][0], rel_tol=1e-5)
    check_gradients(found[4][1], found[1][1], rtol=1e-4)


# ---- packs -----------------------------------------------------------------------------------------------------


def inputs_of(batch: Batch) -> Batch:
    """What a model's forward takes of a batch."""
    return encoder_decoder_inputs(batch) if "decoder_input_ids" in batch else model_inputs(batch)


def part_of(fields: Fields, segment: int) -> Fields:
    """One text of a packed example, as an example of its own."""
    sides = {"input_ids": fields["segment_ids"], "labels": fields.get("decoder_segment_ids", fields["segment_ids"])}
    decoders = ("labels", "decoder_input_ids", "decoder_segment_ids", LABEL_PLACES)
    found = {}
    for name, values in fields.items():
        chosen = sides["labels" if name in decoders else "input_ids"] == segment
        found[name] = np.zeros(int(chosen.sum()), dtype=np.int64) if "segment_ids" in name else values[chosen]
    return found


def check_packs(subject: Objective, model: Any, fields: Fields) -> None:
    """The first text of a packed example has the same logits whatever the second says, and those that it has alone.

    The model is prepared for packs.
    """
    labels = fields.get("decoder_segment_ids", fields["segment_ids"])
    assert {0, 1} <= set(fields["segment_ids"].tolist()) and {0, 1} <= set(labels.tolist())

    def logits(example: Fields) -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = model(**inputs_of(subject.collate([example]))).logits[0]
        return found

    def changed(name: str, segments: str) -> torch.Tensor:
        ids = fields[name].copy()
        text = (fields[segments] == 1) & ~subject.vocabulary.special[ids]
        ids[text] = FIRST_REGULAR + (ids[text] - FIRST_REGULAR + 7) % 60
        assert text.any()
        return logits({**fields, name: ids})

    whole = logits(fields)
    sides = {"input_ids": "segment_ids"}
    if "decoder_input_ids" in fields:
        sides["decoder_input_ids"] = "decoder_segment_ids"
    for name, segments in sides.items():
        other = changed(name, segments)
        assert torch.equal(other[labels == 0], whole[labels == 0])
        assert not torch.allclose(other[labels == 1], whole[labels == 1], atol=1e-4)
    for segment in np.unique(labels):
        assert torch.allclose(logits(part_of(fields, int(segment))), whole[labels == segment], atol=1e-4)


def hand_made_mask(fields: Fields) -> torch.Tensor:
    """[1, 1, L, L] float: the attention of an example as its segments and its `visibility` say, worked out pair by
    pair."""
    length = len(fields["input_ids"])
    mask = torch.full((length, length), torch.finfo(torch.float32).min)
    for query in range(length):
        for key in range(length):
            seen_by = fields["visibility"][key]
            in_direction = seen_by == BY_ALL or (key <= query if seen_by == BY_LATER else key >= query)
            if in_direction and fields["segment_ids"][query] == fields["segment_ids"][key]:
                mask[query, key] = 0
    return mask[None, None]


# ---- learning --------------------------------------------------------------------------------------------------


def learn(subject: Objective, store: Any, plan: Plan, model: Any, folder: Path, **values: Any) -> list[float]:
    """Train; the loss of each step."""
    trainer = make_trainer(subject, store, plan, model, folder, **values)
    trainer.train()
    return [record["loss"] for record in trainer.state.log_history if "loss" in record]


def mean_losses(subject: Objective, store: Any, plan: Plan, model: Any, epoch: int = 1000) -> list[float]:
    """The mean loss of each part over an epoch whose corruption the model has not met."""
    model.eval()
    batch = subject.collate(epoch_of(subject, store, plan, epoch))
    with torch.no_grad():
        found: list[float] = (subject.sums(model, batch) / subject.counts(batch)).tolist()
    return found


def labels_of(examples: Iterable[Fields]) -> np.ndarray:
    """All target tokens of some examples."""
    return np.concatenate([example["labels"][example["labels"] != IGNORE] for example in examples])
