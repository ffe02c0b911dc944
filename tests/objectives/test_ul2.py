"""UL2's mixture of denoisers: the eight things that `objectives` promises of every objective, and its own rules."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForSeq2SeqLM

from acclimate.errors import ModelError, RecipeError
from acclimate.models.loading import prepare_for_packs
from acclimate.objectives import make_objective, resolve_objective
from acclimate.objectives.base import IGNORE, INPUT_PLACES, LABEL_PLACES, PADDING_SEGMENT
from acclimate.objectives.rows import NO_PLACE, read_row
from acclimate.objectives.span_denoising import SpanDenoising, SpanDenoisingSettings, input_length, noise_of
from acclimate.objectives.ul2 import DENOISERS, MixtureOfDenoisers, as_settings
from acclimate.objectives.vocabulary import Vocabulary
from tests.models.tiny import tiny_model
from tests.objectives.checks import (
    NO_DROPOUT,
    check_accumulation,
    check_gradients,
    check_packs,
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
    topics,
    unigram_entropy,
)
from tests.objectives.tiny import EOS, FIRST_REGULAR, PAD, UNK, memory_store, tokenizer, ul2_vocabulary

# 200 ids: modes at 97 to 99, sentinels from 199 down to 100.
REGULAR, SEQUENTIAL, EXTREME = 97, 98, 99
NEWLINE = 9


def objective(
    *, max_length: int = 32, seed: int = 1, vocabulary: Vocabulary | None = None, **options: object
) -> MixtureOfDenoisers:
    read = SpanDenoisingSettings.model_validate({"mixture": "ul2", **options})
    return MixtureOfDenoisers(read, vocabulary or ul2_vocabulary(), max_length=max_length, seed=seed)


def t5(**changes: Any) -> Any:
    special = {"pad_token_id": PAD, "decoder_start_token_id": PAD, "eos_token_id": EOS, "vocab_size": 200}
    return tiny_model("t5", "AutoModelForSeq2SeqLM", **{**special, **NO_DROPOUT["t5"], **changes})


def prepared_t5() -> Any:
    model = t5()
    prepare_for_packs(model)
    return model


class Scripted(np.random.Generator):
    """A generator whose numbers are the test's, and whose permutations begin as the test says."""

    def __init__(self, numbers: list[int], *firsts: list[int]) -> None:
        super().__init__(np.random.Philox(0))
        self.numbers, self.firsts = numbers, list(firsts)

    def integers(self, low: Any, high: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        number = self.numbers.pop(0)
        assert (number < low) if high is None else (low <= number < high)
        return number

    def permutation(self, x: Any, axis: int = 0) -> Any:  # type: ignore[override]
        first = self.firsts.pop(0)
        return np.array(first + [item for item in range(x) if item not in first])


# ---- 1. hand-made examples -------------------------------------------------------------------------------------


def test_a_pack_by_hand() -> None:
    # The first text of ten tokens by the third denoiser, [S]: T5's makes it shorter by 2 - 1 = 1, so its end has 2 to
    # 5 - 2 = 3 tokens; here 3. The second one, of six, by the fourth, [X], half in spans of three: three tokens in one
    # span; kept: three and two more in two parts, cut behind the third, so that two come before it and one behind.
    subject = objective()
    store = memory_store([list(range(10, 20)), list(range(20, 26))])
    row = read_row(store, np.array([[0, 10], [11, 17]]), subject.vocabulary)
    fields = subject.corrupt(row, Scripted([2, 3, 3], [2], []))
    assert fields["input_ids"].tolist() == [
        *[SEQUENTIAL, 10, 11, 12, 13, 14, 15, 16, 199, EOS],
        *[EXTREME, 20, 21, 199, 25, EOS],
    ]
    assert fields["labels"].tolist() == [199, 17, 18, 19, EOS, 199, 22, 23, 24, EOS]
    assert fields["decoder_input_ids"].tolist() == [PAD, 199, 17, 18, 19, PAD, 199, 22, 23, 24]
    assert fields["segment_ids"].tolist() == [0] * 10 + [1] * 6
    assert fields["decoder_segment_ids"].tolist() == [0] * 5 + [1] * 5
    assert fields[INPUT_PLACES].tolist() == [-1, *range(7), -1, -1, -1, 11, 12, -1, 16, -1]
    assert fields[LABEL_PLACES].tolist() == [-1, 7, 8, 9, -1, -1, 13, 14, 15, -1]


def test_a_text_of_one_token_has_its_mode_and_no_target() -> None:
    subject, store = objective(), memory_store([[10]])
    fields = subject.example(store, subject.plan(store, isolate="document", packed=False), 0)
    assert fields["input_ids"][0] in (REGULAR, SEQUENTIAL, EXTREME)
    assert fields["input_ids"][1:].tolist() == [10, EOS]
    assert len(fields["labels"]) == 0


def test_the_denoisers_are_those_of_the_paper() -> None:
    assert [(one.mode, one.density, one.mean_length) for one in DENOISERS if one.mode != "S"] == [
        ("R", 0.15, 3),
        ("R", 0.15, 8),
        ("X", 0.5, 3),
        ("X", 0.5, 8),
        ("X", 0.15, 64),
        ("X", 0.5, 64),
    ]
    assert [one.density for one in DENOISERS if one.mode == "S"] == [0.25]


# ---- 2. rates --------------------------------------------------------------------------------------------------


def test_each_denoiser_is_as_likely_over_a_million_tokens() -> None:
    # Texts of full rows of 512. R and X are told apart by how much is taken out in how many spans, which is fixed by
    # the length. A share of 1/7 over n texts has a standard error of sqrt(6 / 49 / n). The end that [S] takes is
    # uniform between bounds whose mean is a quarter.
    subject = objective(max_length=512)
    length = subject.raw_length
    num_texts = 1_000_000 // length + 1
    rng = np.random.default_rng(0)
    store = memory_store([rng.integers(10, 90, length).tolist() for _ in range(num_texts)])
    plan = subject.plan(store, isolate="document", packed=False)
    assert len(plan) == num_texts and len(store) > 1_000_000
    amounts = {noise_of(length, as_settings(one)): one for one in DENOISERS if one.mode != "S"}
    assert len(amounts) == 6
    counts = dict.fromkeys(DENOISERS, 0)
    ends = []
    modes = {"R": REGULAR, "S": SEQUENTIAL, "X": EXTREME}
    for fields in epoch_of(subject, store, plan):
        places = fields[LABEL_PLACES][fields[LABEL_PLACES] != NO_PLACE]
        spans = int((fields["labels"] >= 100).sum())
        mode = int(fields["input_ids"][0])
        if mode == SEQUENTIAL:
            # One span, at the end of the text.
            assert spans == 1 and (np.diff(places) == 1).all()
            assert fields["input_ids"][-2:].tolist() == [199, EOS]
            assert places[-1] == fields[INPUT_PLACES].max() + len(places)
            ends.append(len(places) / length)
            one = DENOISERS[2]
        else:
            one = amounts[len(places), spans]
            assert mode == modes[one.mode]
        counts[one] += 1
        assert len(fields["input_ids"]) <= 512
    for count in counts.values():
        assert abs(count / num_texts - 1 / 7) < 3 * math.sqrt(6 / 49 / num_texts)
    # 57 tokens less, so from 58 to 226: 0.10 to 0.40, deviation 0.30 / sqrt(12).
    assert 0.10 < min(ends) < 0.11 and 0.39 < max(ends) < 0.41
    assert abs(np.mean(ends) - 0.25) < 3 * 0.30 / math.sqrt(12 * len(ends))


@pytest.mark.parametrize("max_length", [16, 32, 64, 128, 512])
def test_no_denoiser_makes_an_input_longer_than_t5s(max_length: int) -> None:
    # For all lengths that a text of a row may have, and all seven.
    subject = objective(max_length=max_length)
    assert input_length(subject.raw_length, subject.settings, 2) <= max_length
    assert input_length(subject.raw_length + 1, subject.settings, 2) > max_length
    for length in range(2, subject.raw_length + 1):
        planned = input_length(length, subject.settings, 2)
        for one in DENOISERS:
            if one.mode != "S":
                assert input_length(length, as_settings(one), 2) <= planned
            assert noise_of(length, as_settings(one))[1] <= 100


# ---- 3. special tokens, and rows that never overflow -----------------------------------------------------------


@settings(max_examples=120, deadline=None)
@given(
    documents=st.lists(
        st.lists(st.one_of(st.integers(10, 96), st.integers(0, 199)), min_size=1, max_size=80), min_size=1, max_size=6
    ),
    packed=st.booleans(),
    epoch=st.integers(0, 1000),
)
def test_special_tokens_are_never_taken_nor_produced(documents: list[list[int]], packed: bool, epoch: int) -> None:
    # Ids from 97 on are modes and sentinels, from 0 to 4 other special tokens: should they be in a text, they stay.
    subject, vocabulary = objective(), ul2_vocabulary()
    store = memory_store(documents)
    plan = subject.plan(store, isolate="document", packed=packed)
    examples = epoch_of(subject, store, plan, epoch)
    for fields in examples:
        for segment in np.unique(fields["segment_ids"]):
            source = fields["input_ids"][fields["segment_ids"] == segment]
            assert source[0] in (REGULAR, SEQUENTIAL, EXTREME) and source[-1] == EOS
        of_text = fields[LABEL_PLACES] != NO_PLACE
        assert not vocabulary.special[fields["labels"][of_text]].any()
        for segment in np.unique(fields["decoder_segment_ids"]):
            mine = fields["decoder_segment_ids"] == segment
            marks = fields["labels"][mine & ~of_text].tolist()
            assert marks == [*vocabulary.sentinels[: len(marks) - 1], EOS]
            assert fields["labels"][mine][-1] == EOS
            assert fields["decoder_input_ids"][mine].tolist() == [PAD, *fields["labels"][mine][:-1].tolist()]
    inputs, targets = exposed(store, examples)
    of_documents = np.concatenate([np.arange(start, end) for start, end in store.documents.tolist()])
    assert (inputs + targets)[of_documents].tolist() == [1] * len(of_documents)
    assert (inputs + targets).sum() == len(of_documents)
    batch = subject.collate(examples)
    assert (batch["labels"][batch["decoder_segment_ids"] == PADDING_SEGMENT] == IGNORE).all()
    assert (batch["input_ids"][batch["segment_ids"] == PADDING_SEGMENT] == PAD).all()


@settings(max_examples=80, deadline=None)
@given(
    lengths=st.lists(st.one_of(st.integers(1, 12), st.integers(1, 150)), min_size=1, max_size=30),
    max_length=st.sampled_from([16, 32, 64, 100]),
    line=st.integers(3, 20),
    packed=st.booleans(),
    epoch=st.integers(0, 1000),
)
def test_rows_of_ordinary_text_never_overflow(
    lengths: list[int], max_length: int, line: int, packed: bool, epoch: int
) -> None:
    # Every `line`-th token is unknown, so that it stays.
    subject = objective(max_length=max_length)
    store = memory_store([[10 + n % 50 if n % line else UNK for n in range(length)] for length in lengths])
    plan = subject.plan(store, isolate="document", packed=packed)
    sizes = [len(fields["input_ids"]) for fields in epoch_of(subject, store, plan, epoch)]
    assert max(sizes) <= max_length
    # What is planned for a row is what it has at most.
    assert (np.array(sizes) <= subject.row_lengths(plan, epoch)).all()


def test_texts_that_are_mostly_unknown_do_not_overflow() -> None:
    # 11 of 70 tokens may be taken out; so many denoisers of the mixture would take out too few.
    subject = objective(max_length=65)
    assert subject.raw_length == 70
    store = memory_store([[UNK] * 59 + list(range(10, 21))])
    plan = subject.plan(store, isolate="document", packed=False)
    for key in range(60):
        fields = subject.example(store, plan, key)
        assert len(fields["input_ids"]) <= 65
        assert UNK not in fields["labels"]


# ---- 4. a pure function of (seed, epoch, example) --------------------------------------------------------------

STORE = memory_store(texts(60))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 4])
def test_examples_do_not_depend_on_workers(workers: int) -> None:
    subject = objective()
    check_workers(subject, STORE, subject.plan(STORE, isolate="group", packed=True), workers)


