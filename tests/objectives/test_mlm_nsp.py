"""Masked tokens with next sentences: the eight things that `objectives` promises of every objective, and its own rules.

How documents are cut into pairs, and which exchange their second segments, stands in `test_sentence_pairs.py`.
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
from transformers import AutoModelForPreTraining, BertForPreTraining

from acclimate.errors import DataError
from acclimate.objectives.base import IGNORE, INPUT_PLACES, LABEL_PLACES, PADDING_SEGMENT
from acclimate.objectives.mlm_nsp import MaskedLanguageModelingWithNextSentence, SentencePairSettings
from acclimate.objectives.rows import NO_PLACE
from acclimate.tokens.store import IS_RANDOM, JOINT, SECOND_START, WORD_START
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
    topics,
    unigram_entropy,
)
from tests.objectives.test_mlm import Scripted
from tests.objectives.tiny import CLS, FIRST_REGULAR, MASK, PAD, SEP, MemoryStore, memory_store, vocabulary


def objective(
    *, max_length: int = 32, seed: int = 1, size: int = 100, **options: object
) -> MaskedLanguageModelingWithNextSentence:
    settings = SentencePairSettings.model_validate(options)
    return MaskedLanguageModelingWithNextSentence(settings, vocabulary(size), max_length=max_length, seed=seed)


def bert(**changes: Any) -> Any:
    return tiny_model("bert", "AutoModelForPreTraining", **{"pad_token_id": PAD, **NO_DROPOUT["bert"], **changes})


def plan_of(subject: MaskedLanguageModelingWithNextSentence, store: MemoryStore) -> Any:
    return subject.plan(store, isolate="document", packed=False)  # type: ignore[arg-type]


def original_ids(example: dict[str, np.ndarray]) -> np.ndarray:
    return np.where(example["labels"] == IGNORE, example["input_ids"], example["labels"])


# ---- 1. hand-made examples -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("partners", "label", "second", "places"), [([0, 1], 0, [12, 13], [2, 3]), ([1, 0], 1, [22, 23], [7, 8])]
)
def test_a_pair_by_hand(
    monkeypatch: pytest.MonkeyPatch, partners: list[int], label: int, second: list[int], places: list[int]
) -> None:
    # Documents of four tokens at places 0 … 3 and 5 … 8, each cut in two. Row 0 has its own second half, or that of
    # the other document. Candidates are positions 1, 2, 4, 5; in the order 2, 0, 1, 3 of them the arc of 0.5 * 4
    # tokens from 0 on takes the first two: positions 4 and 1. Draws: 0.1 is masked, 0.95 stays; the last two are for
    # random tokens.
    monkeypatch.setattr(
        "acclimate.objectives.mlm_nsp.exchange", lambda *_: (np.array(partners), np.array([label, label]))
    )
    subject = objective(mlm_probability=0.5)
    monkeypatch.setattr(subject, "rng", lambda key: Scripted(uniform=[0.0, 0.1, 0.95, 0.0, 0.0], order=[2, 0, 1, 3]))
    store = memory_store([[10, 11, 12, 13], [20, 21, 22, 23]])
    plan = plan_of(subject, store)
    fields = subject.example(store, plan, 0)
    assert fields["input_ids"].tolist() == [CLS, 10, 11, SEP, MASK, second[1], SEP]
    assert fields["labels"].tolist() == [IGNORE, 10, IGNORE, IGNORE, second[0], IGNORE, IGNORE]
    assert fields["token_type_ids"].tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert fields["next_sentence_label"].tolist() == [label]
    assert fields["segment_ids"].tolist() == [0] * 7
    assert fields["position_ids"].tolist() == list(range(7))
    assert fields[INPUT_PLACES].tolist() == [NO_PLACE, 0, 1, NO_PLACE, *places, NO_PLACE]
    assert fields[LABEL_PLACES].tolist() == [NO_PLACE, 0, NO_PLACE, NO_PLACE, places[0], NO_PLACE, NO_PLACE]
    assert subject.row_lengths(plan, 0).tolist() == [7, 7]


def test_labelled_pairs_by_hand() -> None:
    # Two labelled pairs: in the store, and in the classes of transformers, 1 means that B is random.
    mark = SECOND_START | WORD_START
    store = memory_store(
        [[10, 11, SEP, 12], [20, SEP, 21, 22]],
        flags=[[1, 1, JOINT | WORD_START, mark], [1, JOINT | WORD_START, mark | IS_RANDOM, 1]],
        has_pairs=True,
    )
    subject = objective()
    first, second = epoch_of(subject, store, plan_of(subject, store), epoch=3)
    assert original_ids(first).tolist() == [CLS, 10, 11, SEP, 12, SEP]
    assert first["token_type_ids"].tolist() == [0, 0, 0, 0, 1, 1]
    assert first["next_sentence_label"].tolist() == [0]
    assert original_ids(second).tolist() == [CLS, 20, SEP, 21, 22, SEP]
    assert second["next_sentence_label"].tolist() == [1]


def test_words_are_masked_whole() -> None:
    # One word in each half: all of it is chosen, or nothing.
    flags = [1, 0, 0, 1, 0, 0]
    store = memory_store([[10, 11, 12, 13, 14, 15]] * 2, flags=[flags] * 2)
    subject = objective(unit="word")
    for epoch in range(20):
        for example in epoch_of(subject, store, plan_of(subject, store), epoch):
            chosen = example["labels"] != IGNORE
            assert chosen.any()
            assert len(set(chosen[1:4].tolist())) == len(set(chosen[5:8].tolist())) == 1


def test_notes_of_what_has_no_place() -> None:
    subject = objective(max_length=16)
    alone = subject.plan_notes(plan_of(subject, memory_store([[10], [11, 12], [13, 14]])))
    assert len(alone) == 1 and alone[0].startswith("1 tokens stand alone")
    mark = SECOND_START | WORD_START
    long = memory_store([[10] * 9 + [SEP] + [11] * 9], flags=[[1] * 9 + [3] + [mark] + [1] * 8], has_pairs=True)
    cut = subject.plan_notes(plan_of(subject, long))
    assert len(cut) == 1 and cut[0].startswith("5 tokens of labelled pairs")
    assert subject.plan_notes(plan_of(subject, memory_store([[10, 11], [12, 13]]))) == []


def test_one_document_is_refused() -> None:
    with pytest.raises(DataError, match="this corpus has only one"):
        plan_of(objective(), memory_store([list(range(10, 90))]))


# ---- 2. rates --------------------------------------------------------------------------------------------------


def test_rates_over_a_million_tokens() -> None:
    # 1,000 documents of 1,000 tokens, rows of 128. A row of n tokens has floor(0.15 n + u) chosen, at least one: in
    # expectation max(1, 0.15 n), with a variance of at most 1/4. Each chosen token is masked, replaced or kept by a
    # draw of its own; a random token is the same one in 1 of 4,995.
    rng = np.random.default_rng(0)
    store = memory_store(rng.integers(FIRST_REGULAR, 5_000, (1_000, 1_000)).tolist())
    subject = objective(max_length=128, size=5_000)
    plan = plan_of(subject, store)
    examples = epoch_of(subject, store, plan)
    lengths = np.array([len(example["input_ids"]) - 3 for example in examples])
    assert lengths.sum() >= 1_000_000
    chosen = masked = same = num_random = 0
    for example in examples:
        targets = example["labels"] != IGNORE
        chosen += int(targets.sum())
        masked += int((example["input_ids"][targets] == MASK).sum())
        same += int((example["input_ids"][targets] == example["labels"][targets]).sum())
        document = example[INPUT_PLACES] // 1_001
        first = document[(example["token_type_ids"] == 0) & (example[INPUT_PLACES] != NO_PLACE)]
        second = document[(example["token_type_ids"] == 1) & (example[INPUT_PLACES] != NO_PLACE)]
        assert len(np.unique(first)) == len(np.unique(second)) == 1
        is_random = bool(example["next_sentence_label"][0])
        # Random segments are never from the same document, next ones always are, and follow.
        assert is_random == (first[0] != second[0])
        num_random += is_random
    expected = np.maximum(1, 0.15 * lengths).sum()
    assert abs(chosen - expected) < 3 * math.sqrt(len(examples) / 4)
    assert abs(masked / chosen - 0.8) < 3 * math.sqrt(0.8 * 0.2 / chosen)
    stay = 0.1 + 0.1 / 4_995
    assert abs(same / chosen - stay) < 3 * math.sqrt(stay * (1 - stay) / chosen)
    # Half of the pairs of an epoch, to the last one.
    assert num_random in (len(examples) // 2, (len(examples) + 1) // 2)
    assert np.array_equal(subject.row_lengths(plan, 0), lengths + 3)


# ---- 3. special tokens -----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(0, 99), min_size=2, max_size=40), min_size=2, max_size=6),
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
        assert (example[INPUT_PLACES][targets] != NO_PLACE).all()
        assert len(example["input_ids"]) <= subject.max_length
        ids = example["input_ids"]
        assert (ids[0], ids[-1]) == (CLS, SEP)
        assert example["next_sentence_label"][0] in (0, 1)
    batch = subject.collate(examples)
    padding = batch["segment_ids"] == PADDING_SEGMENT
    assert (batch["labels"][padding] == IGNORE).all()
    assert (batch["input_ids"][padding] == PAD).all()
    assert batch["next_sentence_label"].shape == (len(examples), 1)
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


def test_pairs_and_masks_change_with_epoch_and_seed() -> None:
    subject = objective()
    plan = plan_of(subject, STORE)

    def drawn(subject: MaskedLanguageModelingWithNextSentence, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        examples = epoch_of(subject, STORE, plan, epoch)
        return np.concatenate([example["next_sentence_label"] for example in examples]), labels_of(examples)

    first, again = drawn(subject, 0), drawn(objective(), 0)
    for other in (drawn(subject, 1), drawn(objective(seed=2), 0)):
        assert not np.array_equal(first[0], other[0])
        assert not np.array_equal(first[1], other[1])
    # The arrangement that is kept for an epoch is found again after another one.
    back = drawn(subject, 0)
    for pair in (again, back):
        assert np.array_equal(first[0], pair[0]) and np.array_equal(first[1], pair[1])


# ---- 5. loss and gradient --------------------------------------------------------------------------------------


def test_loss_and_gradient_equal_the_reference_class() -> None:
    subject, ours, theirs = objective(), bert(), bert()
    assert isinstance(theirs, BertForPreTraining)
    batch = subject.collate(epoch_of(subject, STORE, plan_of(subject, STORE))[:8])
    assert set(batch["next_sentence_label"].flatten().tolist()) == {0, 1}
    loss = loss_of(subject, ours, batch)
    loss.backward()
    # The sum of two means: of the masked tokens, and of the verdicts.
    reference = theirs(
        input_ids=batch["input_ids"],
        attention_mask=batch["segment_ids"].ne(PADDING_SEGMENT).long(),
        token_type_ids=batch["token_type_ids"],
        labels=batch["labels"],
        next_sentence_label=batch["next_sentence_label"],
    )
    reference.loss.backward()
    assert loss.item() == pytest.approx(reference.loss.item(), rel=1e-5)
    check_gradients(gradients(ours), gradients(theirs))


def test_accumulation_gives_the_same_gradient(tmp_path: Path) -> None:
    subject = objective()
    check_accumulation(subject, STORE, plan_of(subject, STORE), bert, tmp_path)


def test_padding_changes_nothing() -> None:
    subject = objective()
    check_padding(subject, bert(), epoch_of(subject, STORE, plan_of(subject, STORE))[:6])


def test_scores_say_where_the_verdicts_are() -> None:
    subject, model = objective(), bert()
    batch = subject.collate(epoch_of(subject, STORE, plan_of(subject, STORE))[:5])
    with torch.no_grad():
        tokens, verdicts = subject.scores(model, batch)
        logits = model(
            batch["input_ids"],
            attention_mask=batch["segment_ids"].ne(PADDING_SEGMENT).long(),
            token_type_ids=batch["token_type_ids"],
        ).seq_relationship_logits
    labels = batch["next_sentence_label"][:, 0]
    assert torch.equal(verdicts.labels, labels)
    assert torch.equal(verdicts.correct, logits.argmax(-1) == labels)
    assert verdicts.rows.tolist() == list(range(5))
    assert verdicts.segments.tolist() == [0] * 5
    assert len(tokens.losses) == subject.counts(batch)[0]


# ---- 6. rows are not packed; pairs of a batch do not see each other ----------------------------------------------


def test_no_pair_sees_another() -> None:
    subject, model = objective(), bert()
    assert not subject.packs
    examples = epoch_of(subject, STORE, plan_of(subject, STORE))[:3]
    with torch.no_grad():
        together = subject.sums(model, subject.collate(examples))
        apart = torch.stack([subject.sums(model, subject.collate([example])) for example in examples]).sum(0)
    assert torch.allclose(together, apart, rtol=1e-5)


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_every_token_is_an_input_once_an_epoch(epoch: int) -> None:
    # Halves are exchanged, none is displaced.
    subject = objective()
    inputs, targets = exposed(STORE, epoch_of(subject, STORE, plan_of(subject, STORE), epoch))
    regular = STORE.ids >= FIRST_REGULAR
    assert np.array_equal(inputs, regular.astype(int))
    assert targets[~regular].sum() == 0 and targets.max() == 1


def test_every_token_is_a_target_some_time() -> None:
    # Over 120 epochs, but for a chance of 0.85^120 = 3e-9 each. A document of one token makes no pair.
    store, subject = memory_store([*texts(10), [10]]), objective()
    plan = plan_of(subject, store)
    inputs, targets = exposed(store, [subject.example(store, plan, key) for key in range(120 * len(plan))])
    regular = store.ids >= FIRST_REGULAR
    regular[-2] = False
    assert (targets[regular] > 0).all()
    assert (inputs[regular] == 120).all()
    assert inputs[-2] == targets[-2] == 0


# ---- 7. it learns ----------------------------------------------------------------------------------------------


def test_it_learns(tmp_path: Path) -> None:
    # A text keeps to one of eight topics of three tokens: the others tell a masked one to ln 3 nats (3.2 by frequency),
    # and a random B is of another topic than A seven times in eight.
    store, subject = memory_store(topics(80)), objective()
    plan = plan_of(subject, store)
    model = bert(initializer_range=0.1)
    entropy = unigram_entropy(labels_of(epoch_of(subject, store, plan)))
    learn(subject, store, plan, model, tmp_path, max_steps=200, per_device_train_batch_size=16, learning_rate=1e-2)
    tokens, verdicts = mean_losses(subject, store, plan, model)
    assert tokens < 0.6 * entropy
    assert verdicts < 0.6 * math.log(2)


# ---- 8. save, reload, same logits ------------------------------------------------------------------------------


def test_a_run_is_a_plain_checkpoint(tmp_path: Path) -> None:
    subject, model = objective(), bert()
    trainer = make_trainer(subject, STORE, plan_of(subject, STORE), model, tmp_path / "run", max_steps=2)
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    plain = AutoModelForPreTraining.from_pretrained(tmp_path / "saved").eval()
    assert isinstance(plain, BertForPreTraining)
    ids = torch.randint(5, 90, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = model.eval()(input_ids=ids), plain(input_ids=ids)
    assert torch.equal(ours.prediction_logits, theirs.prediction_logits)
    assert torch.equal(ours.seq_relationship_logits, theirs.seq_relationship_logits)
