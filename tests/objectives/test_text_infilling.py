"""Text infilling: the eight things that `objectives` promises of every objective, and its own rules."""

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
from transformers import AutoModelForSeq2SeqLM, BartForConditionalGeneration

from acclimate.errors import ModelError, RecipeError
from acclimate.models.loading import prepare_for_packs
from acclimate.objectives import resolve_objective
from acclimate.objectives.base import IGNORE, INPUT_PLACES, LABEL_PLACES, PADDING_SEGMENT
from acclimate.objectives.rows import NO_PLACE
from acclimate.objectives.text_infilling import TextInfilling, TextInfillingSettings, infill, permuted
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.randomness import Purpose, generator
from acclimate.tokens.store import SENTENCE_START, WORD_START
from acclimate.tokens.tokenizers import Frame
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
from tests.objectives.tiny import BOS, EOS, FIRST_REGULAR, MASK, PAD, UNK, MemoryStore, bart_vocabulary, memory_store

NEWLINE = 9


def objective(
    *, max_length: int = 32, seed: int = 1, vocabulary: Vocabulary | None = None, **options: object
) -> TextInfilling:
    return TextInfilling(
        TextInfillingSettings.model_validate(options),
        vocabulary or bart_vocabulary(),
        max_length=max_length,
        seed=seed,
    )


def bart(**changes: Any) -> Any:
    special = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS, "decoder_start_token_id": EOS}
    return tiny_model("bart", "AutoModelForSeq2SeqLM", **{**special, **NO_DROPOUT["bart"], **changes})


def prepared_bart() -> Any:
    model = bart()
    prepare_for_packs(model)
    return model


def sentences(*documents: list[list[int]]) -> MemoryStore:
    """A store of documents, each of some sentences."""
    flags = [
        [WORD_START | SENTENCE_START * (number == 0) for sentence in document for number in range(len(sentence))]
        for document in documents
    ]
    return memory_store([sum(document, []) for document in documents], flags=flags)


class Scripted(np.random.Generator):
    """A generator whose draws are the test's."""

    def __init__(self, uniform: list[float], poisson: list[int], orders: list[list[int]]) -> None:
        super().__init__(np.random.Philox(0))
        self.uniform_draws, self.poisson_draws, self.orders = uniform, poisson, orders

    def random(self, *args: Any, **kwargs: Any) -> float:  # type: ignore[override]
        return self.uniform_draws.pop(0)

    def poisson(self, *args: Any, **kwargs: Any) -> int:  # type: ignore[override]
        return self.poisson_draws.pop(0)

    def permutation(self, x: Any, axis: int = 0) -> Any:  # type: ignore[override]
        order = self.orders.pop(0)
        assert sorted(order) == list(range(x))
        return np.array(order)


# ---- 1. hand-made examples -------------------------------------------------------------------------------------


def test_a_text_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # Three sentences of three tokens, three and four, in the order 2, 0, 1: 16 17 18 19 10 11 12 13 14 15. The budget
    # is floor(0.4 * 10 + 0.5) = 4. Poisson's lengths are 2, 0 and 5, cut to 2: three masks and six tokens that stay are
    # nine slots. The spans of 2 and 2 are in the slots 1 and 7, the insertion in slot 3:
    # 16 [17 18] 19 [] 10 11 12 [13 14] 15.
    subject, store = objective(mask_ratio=0.4), sentences([[10, 11, 12], [13, 14, 15], [16, 17, 18, 19]])
    rng = Scripted([0.5], [2, 0, 5], [[2, 0, 1], [1, 7, 3, 0, 2, 4, 5, 6, 8]])
    monkeypatch.setattr(subject, "rng", lambda key: rng)
    fields = subject.example(store, subject.plan(store, isolate="document", packed=True), 0)
    assert fields["input_ids"].tolist() == [BOS, 16, MASK, 19, MASK, 10, 11, 12, MASK, 15, EOS]
    assert fields["labels"].tolist() == [BOS, *range(10, 20), EOS]
    assert fields["decoder_input_ids"].tolist() == [EOS, BOS, *range(10, 20)]
    assert fields["segment_ids"].tolist() == [0] * 11
    assert fields["decoder_segment_ids"].tolist() == [0] * 12
    assert fields[INPUT_PLACES].tolist() == [-1, 6, -1, 9, -1, 0, 1, 2, -1, 5, -1]
    assert fields[LABEL_PLACES].tolist() == [NO_PLACE, *range(10), NO_PLACE]


