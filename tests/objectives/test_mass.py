"""MASS: the eight things that `objectives` promises of every objective, and its own rules."""

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
from acclimate.objectives import resolve_objective
from acclimate.objectives.base import IGNORE, INPUT_PLACES, LABEL_PLACES, PADDING_SEGMENT
from acclimate.objectives.mass import MaskedSequenceToSequence, MassSettings
from acclimate.objectives.rows import NO_PLACE, read_row
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
from tests.objectives.tiny import BOS, EOS, FIRST_REGULAR, MASK, PAD, UNK, bart_vocabulary, memory_store

NEWLINE = 9


def objective(
    *, max_length: int = 32, seed: int = 1, vocabulary: Vocabulary | None = None, **options: object
) -> MaskedSequenceToSequence:
    return MaskedSequenceToSequence(
        MassSettings.model_validate(options), vocabulary or bart_vocabulary(), max_length=max_length, seed=seed
    )


def bart(**changes: Any) -> Any:
    special = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS, "decoder_start_token_id": EOS}
    return tiny_model("bart", "AutoModelForSeq2SeqLM", **{**special, **NO_DROPOUT["bart"], **changes})


def prepared_bart() -> Any:
    model = bart()
    prepare_for_packs(model)
    return model


class Scripted(np.random.Generator):
    """A generator whose draws are the test's."""

    def __init__(self, numbers: list[float], starts: list[int], draws: list[float]) -> None:
        super().__init__(np.random.Philox(0))
        self.numbers, self.starts, self.draws = numbers, starts, draws

    def random(self, size: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        return self.numbers.pop(0) if size is None else np.array([self.draws.pop(0) for _ in range(size)])

    def integers(self, low: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        start = self.starts.pop(0)
        assert start < low
        return start


# ---- 1. hand-made examples -------------------------------------------------------------------------------------


def test_a_pack_by_hand() -> None:
    # Of eight tokens floor(4 + 0.9) = 4 are masked, from the third on: draws 0.1 and 0.5 make masks, 0.85 a random
    # token, and 0.95 leaves one. Which random token each would be: 0.76 of 95 regular ones is 72.2, so it is the one of
    # id 5 + 72 = 77. Of three tokens floor(1.5 + 0.2) = 1, the first, with draw 0.3.
    subject = objective()
    store = memory_store([list(range(10, 18)), [20, 21, 22]])
    row = read_row(store, np.array([[0, 8], [9, 12]]), subject.vocabulary)
    draws = [*[0.1, 0.85, 0.5, 0.95], *[0.0, 0.76, 0.0, 0.0]]
    fields = subject.corrupt(row, Scripted([0.9, 0.2], [2, 0], [*draws, 0.3, 0.0]))
    assert fields["input_ids"].tolist() == [BOS, 10, 11, MASK, 77, MASK, 15, 16, 17, EOS, BOS, MASK, 21, 22, EOS]
    # Each token stands at its own position: the first of the piece behind a mask, the others behind their neighbours.
    nothing = [MASK] * 4
    assert fields["decoder_input_ids"].tolist() == [EOS, MASK, MASK, MASK, 12, 13, 14, *nothing[1:], EOS, *nothing]
    assert fields["labels"].tolist() == [*[IGNORE] * 3, 12, 13, 14, 15, *[IGNORE] * 3, IGNORE, 20, *[IGNORE] * 3]
    assert fields["segment_ids"].tolist() == fields["decoder_segment_ids"].tolist() == [0] * 10 + [1] * 5
    assert fields[INPUT_PLACES].tolist() == [-1, *range(8), -1, -1, 9, 10, 11, -1]
    assert fields[LABEL_PLACES].tolist() == [*[-1] * 3, 2, 3, 4, 5, *[-1] * 3, -1, 9, *[-1] * 3]


def test_a_joint_within_the_piece_is_read_and_not_asked_for() -> None:
    # 11, 12 and 13 are masked; between them the line break and an unknown token stay in the encoder's input, and the
    # decoder reads what stands before each token.
    subject = objective()
    store = memory_store([[10, 11], [12, UNK, 13, 14, 15]], groups="aa", newline=NEWLINE)
    row = read_row(store, np.array([[0, 8]]), subject.vocabulary)
    fields = subject.corrupt(row, Scripted([0.0], [1], [0.1] * 3 + [0.0] * 3))
    assert fields["input_ids"].tolist() == [BOS, 10, MASK, NEWLINE, MASK, UNK, MASK, 14, 15, EOS]
    assert fields["decoder_input_ids"].tolist() == [EOS, MASK, MASK, 11, NEWLINE, 12, UNK, MASK, MASK, MASK]
    assert fields["labels"].tolist() == [IGNORE, IGNORE, 11, IGNORE, 12, IGNORE, 13, IGNORE, IGNORE, IGNORE]


def test_a_text_of_special_tokens_has_no_target() -> None:
    subject, store = objective(), memory_store([[UNK]])
    batch = subject.collate([subject.example(store, subject.plan(store, isolate="document", packed=False), 0)])
    assert batch["decoder_input_ids"].tolist() == [[EOS, MASK, MASK]]
    assert subject.counts(batch).tolist() == [0]
    sums = subject.sums(bart(), batch)
    sums.sum().backward()
    assert sums.tolist() == [0]


# ---- 2. rates --------------------------------------------------------------------------------------------------


def test_rates_over_a_million_tokens() -> None:
    # Texts of 125 tokens: 62.5, so 62 or 63. The deviation of one is 0.5. Masked and random tokens are binomial.
    num_texts, length = 8_100, 125
    subject = objective(max_length=128, vocabulary=bart_vocabulary(5_000))
    rng = np.random.default_rng(0)
    store = memory_store([rng.integers(FIRST_REGULAR, 5_000, length).tolist() for _ in range(num_texts)])
    plan = subject.plan(store, isolate="document", packed=True)
    assert len(plan) == num_texts and len(store) > 1_000_000
    masked = same = 0
    sizes, starts = [], []
    for fields in epoch_of(subject, store, plan):
        targets = fields["labels"] != IGNORE
        where = np.flatnonzero(targets)
        sizes.append(len(where))
        starts.append(where[0] - 1)
        assert where[-1] - where[0] + 1 == len(where)
        masked += int((fields["input_ids"][targets] == MASK).sum())
        same += int((fields["input_ids"][targets] == fields["labels"][targets]).sum())
    assert set(sizes) == {62, 63}
    assert abs(np.mean(sizes) - 62.5) < 3 * 0.5 / math.sqrt(num_texts)
    total = sum(sizes)
    assert abs(masked / total - 0.8) < 3 * math.sqrt(0.16 / total)
    stay = 0.1 + 0.1 / 4_995
    assert abs(same / total - stay) < 3 * math.sqrt(stay * (1 - stay) / total)
    # Where the piece begins is uniform: 0 to 63 or 62, on average 31.25, with a deviation of 64 / sqrt(12) at most.
    assert abs(np.mean(starts) - 31.25) < 3 * 64 / math.sqrt(12 * num_texts)
    assert min(starts) == 0 and max(starts) == 63


# ---- 3. special tokens -----------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=60), min_size=1, max_size=5),
    packed=st.booleans(),
    ratio=st.sampled_from([0.5, 0.1, 0.9]),
    epoch=st.integers(0, 1000),
)
def test_special_tokens_are_never_taken_nor_produced(
    documents: list[list[int]], packed: bool, ratio: float, epoch: int
) -> None:
    subject = objective(mask_ratio=ratio)
    store = memory_store(documents)
    examples = epoch_of(subject, store, subject.plan(store, isolate="document", packed=packed), epoch)
    special = subject.vocabulary.special
    for fields in examples:
        ids, labels, decoder = fields["input_ids"], fields["labels"], fields["decoder_input_ids"]
        # Positions are kept: both sides are of one length.
        assert len(ids) == len(labels) == len(decoder) <= 32
        targets = labels != IGNORE
        assert not special[labels[targets]].any()
        original = np.where(fields[INPUT_PLACES] == NO_PLACE, ids, store.ids[fields[INPUT_PLACES]])
        assert np.array_equal(labels[targets], original[targets])
        assert np.array_equal(ids[~targets], original[~targets])
        assert ((ids[targets] == MASK) | ~special[ids[targets]]).all()
        for segment in range(fields["segment_ids"][-1] + 1):
            mine = fields["segment_ids"] == segment
            text, read, asked = original[mine], decoder[mine], np.flatnonzero(targets[mine])
            assert read[0] == EOS
            candidates = np.flatnonzero((~special[text]) & (fields[INPUT_PLACES][mine] != NO_PLACE))
            assert len(asked) >= min(1, len(candidates))
            inside = np.zeros(len(text), dtype=bool)
            if len(asked):
                # Neighbours among the text's own tokens.
                assert set(candidates[(candidates >= asked[0]) & (candidates <= asked[-1])]) == set(asked)
                inside[asked[0] + 1 : asked[-1] + 1] = True
            assert np.array_equal(read[1:][inside[1:]], text[:-1][inside[1:]])
            assert (read[1:][~inside[1:]] == MASK).all()
    batch = subject.collate(examples)
    assert (batch["labels"][batch["decoder_segment_ids"] == PADDING_SEGMENT] == IGNORE).all()
    assert (batch["input_ids"][batch["segment_ids"] == PADDING_SEGMENT] == PAD).all()


# ---- 4. a pure function of (seed, epoch, example) --------------------------------------------------------------

STORE = memory_store(texts(60))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 4])
def test_examples_do_not_depend_on_workers(workers: int) -> None:
    subject = objective()
    check_workers(subject, STORE, subject.plan(STORE, isolate="group", packed=True), workers)