def test_two_processes_see_what_one_sees() -> None:
    check_processes(objective, STORE, objective().plan(STORE, isolate="group", packed=True))


def test_denoisers_change_with_epoch_and_seed() -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=True)
    first = labels_of(epoch_of(subject, STORE, plan))
    assert np.array_equal(first, labels_of(epoch_of(objective(), STORE, plan)))
    assert not np.array_equal(first, labels_of(epoch_of(subject, STORE, plan, epoch=1)))
    assert not np.array_equal(first, labels_of(epoch_of(objective(seed=2), STORE, plan)))


# ---- 5. loss and gradient --------------------------------------------------------------------------------------


def test_loss_and_gradient_equal_the_reference_class() -> None:
    subject, ours, theirs = objective(), t5(), t5()
    plan = subject.plan(STORE, isolate="group", packed=False)
    batch = subject.collate(epoch_of(subject, STORE, plan)[:6])
    shifted = theirs.prepare_decoder_input_ids_from_labels(batch["labels"])
    real = batch["labels"].ne(IGNORE)
    assert torch.equal(shifted[real], batch["decoder_input_ids"][real])
    loss = loss_of(subject, ours, batch)
    loss.backward()
    reference = theirs(
        input_ids=batch["input_ids"],
        attention_mask=batch["segment_ids"].ne(PADDING_SEGMENT).long(),
        labels=batch["labels"],
    )
    reference.loss.backward()
    assert loss.item() == pytest.approx(reference.loss.item(), rel=1e-5)
    check_gradients(gradients(ours), gradients(theirs))