def test_a_pack_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of a text of two tokens floor(0.6 + 0.3) = 0 are taken out; of one of three floor(0.9 + 0.5) = 1: an insertion
    # that Poisson draws first would be one mask more than tokens are lost, and is left out.
    subject, store = objective(permute_sentences=False), memory_store([[10, 11], [20, 21, 22]])
    monkeypatch.setattr(subject, "rng", lambda key: Scripted([0.3, 0.5], [0, 3], [[0, 1], [2, 0, 1]]))
    fields = subject.example(store, subject.plan(store, isolate="document", packed=True), 0)
    assert fields["input_ids"].tolist() == [BOS, 10, 11, EOS, BOS, 20, 21, MASK, EOS]
    assert fields["labels"].tolist() == [BOS, 10, 11, EOS, BOS, 20, 21, 22, EOS]
    assert fields["decoder_input_ids"].tolist() == [EOS, BOS, 10, 11, EOS, BOS, 20, 21, 22]
    assert fields["segment_ids"].tolist() == fields["decoder_segment_ids"].tolist() == [0] * 4 + [1] * 5


def test_line_breaks_are_written_and_unknown_tokens_are_not() -> None:
    # Neither is ever taken out. A line break is part of the text; an unknown token stands for what nobody can write.
    store = memory_store([[10, UNK, 11], [12, 13]], groups="aa", newline=NEWLINE)
    subject = objective(mask_ratio=0.99, permute_sentences=False)
    fields = subject.example(store, subject.plan(store, isolate="group", packed=True), 0)
    kept = [token for token in fields["input_ids"].tolist() if token != MASK]
    assert kept == [BOS, UNK, NEWLINE, EOS] or len(kept) > 4
    assert fields["labels"].tolist() == [BOS, 10, IGNORE, 11, NEWLINE, 12, 13, EOS]
    assert fields["decoder_input_ids"].tolist() == [EOS, BOS, 10, UNK, 11, NEWLINE, 12, 13]
    assert fields[LABEL_PLACES].tolist() == [NO_PLACE, 0, NO_PLACE, 2, 3, 4, 5, NO_PLACE]


def test_the_frame_is_the_tokenizers() -> None:
    # mBART's ends with the language, 7; T5's has no beginning.
    for frame in (Frame((), (EOS, 7)), Frame((), (EOS,))):
        subject = objective(vocabulary=dataclasses.replace(bart_vocabulary(), frame=frame))
        store = memory_store([[10, 11]])
        fields = subject.example(store, subject.plan(store, isolate="document", packed=True), 0)
        assert fields["labels"].tolist() == [10, 11, *frame.suffix]
        assert fields["input_ids"][-len(frame.suffix) :].tolist() == [*frame.suffix]


# ---- 2. rates and spans ------------------------------------------------------------------------------------------


def test_rates_over_a_million_tokens() -> None:
    # Texts of 500 tokens: 150 are taken out of each, with no chance in it. Lengths are Poisson(3)'s, with p_s for s, 0
    # included, the last one cut. How many masks a budget of b makes: E(b) = 1 + p_0 E(b) + sum over 0 < s < b of
    # p_s E(b - s), and likewise of the square.
    num_texts, length, budget = 2_010, 500, 150
    shares = [math.exp(-3) * 3**s / math.factorial(s) for s in range(60)]
    mean, square = np.zeros(budget + 1), np.zeros(budget + 1)
    for b in range(1, budget + 1):
        rest = range(1, min(b, 60))
        mean[b] = (1 + sum(shares[s] * mean[b - s] for s in rest)) / (1 - shares[0])
        others = sum(shares[s] * mean[b - s] for s in rest) + shares[0] * mean[b]
        square[b] = (1 + 2 * others + sum(shares[s] * square[b - s] for s in rest)) / (1 - shares[0])
    deviation = math.sqrt(square[budget] - mean[budget] ** 2)
    rng = np.random.default_rng(0)
    store = memory_store([rng.integers(10, 90, length).tolist() for _ in range(num_texts)])
    assert len(store) > 1_000_000
    subject = objective(max_length=502)
    plan = subject.plan(store, isolate="document", packed=True)
    assert len(plan) == num_texts
    masks = []
    for fields in epoch_of(subject, store, plan):
        assert (fields[INPUT_PLACES] != NO_PLACE).sum() == length - budget
        assert (fields[LABEL_PLACES] != NO_PLACE).sum() == length
        masks.append((fields["input_ids"] == MASK).sum())
    assert abs(np.mean(masks) - mean[budget]) < 3 * deviation / math.sqrt(num_texts)