def test_two_processes_see_what_one_sees() -> None:
    check_processes(objective, STORE, objective().plan(STORE, isolate="group", packed=True))


def test_pieces_change_with_epoch_and_seed() -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=True)
    first = labels_of(epoch_of(subject, STORE, plan))
    assert np.array_equal(first, labels_of(epoch_of(objective(), STORE, plan)))
    assert not np.array_equal(first, labels_of(epoch_of(subject, STORE, plan, epoch=1)))
    assert not np.array_equal(first, labels_of(epoch_of(objective(seed=2), STORE, plan)))


# ---- 5. loss and gradient --------------------------------------------------------------------------------------


def test_loss_and_gradient_equal_the_reference_class() -> None:
    # Its own loss does not shift labels, which are beside what the decoder reads.
    subject, ours, theirs = objective(), bart(), bart()
    plan = subject.plan(STORE, isolate="group", packed=False)
    batch = subject.collate(epoch_of(subject, STORE, plan)[:6])
    loss = loss_of(subject, ours, batch)
    loss.backward()
    reference = theirs(
        input_ids=batch["input_ids"],
        attention_mask=batch["segment_ids"].ne(PADDING_SEGMENT).long(),
        decoder_input_ids=batch["decoder_input_ids"],
        labels=batch["labels"],
    )
    reference.loss.backward()
    assert loss.item() == pytest.approx(reference.loss.item(), rel=1e-5)
    check_gradients(gradients(ours), gradients(theirs))