def test_accumulation_gives_the_same_gradient(tmp_path: Path) -> None:
    subject = objective()
    check_accumulation(subject, STORE, subject.plan(STORE, isolate="group", packed=True), t5, tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_padding_changes_nothing(packed: bool) -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=packed)
    check_padding(subject, prepared_t5(), epoch_of(subject, STORE, plan)[-4:])


# ---- 6. packs ------------------------------------------------------------------------------------------------


def test_in_a_pack_no_document_sees_another() -> None:
    subject, store = objective(), memory_store([list(range(10, 20)), list(range(20, 30))])
    plan = subject.plan(store, isolate="document", packed=True)
    check_packs(subject, prepared_t5(), subject.example(store, plan, 0))


def test_every_token_is_an_input_or_a_target_of_each_epoch_and_both_some_time() -> None:
    # The ends of a text are seldom taken out or seldom stay: the first one least often, since only [R] and [X] take it,
    # and a text of one token is always read.
    store = memory_store([[*range(10, 10 + length)] for length in (1, 2, 5, 9, 20)])
    subject = objective()
    plan = subject.plan(store, isolate="document", packed=True)
    regular = store.ids >= FIRST_REGULAR
    for epoch in (0, 3):
        inputs, targets = exposed(store, epoch_of(subject, store, plan, epoch))
        assert np.array_equal(inputs + targets, regular.astype(int))
    inputs, targets = exposed(store, [subject.example(store, plan, key) for key in range(400 * len(plan))])
    assert (inputs[regular] > 0).all()
    assert targets[0] == 0 and (targets[regular][1:] > 0).all()