def test_lengths_are_poissons() -> None:
    # Where 300 tokens are taken out, what the last span is cut to hardly counts. The shares of the lengths 0 to 9 over
    # n spans have standard errors of sqrt(p (1 - p) / n).
    options = TextInfillingSettings()
    found: list[int] = []
    for number in range(300):
        is_span, lengths = infill(1_000, options, generator(1, Purpose.CORRUPTION, number))
        assert (lengths[~is_span] == 1).all() and lengths.sum() == 1_000
        found += lengths[is_span].tolist()
    for length in range(10):
        share = math.exp(-3) * 3**length / math.factorial(length)
        error = math.sqrt(share * (1 - share) / len(found))
        assert abs(found.count(length) / len(found) - share) < 3 * error + 0.003


@pytest.mark.parametrize("length", [1, 2, 5, 11])
def test_short_texts_have_their_share_as_well(length: int) -> None:
    taken = []
    for number in range(5_000):
        is_span, lengths = infill(length, TextInfillingSettings(), generator(1, Purpose.CORRUPTION, number))
        taken.append(lengths[is_span].sum())
        # Never more masks than tokens are lost.
        assert is_span.sum() <= taken[-1]
    rule = 0.3 * length
    share = rule % 1
    assert abs(np.mean(taken) - rule) < 3 * math.sqrt(share * (1 - share) / 5_000) + 1e-9


def test_every_place_is_taken_as_often() -> None:
    # One span of one token in a text of four, where Poisson's length is cut to it: each token with 1/4.
    num = 4_000
    counts = np.zeros(4)
    for number in range(num):
        is_span, lengths = infill(4, TextInfillingSettings(mask_ratio=0.25), generator(1, Purpose.CORRUPTION, number))
        if is_span.sum() == 1:
            counts[np.flatnonzero(is_span)[0]] += 1
    assert counts.sum() == num
    assert (np.abs(counts - num / 4) < 3 * math.sqrt(num * 3 / 16)).all()


@given(starts=st.lists(st.booleans(), max_size=60), number=st.integers(0, 1000))
def test_sentences_are_permuted_whole(starts: list[bool], number: int) -> None:
    order = permuted(np.array(starts, dtype=bool), generator(1, Purpose.CORRUPTION, number))
    assert sorted(order.tolist()) == list(range(len(starts)))
    # Whatever begins no sentence stands behind its neighbour.
    for before, place in zip([-1, *order.tolist()], order.tolist(), strict=False):
        if place > 0 and not starts[place]:
            assert before == place - 1


def test_every_order_of_sentences_is_as_likely() -> None:
    # Three sentences: six orders of 1/6.
    num = 6_000
    starts = np.array([True, False, True, True, False])
    found: dict[tuple[int, ...], int] = {}
    for number in range(num):
        order = tuple(permuted(starts, generator(1, Purpose.CORRUPTION, number)).tolist())
        found[order] = found.get(order, 0) + 1
    assert len(found) == 6
    assert all(abs(count - num / 6) < 3 * math.sqrt(num * 5 / 36) for count in found.values())


# ---- 3. special tokens, and rows that never overflow ----------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=60), min_size=1, max_size=6),
    marks=st.integers(1, 7),
    groups=st.booleans(),
    packed=st.booleans(),
    ratio=st.sampled_from([0.3, 0.05, 0.9]),
    mean=st.sampled_from([3.0, 1.0]),
    epoch=st.integers(0, 1000),
)
def test_rows_never_overflow_and_special_tokens_stay(
    documents: list[list[int]], marks: int, groups: bool, packed: bool, ratio: float, mean: float, epoch: int
) -> None:
    subject = objective(mask_ratio=ratio, poisson_lambda=mean)
    flags = [[WORD_START | SENTENCE_START * (n % marks == 0) for n in range(len(text))] for text in documents]
    store = memory_store(documents, flags=flags, groups="a" * len(documents) if groups else "", newline=NEWLINE)
    plan = subject.plan(store, isolate="group", packed=packed)
    examples = epoch_of(subject, store, plan, epoch)
    special = subject.vocabulary.special
    for fields in examples:
        assert len(fields["input_ids"]) <= len(fields["labels"]) <= 32
        put_in = fields["input_ids"][fields[INPUT_PLACES] == NO_PLACE]
        assert set(put_in.tolist()) <= {BOS, EOS, MASK}
        of_text = fields[LABEL_PLACES] != NO_PLACE
        labels = fields["labels"][of_text]
        assert (~special[labels] | (labels == EOS)).all()
        assert set(fields["labels"][~of_text].tolist()) <= {BOS, EOS, IGNORE}
        # Special tokens of a text, and its line breaks, are never taken out.
        for segment in np.unique(fields["segment_ids"]):
            source = fields["input_ids"][fields["segment_ids"] == segment]
            text = fields["decoder_input_ids"][fields["decoder_segment_ids"] == segment][2:]
            for token in (UNK, PAD, NEWLINE):
                kept = (source == token).sum()
                assert kept == (text == token).sum() or token == NEWLINE
    inputs, targets = exposed(store, examples)
    start, end = store.groups[:, 0], store.groups[:, 1]
    in_a_text = np.concatenate([np.arange(a, b) for a, b in zip(start, end, strict=True)])
    ids = store.ids[in_a_text]
    assert np.array_equal(targets[in_a_text], (~special[ids] | (ids == EOS)).astype(int))
    assert (inputs <= 1).all()
    assert (inputs[in_a_text][special[ids]] == 1).all()
    assert inputs.sum() <= len(in_a_text)
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