@pytest.mark.parametrize("packed", [True, False])
def test_accumulation_gives_the_same_gradient(packed: bool, tmp_path: Path) -> None:
    subject = objective()
    check_accumulation(subject, STORE, subject.plan(STORE, isolate="group", packed=packed), bart, tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_padding_changes_nothing(packed: bool) -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=packed)
    check_padding(subject, prepared_bart(), epoch_of(subject, STORE, plan)[-4:])


# ---- 6. packs ------------------------------------------------------------------------------------------------


def test_in_a_pack_no_document_sees_another() -> None:
    subject, store = objective(), memory_store([list(range(10, 20)), list(range(20, 31))])
    plan = subject.plan(store, isolate="document", packed=True)
    check_packs(subject, prepared_bart(), subject.example(store, plan, 0))


def test_every_token_is_an_input_once_an_epoch_and_sometimes_a_target() -> None:
    # The rarest target is the first token of a text: one of 17 places where the piece may begin. Over 250 epochs it is
    # never asked for with a chance of (16 / 17)^250 = 3e-7.
    subject = objective()
    plan = subject.plan(STORE, isolate="document", packed=True)
    inputs, targets = exposed(STORE, [subject.example(STORE, plan, key) for key in range(250 * len(plan))])
    regular = STORE.ids >= FIRST_REGULAR
    assert (inputs[regular] == 250).all() and inputs[~regular].sum() == 0
    assert (targets[regular] > 0).all() and targets[~regular].sum() == 0


# ---- 7. it learns ----------------------------------------------------------------------------------------------


def test_it_learns(tmp_path: Path) -> None:
    # A text keeps to one token, which the half that is left tells.
    store, subject = memory_store(topics(80, num_topics=24, size=1)), objective()
    plan = subject.plan(store, isolate="document", packed=True)
    model = bart(init_std=0.02)
    entropy = unigram_entropy(labels_of(epoch_of(subject, store, plan)))
    losses = learn(
        subject, store, plan, model, tmp_path, max_steps=80, per_device_train_batch_size=16, learning_rate=5e-3
    )
    assert losses[0] > 4
    (loss,) = mean_losses(subject, store, plan, model)
    assert loss < 0.5 * entropy


# ---- 8. save, reload, same logits ------------------------------------------------------------------------------


def test_a_run_is_a_plain_checkpoint(tmp_path: Path) -> None:
    subject, model = objective(), bart()
    plan = subject.plan(STORE, isolate="document", packed=True)
    trainer = make_trainer(subject, STORE, plan, model, tmp_path / "run", max_steps=2)
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    plain = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "saved").eval()
    batch = subject.collate(epoch_of(subject, STORE, subject.plan(STORE, isolate="document", packed=False))[:3])
    inputs = {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["segment_ids"].ne(PADDING_SEGMENT).long(),
        "decoder_input_ids": batch["decoder_input_ids"],
    }
    with torch.no_grad():
        assert torch.equal(model.eval()(**inputs).logits, plain(**inputs).logits)


# ---- bad input ---------------------------------------------------------------------------------------------------


def test_a_tokenizer_without_mask_token_is_refused() -> None:
    with pytest.raises(ModelError, match="`mass` needs a mask token"):
        objective(vocabulary=dataclasses.replace(bart_vocabulary(), mask_id=None))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_ratio": 0}, "objective.mask_ratio"),
        ({"mask_ratio": 1}, "objective.mask_ratio"),
        ({"mask_replace_prob": 1.1}, "objective.mask_replace_prob"),
        ({"mask_replace_prob": 0.8, "random_replace_prob": 0.3}, "together exceed 1"),
        ({"ratio": 0.5}, "objective.ratio"),
    ],
)
def test_wrong_options_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        resolve_objective("mass", options, "encoder-decoder")
