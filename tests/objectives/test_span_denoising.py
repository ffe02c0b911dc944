"""Span denoising: the eight things that `objectives` promises of every objective, and its own rules."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForSeq2SeqLM

from acclimate.errors import ModelError
from acclimate.models.loading import prepare_for_packs
from acclimate.objectives.base import IGNORE, INPUT_PLACES, LABEL_PLACES, PADDING_SEGMENT, Batch
from acclimate.objectives.encoder_decoder import encoder_decoder_inputs
from acclimate.objectives.rows import NO_PLACE, read_row
from acclimate.objectives.span_denoising import (
    SpanDenoising,
    SpanDenoisingSettings,
    frame_in_raw_tokens,
    input_length,
    noise_mask,
    noise_of,
    random_partition,
    raw_length,
)
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.randomness import Purpose, generator
from acclimate.tokens.tokenizers import Frame
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
from tests.objectives.tiny import CLS, EOS, FIRST_REGULAR, PAD, SEP, UNK, memory_store, t5_vocabulary

T5 = SpanDenoisingSettings()
NEWLINE = 9


def objective(
    *, max_length: int = 32, seed: int = 1, vocabulary: Vocabulary | None = None, **options: object
) -> SpanDenoising:
    options_read = SpanDenoisingSettings.model_validate(options)
    return SpanDenoising(options_read, vocabulary or t5_vocabulary(), max_length=max_length, seed=seed)


def t5(**changes: Any) -> Any:
    return tiny_model(
        "t5",
        "AutoModelForSeq2SeqLM",
        **{"pad_token_id": PAD, "decoder_start_token_id": PAD, "eos_token_id": EOS, **NO_DROPOUT["t5"], **changes},
    )


def prepared_t5(**changes: Any) -> Any:
    model = t5(**changes)
    prepare_for_packs(model)
    return model


def restored(fields: dict[str, np.ndarray], vocabulary: Vocabulary, segment: int = 0) -> list[int]:
    """The text that an example was made from: each sentinel of the input replaced by what stands behind it in the
    target."""
    target = fields["labels"][fields["decoder_segment_ids"] == segment].tolist()
    spans: dict[int, list[int]] = {}
    for token in target[:-1]:
        if token in vocabulary.sentinels:
            assert token not in spans
            last = spans[token] = []
        else:
            last.append(token)
    source = fields["input_ids"][fields["segment_ids"] == segment].tolist()
    assert [token for token in source if token in vocabulary.sentinels] == list(spans)
    return list(itertools.chain.from_iterable(spans.get(token, [token]) for token in source))


class Cuts(np.random.Generator):
    """A generator whose permutations begin as the test says."""

    def __init__(self, *firsts: list[int]) -> None:
        super().__init__(np.random.Philox(0))
        self.firsts = list(firsts)

    def permutation(self, x: object, axis: int = 0) -> object:  # type: ignore[override]
        first = self.firsts.pop(0)
        assert isinstance(x, int) and all(0 <= cut < x for cut in first)
        return np.array(first + [item for item in range(x) if item not in first])


# ---- 1. hand-made examples -------------------------------------------------------------------------------------


def test_a_text_by_hand() -> None:
    # Ten tokens at 40 %: four are taken out, in round(4 / 2) = 2 spans. Kept: six and two more in three parts, cut
    # behind the third and the seventh, so 3, 4 and 1; the two more are taken off the first and the last: 2, 4, 0.
    # Taken: four in two parts, cut behind the third. So 2 kept, 3 taken, 4 kept, 1 taken. Sentinels are 99, 98, ….
    subject = objective(noise_density=0.4, mean_noise_span_length=2)
    store = memory_store([list(range(10, 20))])
    plan = subject.plan(store, isolate="document", packed=True)
    row = plan.row(0)
    assert row.tolist() == [[0, 10]]
    fields = subject.corrupt(read_row(store, row, subject.vocabulary), Cuts([2, 6], [2]))
    assert fields["input_ids"].tolist() == [10, 11, 99, 15, 16, 17, 18, 98, EOS]
    assert fields["labels"].tolist() == [99, 12, 13, 14, 98, 19, EOS]
    assert fields["decoder_input_ids"].tolist() == [PAD, 99, 12, 13, 14, 98, 19]
    assert fields["segment_ids"].tolist() == [0] * 9
    assert fields["decoder_segment_ids"].tolist() == [0] * 7
    assert fields[INPUT_PLACES].tolist() == [0, 1, NO_PLACE, 5, 6, 7, 8, NO_PLACE, NO_PLACE]
    assert fields[LABEL_PLACES].tolist() == [NO_PLACE, 2, 3, 4, NO_PLACE, 9, NO_PLACE]


def test_a_pack_by_hand() -> None:
    # Texts of four tokens and one: of the first one token is taken out, of the second none, so that it has no target
    # and no part in the decoder. Its third text begins its sentinels anew.
    subject = objective()
    store = memory_store([[10, 11, 12, 13], [20], [30, 31, 32]])
    plan = subject.plan(store, isolate="document", packed=True)
    assert len(plan) == 1
    # One of four in one span, and three and two more kept in two parts: cut behind the fourth, so that 3 come before
    # the span and none behind it. One of three likewise: cut behind the first, so that none comes before it.
    row = read_row(store, plan.row(0), subject.vocabulary)
    fields = subject.corrupt(row, Cuts([3], [], [0], []))
    assert fields["input_ids"].tolist() == [10, 11, 12, 99, EOS, 20, EOS, 99, 31, 32, EOS]
    assert fields["segment_ids"].tolist() == [0] * 5 + [1] * 2 + [2] * 4
    assert fields["labels"].tolist() == [99, 13, EOS, 99, 30, EOS]
    assert fields["decoder_input_ids"].tolist() == [PAD, 99, 13, PAD, 99, 30]
    assert fields["decoder_segment_ids"].tolist() == [0, 0, 0, 2, 2, 2]
    assert subject.row_lengths(plan, 0).tolist() == [11]


def test_a_text_of_one_token_has_no_target() -> None:
    subject = objective()
    store = memory_store([[10]])
    batch = subject.collate([subject.example(store, subject.plan(store, isolate="document", packed=False), 0)])
    assert batch["input_ids"].tolist() == [[10, EOS]]
    assert batch["labels"].tolist() == [[IGNORE]]
    assert subject.counts(batch).tolist() == [0]
    sums = subject.sums(t5(), batch)
    sums.sum().backward()
    assert sums.tolist() == [0]


def test_line_breaks_and_unknown_tokens_stay() -> None:
    # Neither is taken out; the length of the input is that of any text of its length.
    subject = objective(max_length=64)
    line = [10, 11, UNK, 12, 13, 14]
    store = memory_store([line] * 10, groups="a" * 10, newline=EOS)
    plan = subject.plan(store, isolate="group", packed=True)
    for number in range(len(plan)):
        fields = subject.example(store, plan, number)
        (start, end), *others = plan.row(number).tolist()
        assert not others
        kept = fields["input_ids"].tolist()
        assert kept.count(UNK) == int((store.ids[start:end] == UNK).sum())
        assert kept[:-1].count(EOS) == int((store.ids[start:end] == EOS).sum())
        assert len(kept) == input_length(end - start, T5) == subject.row_lengths(plan, 0)[number] <= 64


def test_texts_that_are_mostly_unknown_do_not_overflow() -> None:
    # 70 tokens fill a row of 64: 10 (of 10.5, rounded to even) are taken out in 3 spans, 7 tokens less. Three spans
    # need 13 tokens that may be taken, each a kept one before it; here there are 11. Two spans of 9 tokens in all leave
    # 7 less as well.
    subject = objective(max_length=64)
    store = memory_store([[UNK] * 59 + list(range(10, 21))])
    fields = subject.example(store, subject.plan(store, isolate="document", packed=True), 0)
    assert noise_of(70, T5) == (10, 3)
    assert len(fields["input_ids"]) == 64
    assert UNK not in fields["labels"]
    assert (fields[LABEL_PLACES] != NO_PLACE).sum() == 9 and (fields["labels"] >= 80).sum() == 2


def test_tokenizers_without_sentinels_or_room_are_refused() -> None:
    with pytest.raises(ModelError, match="needs sentinels"):
        objective(vocabulary=dataclasses.replace(t5_vocabulary(), sentinels=()))
    with pytest.raises(ModelError, match="has no|needs sentinels .* and an EOS"):
        objective(vocabulary=dataclasses.replace(t5_vocabulary(), eos_id=None))
    # A row of 512 has 28 spans.
    with pytest.raises(ModelError, match="28 spans, and this tokenizer has 20 sentinels"):
        objective(max_length=512)
    with pytest.raises(ModelError, match="longer than what `max_length` of 3"):
        objective(max_length=3)


# ---- 2. rates and partitions -------------------------------------------------------------------------------------


def test_the_amount_of_noise_by_hand() -> None:
    # T5 rounds 15 % of the length, and a third of that; at least one of each, and never everything.
    assert noise_of(0, T5) == noise_of(1, T5) == (0, 0)
    assert noise_of(2, T5) == (1, 1)
    assert noise_of(100, T5) == (15, 5)
    # 568 * 0.15 = 85.2; 85 / 3 = 28.3: the text of a row of 512, 568 - 85 + 28 + 1.
    assert noise_of(568, T5) == (85, 28)
    assert input_length(568, T5) == 512 and raw_length(T5, 512) == 568
    # Nine of ten taken: no more spans than tokens that stay.
    assert noise_of(10, SpanDenoisingSettings(noise_density=0.9, mean_noise_span_length=1)) == (9, 1)


@pytest.mark.parametrize("max_length", [32, 64, 128, 512])
def test_a_full_piece_fills_its_row_exactly(max_length: int) -> None:
    vocabulary = t5_vocabulary(200, num_sentinels=100)
    subject = objective(max_length=max_length, vocabulary=vocabulary)
    document = [10 + number % 80 for number in range(20 * subject.raw_length)]
    store = memory_store([document])
    plan = subject.plan(store, isolate="document", packed=False)
    assert len(plan) == 20
    num_noise, num_spans = noise_of(subject.raw_length, T5)
    for number, fields in enumerate(epoch_of(subject, store, plan)):
        assert len(fields["input_ids"]) == max_length
        # Exactly so many spans and taken tokens, in T5's order of sentinels.
        assert len(fields["labels"]) == num_noise + num_spans + 1
        of_target = [token for token in fields["labels"].tolist() if token in vocabulary.sentinels]
        assert of_target == list(vocabulary.sentinels[:num_spans])
        start, end = plan.row(number)[0]
        assert restored(fields, vocabulary) == [*document[start:end], EOS]


def test_rates_over_a_million_tokens() -> None:
    # The number of taken tokens and of spans is fixed by a text's length: no chance is in it.
    subject = objective(max_length=512, vocabulary=t5_vocabulary(200, num_sentinels=100))
    rng = np.random.default_rng(0)
    num_rows = 1_000_000 // subject.raw_length + 1
    store = memory_store([rng.integers(5, 90, num_rows * subject.raw_length).tolist()])
    plan = subject.plan(store, isolate="document", packed=False)
    examples = epoch_of(subject, store, plan)
    assert len(examples) == num_rows and len(store) > 1_000_000
    taken = sum(int((example[LABEL_PLACES] != NO_PLACE).sum()) for example in examples)
    assert taken == num_rows * 85
    spans = sum(int((example["labels"] >= 100).sum()) for example in examples)
    assert spans == num_rows * 28
    assert taken / len(store) == pytest.approx(0.15, abs=0.0005)
    assert taken / spans == pytest.approx(3, abs=0.05)
    # Where tokens are taken, by their place in the row: row by row independent, each with the share's standard error
    # of sqrt(0.15 * 0.85 / rows); 4 of them for 560 places. A row's first and last tokens are taken now and then.
    counts = np.zeros(subject.raw_length)
    for number, example in enumerate(examples):
        places = example[LABEL_PLACES][example[LABEL_PLACES] != NO_PLACE]
        counts[places - number * subject.raw_length] += 1
    assert 0 < counts[0] < num_rows / 2 and 0 < counts[-1] < num_rows / 2
    middle = counts[40:-40] / num_rows
    assert (np.abs(middle - middle.mean()) < 4.2 * math.sqrt(0.15 * 0.85 / num_rows)).all()


def test_partitions_are_uniform() -> None:
    # Seven in three parts: C(6, 2) = 15 lists, each as likely. Over 30,000 draws a list's share has the standard error
    # sqrt(p (1 - p) / n); the chi-square statistic has mean 14 and variance 28.
    num = 30_000
    found: dict[tuple[int, ...], int] = {}
    for number in range(num):
        parts = tuple(random_partition(7, 3, generator(1, Purpose.CORRUPTION, number)).tolist())
        assert sum(parts) == 7 and min(parts) >= 1
        found[parts] = found.get(parts, 0) + 1
    assert len(found) == 15
    expected = num / 15
    assert all(abs(count - expected) < 3.5 * math.sqrt(expected * 14 / 15) for count in found.values())
    assert sum((count - expected) ** 2 / expected for count in found.values()) < 14 + 3 * math.sqrt(28)


@given(length=st.integers(2, 300), number=st.integers(0, 1000), density=st.floats(0.05, 0.9), mean=st.floats(1, 10))
def test_noise_masks_have_the_amount_that_was_asked(length: int, number: int, density: float, mean: float) -> None:
    options = SpanDenoisingSettings(noise_density=density, mean_noise_span_length=mean)
    num_noise, num_spans = noise_of(length, options)
    mask = noise_mask(length, num_noise, num_spans, generator(1, Purpose.CORRUPTION, number))
    assert len(mask) == length
    assert mask.sum() == num_noise
    assert (np.diff(np.concatenate([[0], mask.astype(int)])) == 1).sum() == num_spans


def test_every_token_of_a_short_text_is_taken_at_times() -> None:
    # One of four tokens in one span: each of the four is as likely. Three standard errors of sqrt(p (1 - p) n).
    num = 4_000
    counts = sum(noise_mask(4, 1, 1, generator(1, Purpose.CORRUPTION, number)).astype(int) for number in range(num))
    assert (np.abs(counts - num / 4) < 3 * math.sqrt(num * 3 / 16)).all()


# ---- rows never overflow ------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.one_of(st.integers(1, 12), st.integers(1, 150)), min_size=1, max_size=40),
    max_length=st.sampled_from([16, 32, 64, 100]),
    density=st.sampled_from([0.15, 0.3, 0.5]),
    mean=st.sampled_from([3.0, 1.0, 8.0]),
    frame=st.sampled_from([Frame((), (EOS,)), Frame((CLS,), (SEP,)), Frame((), ())]),
)
def test_packed_rows_never_overflow(
    lengths: list[int], max_length: int, density: float, mean: float, frame: Frame
) -> None:
    vocabulary = dataclasses.replace(t5_vocabulary(200, num_sentinels=100), frame=frame)
    subject = objective(
        max_length=max_length, vocabulary=vocabulary, noise_density=density, mean_noise_span_length=mean
    )
    store = memory_store([[10 + number % 50 for number in range(length)] for length in lengths])
    plan = subject.plan(store, isolate="document", packed=True)
    examples = epoch_of(subject, store, plan)
    sizes = [len(example["input_ids"]) for example in examples]
    assert max(sizes) <= max_length
    assert subject.row_lengths(plan, 0).tolist() == sizes
    # Every token is an input or a target, and of one row.
    inputs, targets = exposed(store, examples)
    assert np.array_equal(inputs + targets, (store.ids >= FIRST_REGULAR).astype(int))


def test_the_frame_is_the_smallest_that_holds() -> None:
    # All ways to fill a row of 16 with texts whose lengths plus the frame sum to 17 plus the frame, worked through:
    # with the frame they never need more than 16, with one less there is a way that does.
    longest, frame = raw_length(T5, 16), frame_in_raw_tokens(T5, 16)
    assert (longest, frame) == (17, 3)

    def most(room: int, per_text: int) -> int:
        best = [0] * (room + 1)
        for size in range(1, room + 1):
            fitting = [n for n in range(1, longest + 1) if n + per_text <= size]
            best[size] = max([best[size - 1], *(best[size - n - per_text] + input_length(n, T5) for n in fitting)])
        return best[room]

    assert most(longest + frame, frame) <= 16
    assert most(longest + frame - 1, frame - 1) > 16


def test_frames_of_long_rows_are_found_quickly() -> None:
    start = time.perf_counter()
    assert raw_length(T5, 4096) == 4550
    assert frame_in_raw_tokens(T5, 4096) == 3
    assert time.perf_counter() - start < 2


# ---- 3. special tokens -----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=60), min_size=1, max_size=5),
    packed=st.booleans(),
    epoch=st.integers(0, 1000),
)
def test_special_tokens_are_never_taken_nor_produced(documents: list[list[int]], packed: bool, epoch: int) -> None:
    # Ids from 80 on are sentinels, from 0 to 4 other special tokens: should they be in a text, they stay.
    vocabulary, subject = t5_vocabulary(), objective()
    store = memory_store(documents)
    examples = epoch_of(subject, store, subject.plan(store, isolate="document", packed=packed), epoch)
    for fields in examples:
        of_text = fields[LABEL_PLACES] != NO_PLACE
        assert not vocabulary.special[fields["labels"][of_text]].any()
        # What else is predicted are sentinels, each in its turn, and EOS at the end of each text.
        for segment in np.unique(fields["decoder_segment_ids"]):
            mine = fields["decoder_segment_ids"] == segment
            marks = fields["labels"][mine & ~of_text].tolist()
            assert marks == [*vocabulary.sentinels[: len(marks) - 1], EOS]
            assert fields["labels"][mine][-1] == EOS
            assert fields["decoder_input_ids"][mine].tolist() == [PAD, *fields["labels"][mine][:-1].tolist()]
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
    first = labels_of(epoch_of(subject, STORE, plan))
    assert np.array_equal(first, labels_of(epoch_of(objective(), STORE, plan)))
    assert not np.array_equal(first, labels_of(epoch_of(subject, STORE, plan, epoch=1)))
    assert not np.array_equal(first, labels_of(epoch_of(objective(seed=2), STORE, plan)))


# ---- 5. loss and gradient --------------------------------------------------------------------------------------


def test_loss_and_gradient_equal_the_reference_class() -> None:
    subject, ours, theirs = objective(), t5(), t5()
    plan = subject.plan(STORE, isolate="group", packed=False)
    batch = subject.collate(epoch_of(subject, STORE, plan)[:6])
    # The reference makes the decoder's input from the labels itself: ours is the same, wherever there is a target.
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


@pytest.mark.parametrize("packed", [True, False])
def test_accumulation_gives_the_same_gradient(packed: bool, tmp_path: Path) -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=packed)
    check_accumulation(subject, STORE, plan, t5, tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_padding_changes_nothing(packed: bool) -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=packed)
    check_padding(subject, prepared_t5(), epoch_of(subject, STORE, plan)[-4:])


# ---- 6. packs ------------------------------------------------------------------------------------------------


def test_in_a_pack_no_document_sees_another(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not in the encoder, not in the decoder, nor between them. The third token of each text is taken out, so that a
    # text is corrupted alike wherever it stands.
    subject, model = objective(), prepared_t5()
    monkeypatch.setattr(subject, "noise", lambda candidates, rng: (np.arange(len(candidates)) == 2, []))

    def logits(*documents: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        store = memory_store(documents)
        plan = subject.plan(store, isolate="document", packed=True)
        assert len(plan) == 1
        batch: Batch = subject.collate([subject.example(store, plan, 0)])
        with torch.no_grad():
            return model(**encoder_decoder_inputs(batch)).logits[0], batch["decoder_segment_ids"][0]

    first, second, other = list(range(10, 17)), list(range(20, 29)), list(range(30, 39))
    (together, segments), (changed, _), (alone, _) = logits(first, second), logits(first, other), logits(second)
    assert set(segments.tolist()) == {0, 1}
    assert torch.equal(together[segments == 0], changed[segments == 0])
    assert not torch.equal(together[segments == 1], changed[segments == 1])
    assert torch.allclose(together[segments == 1], alone, atol=1e-5)


def test_every_token_is_an_input_or_a_target_of_each_epoch() -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="document", packed=True)
    regular = STORE.ids >= FIRST_REGULAR
    for epoch in (0, 3):
        inputs, targets = exposed(STORE, epoch_of(subject, STORE, plan, epoch))
        assert np.array_equal(inputs + targets, regular.astype(int))


def test_every_token_is_both_some_time() -> None:
    # The rarest target is the first of a text of 20, of which one span of 3 is taken: one place of 18. Over 400 epochs
    # it is never taken with a chance of (17 / 18)^400 = 1e-10. One token by itself is never taken.
    store = memory_store([[*range(10, 10 + length)] for length in (1, 2, 5, 9, 20)])
    subject = objective()
    plan = subject.plan(store, isolate="document", packed=True)
    inputs, targets = exposed(store, [subject.example(store, plan, key) for key in range(400 * len(plan))])
    regular = store.ids >= FIRST_REGULAR
    assert (inputs[regular] > 0).all()
    assert targets[0] == 0 and (targets[regular][1:] > 0).all()
    assert inputs[~regular].sum() == targets[~regular].sum() == 0


# ---- 7. it learns ----------------------------------------------------------------------------------------------


def test_it_learns(tmp_path: Path) -> None:
    # A text keeps to one token. Sentinels and EOS are of the targets, too, and easy; so the texts' tokens are counted
    # by themselves.
    store, subject = memory_store(topics(80, num_topics=24, size=1)), objective()
    plan = subject.plan(store, isolate="document", packed=True)
    model = t5()
    before = epoch_of(subject, store, plan)
    entropy = unigram_entropy(labels_of(before))
    of_text = np.concatenate([example["labels"][example[LABEL_PLACES] != NO_PLACE] for example in before])
    learn(subject, store, plan, model, tmp_path, max_steps=150, per_device_train_batch_size=16, learning_rate=1e-2)
    (loss,) = mean_losses(subject, store, plan, model)
    batch = subject.collate(epoch_of(subject, store, plan, epoch=1000))
    with torch.no_grad():
        (scores,) = subject.scores(model, batch)
    text = (scores.labels >= FIRST_REGULAR) & (scores.labels < 80)
    assert loss < 0.5 * entropy
    assert scores.losses[text].mean() < 0.5 * unigram_entropy(of_text)


# ---- 8. save, reload, same logits ------------------------------------------------------------------------------


def test_a_run_is_a_plain_checkpoint(tmp_path: Path) -> None:
    subject, model = objective(), t5()
    plan = subject.plan(STORE, isolate="document", packed=True)
    trainer = make_trainer(subject, STORE, plan, model, tmp_path / "run", max_steps=2)
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    plain = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "saved").eval()
    ids = torch.randint(5, 80, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = (one(input_ids=ids, decoder_input_ids=ids[:, :5]).logits for one in (model.eval(), plain))
    assert torch.equal(ours, theirs)