def test_spans_change_with_epoch_and_seed() -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=True)

    def inputs(subject: TextInfilling, epoch: int = 0) -> list[list[int]]:
        return [fields["input_ids"].tolist() for fields in epoch_of(subject, STORE, plan, epoch)]

    assert inputs(subject) == inputs(objective())
    assert inputs(subject) != inputs(subject, 1) and inputs(subject) != inputs(objective(seed=2))
    # The target is the same in all of them.
    assert np.array_equal(labels_of(epoch_of(subject, STORE, plan)), labels_of(epoch_of(subject, STORE, plan, 1)))


# ---- 5. loss and gradient --------------------------------------------------------------------------------------


def test_loss_and_gradient_equal_the_reference_class() -> None:
    # It makes the decoder's input from the labels itself, and its loss is the mean over all of them.
    subject, ours, theirs = objective(), bart(), bart()
    assert type(theirs) is BartForConditionalGeneration
    plan = subject.plan(STORE, isolate="group", packed=False)
    batch = subject.collate(epoch_of(subject, STORE, plan)[:6])
    real = batch["decoder_segment_ids"].ne(PADDING_SEGMENT)
    assert torch.equal(batch["labels"].ne(IGNORE), real)
    shifted = theirs.prepare_decoder_input_ids_from_labels(batch["labels"])
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


def test_every_token_is_a_target_once_an_epoch_and_sometimes_an_input() -> None:
    # Of 60 epochs each is left in some, but for a chance of 0.3^60.
    subject = objective()
    plan = subject.plan(STORE, isolate="document", packed=True)
    inputs, targets = exposed(STORE, [subject.example(STORE, plan, key) for key in range(60 * len(plan))])
    regular = STORE.ids >= FIRST_REGULAR
    assert (targets[regular] == 60).all()
    assert ((inputs[regular] > 0) & (inputs[regular] <= 60)).all()
    assert inputs[~regular].sum() == targets[~regular].sum() == 0


# ---- 7. it learns ----------------------------------------------------------------------------------------------


def test_it_learns(tmp_path: Path) -> None:
    # A text keeps to one token, which what is left of it tells. <s> and </s> are of the targets, too, and easy; so the
    # texts' tokens are counted by themselves, behind the first, which none before it tells.
    store, subject = memory_store(topics(80, num_topics=24, size=1)), objective()
    plan = subject.plan(store, isolate="document", packed=True)
    model = bart(init_std=0.02)
    labels = labels_of(epoch_of(subject, store, plan))
    learn(subject, store, plan, model, tmp_path, max_steps=100, per_device_train_batch_size=16, learning_rate=5e-3)
    (loss,) = mean_losses(subject, store, plan, model)
    batch = subject.collate(epoch_of(subject, store, plan, epoch=1000))
    with torch.no_grad():
        (scores,) = subject.scores(model, batch)
    assert loss < 0.5 * unigram_entropy(labels)
    text = scores.labels >= FIRST_REGULAR
    assert scores.losses[text].mean() < 0.5 * unigram_entropy(labels[labels >= FIRST_REGULAR])


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
    with pytest.raises(ModelError, match="`text_infilling` needs a mask token"):
        objective(vocabulary=dataclasses.replace(bart_vocabulary(), mask_id=None))


@pytest.mark.parametrize(
    "options",
    [{"mask_ratio": 0}, {"mask_ratio": 1}, {"poisson_lambda": 0.5}, {"permute_sentences": "often"}, {"mask": 0.3}],
)
def test_wrong_options_are_told(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=f"objective.{next(iter(options))}"):
        resolve_objective("text_infilling", options, "encoder-decoder")