# ---- 7. it learns ----------------------------------------------------------------------------------------------


def test_it_learns(tmp_path: Path) -> None:
    # A text keeps to one token. Sentinels and EOS are of the targets, too, and easy; so the texts' tokens are counted
    # by themselves.
    store, subject = memory_store(topics(80, num_topics=24, size=1)), objective()
    plan = subject.plan(store, isolate="document", packed=True)
    model = t5()
    labels = labels_of(epoch_of(subject, store, plan))
    learn(subject, store, plan, model, tmp_path, max_steps=150, per_device_train_batch_size=16, learning_rate=1e-2)
    (loss,) = mean_losses(subject, store, plan, model)
    batch = subject.collate(epoch_of(subject, store, plan, epoch=1000))
    with torch.no_grad():
        (scores,) = subject.scores(model, batch)
    is_text = (labels >= FIRST_REGULAR) & (labels < REGULAR)
    text = (scores.labels >= FIRST_REGULAR) & (scores.labels < REGULAR)
    assert loss < 0.5 * unigram_entropy(labels)
    assert scores.losses[text].mean() < 0.5 * unigram_entropy(labels[is_text])


# ---- 8. save, reload, same logits ------------------------------------------------------------------------------


def test_a_run_is_a_plain_checkpoint(tmp_path: Path) -> None:
    subject, model = objective(), t5()
    plan = subject.plan(STORE, isolate="document", packed=True)
    trainer = make_trainer(subject, STORE, plan, model, tmp_path / "run", max_steps=2)
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    plain = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "saved").eval()
    ids = torch.randint(FIRST_REGULAR, 90, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = (one(input_ids=ids, decoder_input_ids=ids[:, :5]).logits for one in (model.eval(), plain))
    assert torch.equal(ours, theirs)


# ---- bad input ---------------------------------------------------------------------------------------------------


def test_the_mixture_is_chosen_by_its_name() -> None:
    assert resolve_objective("span_denoising", {"mixture": "ul2"}, "encoder-decoder")[0] is MixtureOfDenoisers
    assert resolve_objective("span_denoising", {}, "encoder-decoder")[0] is SpanDenoising
    with pytest.raises(RecipeError, match="objective.mixture"):
        resolve_objective("span_denoising", {"mixture": "ul3"}, "encoder-decoder")


@pytest.mark.parametrize("option", ["noise_density", "mean_noise_span_length"])
def test_options_without_effect_are_refused(option: str) -> None:
    value = {"noise_density": 0.3, "mean_noise_span_length": 5}[option]
    with pytest.raises(RecipeError, match=f"`objective.{option}` has no effect with `mixture: ul2`"):
        objective(**{option: value})


def test_tokenizers_without_modes_or_enough_sentinels_are_refused() -> None:
    with pytest.raises(ModelError, match=r"\[R\], \[S\] and \[X\]"):
        objective(vocabulary=dataclasses.replace(ul2_vocabulary(), mode_ids={}))
    with pytest.raises(ModelError, match="sentinels"):
        make_objective("span_denoising", {"mixture": "ul2"}, tokenizer(), max_length=32, seed=1)
    # Half of a row in spans of three: 95 of 567 tokens for 512, and over 100 for 600.
    objective(max_length=512)
    with pytest.raises(ModelError, match="up to 111 spans, and this tokenizer has 100 sentinels; .*max_length"):
        objective(max_length=600)
