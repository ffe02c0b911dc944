"""Masked tokens with sentence order: the eight things that `objectives` promises of every objective, and its own rules.

How documents are cut into pairs stands in `test_sentence_pairs.py`; what it has in common with next sentences in
`test_mlm_nsp.py`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AlbertForPreTraining, AutoModelForPreTraining

from acclimate.errors import DataError
from acclimate.objectives.base import IGNORE, INPUT_PLACES, LABEL_PLACES, PADDING_SEGMENT
from acclimate.objectives.mlm_nsp import SentencePairSettings
from acclimate.objectives.mlm_sop import MaskedLanguageModelingWithSentenceOrder
from acclimate.objectives.rows import NO_PLACE
from acclimate.tokens.store import JOINT, SECOND_START, WORD_START
from tests.models.tiny import tiny_model
from tests.objectives.checks import (
    NO_DROPOUT,
    check_accumulation,
    check_gradients,
    check_padding,
    check_processes,
    check_workers,
    epoch_of,
    exposed,
    gradients,
    labels_of,
    learn,
    loss_of,
    make_trainer,
    mean_losses,
    texts,
    unigram_entropy,
)
from tests.objectives.test_mlm import Scripted
from tests.objectives.tiny import CLS, FIRST_REGULAR, MASK, PAD, SEP, MemoryStore, memory_store, vocabulary


def objective(
    *, max_length: int = 32, seed: int = 1, size: int = 100, **options: object
) -> MaskedLanguageModelingWithSentenceOrder:
    settings = SentencePairSettings.model_validate(options)
    return MaskedLanguageModelingWithSentenceOrder(settings, vocabulary(size), max_length=max_length, seed=seed)


def albert(**changes: Any) -> Any:
    return tiny_model("albert", "AutoModelForPreTraining", **{"pad_token_id": PAD, **NO_DROPOUT["albert"], **changes})


def plan_of(subject: MaskedLanguageModelingWithSentenceOrder, store: MemoryStore) -> Any:
    return subject.plan(store, isolate="document", packed=False)  # type: ignore[arg-type]


class Tossed(Scripted):
    """As `Scripted`, with the verdict given."""

    def __init__(self, label: int, **draws: Any) -> None:
        super().__init__(**draws)
        self.label = label

    def integers(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        assert args == (2,) and not kwargs
        return self.label


# ---- 1. hand-made examples -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "ids", "masked", "types", "places"),
    [
        (0, [CLS, 10, 11, SEP, 12, SEP], [CLS, 10, MASK, SEP, 12, SEP], [0, 0, 0, 0, 1, 1], [-1, 0, 1, -1, 2, -1]),
        (1, [CLS, 12, SEP, 10, 11, SEP], [CLS, 12, SEP, MASK, 11, SEP], [0, 0, 0, 1, 1, 1], [-1, 2, -1, 0, 1, -1]),
    ],
)
def test_a_pair_by_hand(
    monkeypatch: pytest.MonkeyPatch, label: int, ids: list[int], masked: list[int], types: list[int], places: list[int]
) -> None:
    # A document of three tokens is cut into two and one; swapped, the one comes first. Of the three candidates the arc
    # of 0.4 * 3 = 1.2 tokens from 0.4 * 3 = 1.2 on reaches to 2.4 and covers the start 2: the last of the order 0, 2,
    # 1, which is the second candidate. The draw 0.5 masks it; the last one is for a random token.
    subject = objective(mlm_probability=0.4)
    draws = {"uniform": [0.4, 0.5, 0.0], "order": [0, 2, 1]}
    monkeypatch.setattr(subject, "rng", lambda key: Tossed(label, **draws))
    store = memory_store([[10, 11, 12]])
    fields = subject.example(store, plan_of(subject, store), 0)
    chosen = masked.index(MASK)
    assert fields["input_ids"].tolist() == masked
    assert fields["labels"].tolist() == [ids[chosen] if index == chosen else IGNORE for index in range(6)]
    assert fields["token_type_ids"].tolist() == types
    assert fields["sentence_order_label"].tolist() == [label]
    assert fields[INPUT_PLACES].tolist() == places
    assert fields[LABEL_PLACES][chosen] == places[chosen] and (fields[LABEL_PLACES] != NO_PLACE).sum() == 1
    assert fields["segment_ids"].tolist() == [0] * 6 and fields["position_ids"].tolist() == list(range(6))


def test_one_document_is_enough() -> None:
    subject, store = objective(), memory_store([list(range(10, 90))])
    plan = plan_of(subject, store)
    examples = epoch_of(subject, store, plan)
    assert {int(example["sentence_order_label"][0]) for example in examples} == {0, 1}
    assert np.array_equal(subject.row_lengths(plan, 0), [len(example["input_ids"]) for example in examples])


def test_labelled_pairs_are_refused() -> None:
    mark = SECOND_START | WORD_START
    store = memory_store([[10, SEP, 12]], flags=[[1, JOINT | WORD_START, mark]], has_pairs=True)
    with pytest.raises(DataError, match="are for `mlm_nsp`"):
        plan_of(objective(), store)


# ---- 2. rates --------------------------------------------------------------------------------------------------


def test_rates_over_a_million_tokens() -> None:
    # As in `test_mlm_nsp`: a row of n tokens has floor(0.15 n + u) chosen, at least one, with a variance of at most
    # 1/4. Each of R rows is swapped by a toss of its own: the standard error of the share is sqrt(1 / 4 R).
    rng = np.random.default_rng(0)
    store = memory_store(rng.integers(FIRST_REGULAR, 5_000, (1_000, 1_000)).tolist())
    subject = objective(max_length=128, size=5_000)
    examples = epoch_of(subject, store, plan_of(subject, store))
    lengths = np.array([len(example["input_ids"]) - 3 for example in examples])
    assert lengths.sum() >= 1_000_000
    chosen = masked = same = swapped = 0
    for example in examples:
        targets = example["labels"] != IGNORE
        chosen += int(targets.sum())
        masked += int((example["input_ids"][targets] == MASK).sum())
        same += int((example["input_ids"][targets] == example["labels"][targets]).sum())
        label = int(example["sentence_order_label"][0])
        swapped += label
        # The two segments are one stretch of a document, in order or swapped.
        places = example[INPUT_PLACES][example[INPUT_PLACES] != NO_PLACE]
        assert np.array_equal(np.sort(places), np.arange(places.min(), places.max() + 1))
        assert (np.diff(places) < 0).sum() == label
    expected = np.maximum(1, 0.15 * lengths).sum()
    assert abs(chosen - expected) < 3 * math.sqrt(len(examples) / 4)
    assert abs(masked / chosen - 0.8) < 3 * math.sqrt(0.8 * 0.2 / chosen)
    stay = 0.1 + 0.1 / 4_995
    assert abs(same / chosen - stay) < 3 * math.sqrt(stay * (1 - stay) / chosen)
    assert abs(swapped / len(examples) - 0.5) < 3 * math.sqrt(0.25 / len(examples))


# ---- 3. special tokens -----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(0, 99), min_size=2, max_size=40), min_size=1, max_size=6),
    unit=st.sampled_from(["token", "word", "span"]),
    epoch=st.integers(0, 1000),
)
def test_special_tokens_are_never_chosen_nor_produced(documents: list[list[int]], unit: str, epoch: int) -> None:
    store, subject = memory_store(documents), objective(unit=unit)
    examples = epoch_of(subject, store, plan_of(subject, store), epoch)
    for example in examples:
        targets = example["labels"] != IGNORE
        assert (example["labels"][targets] >= FIRST_REGULAR).all()
        produced = example["input_ids"][targets]
        assert ((produced == MASK) | (produced >= FIRST_REGULAR)).all()
        assert len(example["input_ids"]) <= subject.max_length
    batch = subject.collate(examples)
    padding = batch["segment_ids"] == PADDING_SEGMENT
    assert (batch["labels"][padding] == IGNORE).all()
    assert (batch["input_ids"][padding] == PAD).all()
    assert subject.counts(batch).tolist() == [int(batch["labels"].ne(IGNORE).sum()), len(examples)]


# ---- 4. a pure function of (seed, epoch, example) --------------------------------------------------------------

STORE = memory_store(texts(40))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 4])
def test_examples_do_not_depend_on_workers(workers: int) -> None:
    subject = objective()
    check_workers(subject, STORE, plan_of(subject, STORE), workers)


def test_two_processes_see_what_one_sees() -> None:
    check_processes(objective, STORE, plan_of(objective(), STORE))


def test_order_and_masks_change_with_epoch_and_seed() -> None:
    subject = objective()
    plan = plan_of(subject, STORE)

    def drawn(subject: MaskedLanguageModelingWithSentenceOrder, epoch: int) -> list[int]:
        return [int(example["sentence_order_label"][0]) for example in epoch_of(subject, STORE, plan, epoch)]

    assert drawn(subject, 0) == drawn(objective(), 0)
    assert drawn(subject, 0) != drawn(subject, 1)
    assert drawn(subject, 0) != drawn(objective(seed=2), 0)


# ---- 5. loss and gradient --------------------------------------------------------------------------------------


def test_loss_and_gradient_equal_the_reference_class() -> None:
    subject, ours, theirs = objective(), albert(), albert()
    assert isinstance(theirs, AlbertForPreTraining)
    batch = subject.collate(epoch_of(subject, STORE, plan_of(subject, STORE))[:8])
    assert set(batch["sentence_order_label"].flatten().tolist()) == {0, 1}
    loss = loss_of(subject, ours, batch)
    loss.backward()
    reference = theirs(
        input_ids=batch["input_ids"],
        attention_mask=batch["segment_ids"].ne(PADDING_SEGMENT).long(),
        token_type_ids=batch["token_type_ids"],
        labels=batch["labels"],
        sentence_order_label=batch["sentence_order_label"],
    )
    reference.loss.backward()
    assert loss.item() == pytest.approx(reference.loss.item(), rel=1e-5)
    check_gradients(gradients(ours), gradients(theirs))


def test_accumulation_gives_the_same_gradient(tmp_path: Path) -> None:
    subject = objective()
    check_accumulation(subject, STORE, plan_of(subject, STORE), albert, tmp_path)


def test_padding_changes_nothing() -> None:
    subject = objective()
    check_padding(subject, albert(), epoch_of(subject, STORE, plan_of(subject, STORE))[:6])


# ---- 6. rows are not packed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [0, 5])
def test_every_token_is_an_input_once_an_epoch(epoch: int) -> None:
    subject = objective()
    assert not subject.packs
    inputs, targets = exposed(STORE, epoch_of(subject, STORE, plan_of(subject, STORE), epoch))
    regular = STORE.ids >= FIRST_REGULAR
    assert np.array_equal(inputs, regular.astype(int))
    assert targets[~regular].sum() == 0 and targets.max() == 1


def test_every_token_is_a_target_some_time() -> None:
    # Over 120 epochs, but for a chance of 0.85^120 = 3e-9 each.
    store, subject = memory_store(texts(10)), objective()
    plan = plan_of(subject, store)
    _, targets = exposed(store, [subject.example(store, plan, key) for key in range(120 * len(plan))])
    assert (targets[store.ids >= FIRST_REGULAR] > 0).all()


# ---- 7. it learns ----------------------------------------------------------------------------------------------


def _beginnings_and_ends(number: int) -> list[list[int]]:
    """Documents whose first half has one of four begin tokens throughout, their second half one of four others."""
    rng = np.random.default_rng(0)
    return [
        [FIRST_REGULAR + int(rng.integers(4))] * half + [FIRST_REGULAR + 4 + int(rng.integers(4))] * half
        for half in rng.integers(4, 14, number)
    ]


def test_it_learns(tmp_path: Path) -> None:
    # Neighbours tell a masked token exactly; tokens of beginnings stand before those of ends.
    store, subject = memory_store(_beginnings_and_ends(80)), objective()
    plan = plan_of(subject, store)
    model = albert(initializer_range=0.1)
    entropy = unigram_entropy(labels_of(epoch_of(subject, store, plan)))
    learn(subject, store, plan, model, tmp_path, max_steps=200, per_device_train_batch_size=16, learning_rate=5e-3)
    tokens, verdicts = mean_losses(subject, store, plan, model)
    assert tokens < 0.6 * entropy
    assert verdicts < 0.6 * math.log(2)


# ---- 8. save, reload, same logits ------------------------------------------------------------------------------


def test_a_run_is_a_plain_checkpoint(tmp_path: Path) -> None:
    subject, model = objective(), albert()
    trainer = make_trainer(subject, STORE, plan_of(subject, STORE), model, tmp_path / "run", max_steps=2)
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    plain = AutoModelForPreTraining.from_pretrained(tmp_path / "saved").eval()
    assert isinstance(plain, AlbertForPreTraining)
    ids = torch.randint(5, 90, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = model.eval()(input_ids=ids), plain(input_ids=ids)
    assert torch.equal(ours.prediction_logits, theirs.prediction_logits)
    assert torch.equal(ours.sop_logits, theirs.sop_logits)
