"""Causal language modeling: the eight things that `objectives` promises of every objective, and its own rules."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from acclimate.errors import ModelError
from acclimate.models.attention import separate_segments
from acclimate.objectives.base import IGNORE, INPUT_PLACES, LABEL_PLACES, PADDING_SEGMENT
from acclimate.objectives.clm import CausalLanguageModeling, CausalLanguageModelingSettings
from acclimate.objectives.predictions import model_inputs
from acclimate.objectives.rows import NO_PLACE
from tests.models.tiny import tiny_model
from tests.objectives.checks import (
    NO_DROPOUT,
    chain,
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
from tests.objectives.tiny import BOS, EOS, PAD, UNK, decoder_vocabulary, memory_store

NEWLINE = 9


def objective(*, max_length: int = 32, seed: int = 1, bos: bool = True) -> CausalLanguageModeling:
    return CausalLanguageModeling(
        CausalLanguageModelingSettings(), decoder_vocabulary(bos=bos), max_length=max_length, seed=seed
    )


def decoder(model_type: str = "llama", **changes: Any) -> Any:
    return tiny_model(model_type, "AutoModelForCausalLM", **{"pad_token_id": PAD, **NO_DROPOUT[model_type], **changes})


# ---- 1. hand-made examples -------------------------------------------------------------------------------------


def test_a_pack_by_hand() -> None:
    # Two documents and their joints, at places 0 1 2 [3] and 4 5 [6]; the joint of each becomes its EOS. A row of 12
    # holds <s> and four tokens, and <s> and three.
    subject, store = objective(max_length=12), memory_store([[10, 11, 12], [20, 21]])
    plan = subject.plan(store, isolate="document", packed=True)
    assert len(plan) == 1
    fields = subject.example(store, plan, 0)
    assert fields["input_ids"].tolist() == [BOS, 10, 11, 12, EOS, BOS, 20, 21, EOS]
    assert fields["labels"].tolist() == [IGNORE, 10, 11, 12, EOS, IGNORE, 20, 21, EOS]
    assert fields["segment_ids"].tolist() == [0] * 5 + [1] * 4
    assert fields["position_ids"].tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3]
    assert fields[INPUT_PLACES].tolist() == [NO_PLACE, 0, 1, 2, 3, NO_PLACE, 4, 5, 6]
    assert fields[LABEL_PLACES].tolist() == fields[INPUT_PLACES].tolist()


def test_without_bos_the_first_token_is_not_predicted() -> None:
    subject, store = objective(max_length=12, bos=False), memory_store([[10, 11, 12], [20, 21]])
    fields = subject.example(store, subject.plan(store, isolate="document", packed=True), 0)
    assert fields["input_ids"].tolist() == [10, 11, 12, EOS, 20, 21, EOS]
    assert fields["labels"].tolist() == [IGNORE, 11, 12, EOS, IGNORE, 21, EOS]
    assert fields[LABEL_PLACES].tolist() == [NO_PLACE, 1, 2, 3, NO_PLACE, 5, 6]


def test_a_text_that_goes_on_has_no_eos() -> None:
    # Rows of <s> and four tokens; each token begins a word, so that cuts are where rows end. Nine tokens and the EOS
    # are three pieces, of which only the last one ends.
    subject, store = objective(max_length=5), memory_store([list(range(10, 19))])
    plan = subject.plan(store, isolate="document", packed=True)
    ids = [example["input_ids"].tolist() for example in epoch_of(subject, store, plan)]
    assert ids == [[BOS, 10, 11, 12, 13], [BOS, 14, 15, 16, 17], [BOS, 18, EOS]]


def test_line_breaks_of_a_group_are_predicted_and_its_end_is_eos() -> None:
    store = memory_store([[10, 11], [12]], groups="aa", newline=NEWLINE)
    subject = objective(max_length=12, bos=False)
    fields = subject.example(store, subject.plan(store, isolate="group", packed=True), 0)
    assert fields["input_ids"].tolist() == [10, 11, NEWLINE, 12, EOS]
    assert fields["labels"].tolist() == [IGNORE, 11, NEWLINE, 12, EOS]
    # Apart, each of them ends: the line break becomes its EOS.
    apart = subject.example(store, subject.plan(store, isolate="document", packed=True), 0)
    assert apart["input_ids"].tolist() == [10, 11, EOS, 12, EOS]
    # In one stream what stands between texts stays as it is, and every piece but the row's first token is predicted.
    stream = subject.example(store, subject.plan(store, isolate="none", packed=True), 0)
    assert stream["labels"].tolist() == [IGNORE, 11, NEWLINE, 12, EOS]


def test_a_tokenizer_without_separator_gets_no_eos() -> None:
    # Nothing stands between texts that could become an EOS.
    subject, store = objective(max_length=12), memory_store([[10, 11], [12]], joint=None)
    fields = subject.example(store, subject.plan(store, isolate="document", packed=True), 0)
    assert fields["input_ids"].tolist() == [BOS, 10, 11, BOS, 12]


def test_a_tokenizer_without_eos_is_refused() -> None:
    with pytest.raises(ModelError, match="no.*`eos_token`|has none"):
        CausalLanguageModeling(
            CausalLanguageModelingSettings(),
            dataclasses.replace(decoder_vocabulary(), eos_id=None),
            max_length=8,
            seed=0,
        )


# ---- 2. rates --------------------------------------------------------------------------------------------------


def test_every_token_of_a_million_is_predicted() -> None:
    # No chance is in it: with BOS all tokens and one EOS a document are targets, without BOS all but the first of each
    # piece.
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 900, 2_300)
    documents = [rng.integers(10, 90, length).tolist() for length in lengths]
    store = memory_store(documents)
    assert lengths.sum() > 1_000_000
    for bos in (True, False):
        subject = objective(max_length=512, bos=bos)
        plan = subject.plan(store, isolate="document", packed=True)
        examples = epoch_of(subject, store, plan)
        targets = sum(int((example["labels"] != IGNORE).sum()) for example in examples)
        assert targets == len(store) - (0 if bos else len(plan.pieces))
        assert sum(int((example["labels"] == EOS).sum()) for example in examples) == len(documents)
        assert np.array_equal([len(example["input_ids"]) for example in examples], subject.row_lengths(plan, 0))
        assert max(len(example["input_ids"]) for example in examples) <= 512


# ---- 3. special tokens -----------------------------------------------------------------------------------------


@given(
    documents=st.lists(st.lists(st.integers(UNK, 99).filter(lambda t: t not in (2, 3, 4)), max_size=30), min_size=1),
    bos=st.booleans(),
    packed=st.booleans(),
    max_length=st.integers(4, 40),
)
def test_eos_ends_a_text_and_no_other_special_token_is_predicted(
    documents: list[list[int]], bos: bool, packed: bool, max_length: int
) -> None:
    store = memory_store(documents)
    subject = objective(bos=bos, max_length=max_length)
    plan = subject.plan(store, isolate="document", packed=packed)
    ends = {end for _, end in store.documents.tolist()}
    examples = epoch_of(subject, store, plan)
    for example in examples:
        ids, labels, places = example["input_ids"], example["labels"], example[INPUT_PLACES]
        assert {place for place in places[ids == EOS].tolist()} <= ends
        assert ((labels == IGNORE) | (labels == ids)).all()
        assert not np.isin(labels, [PAD, UNK, BOS]).any()
        predicted_eos = labels == EOS
        assert set(places[predicted_eos].tolist()) <= ends
        # What is not predicted: BOS, the unknown token, and without BOS a piece's first token.
        assert ((labels != IGNORE) | np.isin(ids, [BOS, UNK]) | (example["position_ids"] == 0)).all()
    batch = subject.collate(examples)
    padding = batch["segment_ids"] == PADDING_SEGMENT
    assert (batch["labels"][padding] == IGNORE).all()
    assert (batch["input_ids"][padding] == PAD).all()
    inputs, _ = exposed(store, examples)
    assert (inputs == 1).all()


# ---- 4. a pure function of (seed, epoch, example) --------------------------------------------------------------

STORE = memory_store(texts(60))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 4])
def test_examples_do_not_depend_on_workers(workers: int) -> None:
    subject = objective()
    check_workers(subject, STORE, subject.plan(STORE, isolate="group", packed=True), workers)


def test_two_processes_see_what_one_sees() -> None:
    check_processes(objective, STORE, objective().plan(STORE, isolate="group", packed=True))


def test_nothing_depends_on_seed_or_epoch() -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=True)
    first = subject.example(STORE, plan, 3)
    for other in (subject.example(STORE, plan, 3 + len(plan)), objective(seed=2).example(STORE, plan, 3)):
        assert all(np.array_equal(first[name], other[name]) for name in first)


# ---- 5. loss and gradient --------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
@pytest.mark.parametrize("bos", [True, False])
def test_loss_and_gradient_equal_the_reference_class(model_type: str, bos: bool) -> None:
    subject = objective(bos=bos)
    plan = subject.plan(STORE, isolate="group", packed=False)
    batch = subject.collate(epoch_of(subject, STORE, plan)[:6])
    ours, theirs = decoder(model_type), decoder(model_type)
    loss = loss_of(subject, ours, batch)
    loss.backward()
    # The reference shifts the labels itself, and never asks for the first of a row.
    reference = theirs(
        input_ids=batch["input_ids"],
        attention_mask=batch["segment_ids"].ne(PADDING_SEGMENT).long(),
        labels=batch["labels"],
    )
    reference.loss.backward()
    assert loss.item() == pytest.approx(reference.loss.item(), rel=1e-5)
    check_gradients(gradients(ours), gradients(theirs))


@pytest.mark.parametrize("packed", [True, False])
def test_accumulation_gives_the_same_gradient(packed: bool, tmp_path: Path) -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=packed)
    check_accumulation(subject, STORE, plan, decoder, tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_padding_changes_nothing(packed: bool) -> None:
    subject, model = objective(), decoder()
    separate_segments(model)
    plan = subject.plan(STORE, isolate="group", packed=packed)
    check_padding(subject, model, epoch_of(subject, STORE, plan)[-4:])


# ---- 6. packs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
def test_in_a_pack_no_document_sees_another(model_type: str) -> None:
    subject, model = objective(max_length=32), decoder(model_type)
    separate_segments(model)

    def logits(*documents: list[int]) -> torch.Tensor:
        store = memory_store(documents)
        plan = subject.plan(store, isolate="document", packed=True)
        assert len(plan) == 1
        with torch.no_grad():
            return model(**model_inputs(subject.collate([subject.example(store, plan, 0)]))).logits[0]

    first, second, other = [10, 11, 12, 13], [20, 21, 22, 23, 24], [30, 31, 32, 33, 34]
    # <s> and four tokens and </s> are six; then seven.
    assert torch.equal(logits(first, second)[:6], logits(first, other)[:6])
    assert torch.equal(logits(first, second)[6:], logits([40, 41, 42, 43], second)[6:])
    assert torch.allclose(logits(first, second)[6:], logits(second), atol=1e-5)


@pytest.mark.parametrize("bos", [True, False])
def test_every_token_is_an_input_once_an_epoch_and_a_target_once(bos: bool) -> None:
    subject = objective(bos=bos)
    plan = subject.plan(STORE, isolate="document", packed=True)
    examples = epoch_of(subject, STORE, plan)
    regular = STORE.ids >= 5
    # EOS stands at the place of a joint; here the joint is the same token.
    inputs, targets = exposed(STORE, examples)
    assert (inputs == 1).all() and regular.any()
    first_of_piece = np.zeros(len(STORE), dtype=bool)
    first_of_piece[plan.pieces[:, 0]] = True
    assert np.array_equal(targets, np.where(first_of_piece & (not bos), 0, 1))


# ---- 7. it learns ----------------------------------------------------------------------------------------------


def test_it_learns(tmp_path: Path) -> None:
    # A chain whose next token has 0.33 nats: a decoder that knows frequencies only stays at 3.1.
    store, subject = memory_store(chain(60)), objective()
    plan = subject.plan(store, isolate="document", packed=True)
    model = decoder(initializer_range=0.02)
    entropy = unigram_entropy(labels_of(epoch_of(subject, store, plan)))
    losses = learn(
        subject, store, plan, model, tmp_path, max_steps=80, per_device_train_batch_size=16, learning_rate=5e-3
    )
    assert losses[0] > 4
    (loss,) = mean_losses(subject, store, plan, model)
    assert loss < 0.5 * entropy
    assert loss == pytest.approx(losses[-1], abs=0.3)


# ---- 8. save, reload, same logits ------------------------------------------------------------------------------


def test_a_run_is_a_plain_checkpoint(tmp_path: Path) -> None:
    subject, model = objective(), decoder()
    plan = subject.plan(STORE, isolate="document", packed=True)
    trainer = make_trainer(subject, STORE, plan, model, tmp_path / "run", max_steps=2)
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").eval()
    ids = torch.randint(5, 90, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model.eval()(input_ids=ids).logits, plain(input_ids=ids).logits)
