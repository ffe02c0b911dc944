"""Blank infilling, `prefix_lm` with `variant: blank_infilling`: the eight things that `objectives` promises of every
objective, and its own rules."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from acclimate.errors import ModelError
from acclimate.models.loading import prepare_for_packs
from acclimate.objectives.base import BY_ALL, BY_LATER, IGNORE, INPUT_PLACES, LABEL_PLACES, PADDING_SEGMENT, Fields
from acclimate.objectives.blank_infilling import BlankInfilling
from acclimate.objectives.prefix_lm import PrefixLanguageModelingSettings
from acclimate.objectives.rows import NO_PLACE, read_row
from acclimate.tokens.tokenizers import Frame
from tests.models.tiny import tiny_model
from tests.objectives.checks import (
    check_accumulation,
    check_gradients,
    check_packs,
    check_padding,
    check_processes,
    check_workers,
    epoch_of,
    exposed,
    gradients,
    hand_made_mask,
    inputs_of,
    labels_of,
    learn,
    loss_of,
    make_trainer,
    mean_losses,
    texts,
    topics,
    unigram_entropy,
)
from tests.objectives.tiny import (
    BOS,
    FIRST_REGULAR,
    MASK,
    PAD,
    UNK,
    blank_vocabulary,
    memory_store,
)

START, END = 98, 99
NEWLINE = 9


def objective(*, max_length: int = 48, seed: int = 1, bos: bool = True, **options: object) -> BlankInfilling:
    return BlankInfilling(
        PrefixLanguageModelingSettings.model_validate({"variant": "blank_infilling", **options}),
        blank_vocabulary(bos=bos),
        max_length=max_length,
        seed=seed,
    )


def llama(**changes: Any) -> Any:
    return tiny_model("llama", "AutoModelForCausalLM", pad_token_id=PAD, **changes)


def prepared_llama() -> Any:
    model = llama()
    prepare_for_packs(model)
    return model


class Scripted(np.random.Generator):
    """A generator whose draws are the test's; permutations are of numbers or of a list."""

    def __init__(self, uniform: list[float], poisson: list[int], orders: list[list[int]]) -> None:
        super().__init__(np.random.Philox(0))
        self.uniform_draws, self.poisson_draws, self.orders = uniform, poisson, orders

    def random(self, *args: Any, **kwargs: Any) -> float:  # type: ignore[override]
        return self.uniform_draws.pop(0)

    def poisson(self, *args: Any, **kwargs: Any) -> int:  # type: ignore[override]
        return self.poisson_draws.pop(0)

    def permutation(self, x: Any, axis: int = 0) -> Any:  # type: ignore[override]
        order = np.array(self.orders.pop(0), dtype=np.int64)
        assert sorted(order) == list(range(x if isinstance(x, int) else len(x)))
        return order if isinstance(x, int) else np.array(x)[order]


def restored(fields: Fields, segment: int) -> list[int]:
    """The text that an example was made from: each mask replaced by what is generated at its position."""
    mine = fields["segment_ids"] == segment
    ids, labels, positions = (fields[name][mine].tolist() for name in ("input_ids", "labels", "position_ids"))
    in_a = (fields["visibility"][mine] == BY_ALL).tolist()
    blanks: dict[int, list[int]] = {}
    for number, label in enumerate(labels):
        if in_a[number]:
            assert label == IGNORE
        elif label == END:
            blanks.setdefault(positions[number], [])
        else:
            blanks.setdefault(positions[number], []).append(label)
    text: list[int] = []
    for number in range(sum(in_a)):
        assert positions[number] == number
        text += blanks.pop(number) if ids[number] == MASK else [ids[number]]
    assert not blanks
    return text


# ---- 1. hand-made examples -------------------------------------------------------------------------------------


def test_a_text_by_hand() -> None:
    # Ten tokens behind <s>. The budget is floor(0.3 * 10 + 0.5) = 3 tokens, lengths are Poisson's 2 and 3, the last one
    # cut to 1: in the order [1, 0] they are 1 and 2. Seven tokens stay, with eight gaps, of which those before the
    # second (1) and before the sixth (5) are taken: the span of 1 is token 1 of the text; that of 2 begins behind five
    # kept tokens and the one taken, so it is tokens 6 and 7. Both stay ([0, 1]). Part B has the second first ([1, 0]).
    subject = objective(noise_density=0.3)
    store = memory_store([list(range(10, 20))])
    row = read_row(store, np.array([[0, 10]]), subject.vocabulary, Frame((BOS,), ()))
    rng = Scripted([0.5], [2, 3], [[1, 0], [5, 1, 0, 2, 3, 4, 6, 7], [0, 1], [1, 0]])
    fields = subject.corrupt(row, rng)
    part_a = [BOS, 10, MASK, 12, 13, 14, 15, MASK, 18, 19]
    assert fields["input_ids"].tolist() == [*part_a, START, 16, 17, START, 11]
    assert fields["labels"].tolist() == [*[IGNORE] * 10, 16, 17, END, 11, END]
    # The blanks are at the positions 2 and 7 of part A.
    assert fields["position_ids"].tolist() == [*range(10), 7, 7, 7, 2, 2]
    assert fields["visibility"].tolist() == [BY_ALL] * 10 + [BY_LATER] * 5
    assert fields["segment_ids"].tolist() == [0] * 15
    assert fields[INPUT_PLACES].tolist() == [
        *[NO_PLACE, 0, NO_PLACE, 2, 3, 4, 5, NO_PLACE, 8, 9],
        *[NO_PLACE, 6, 7, NO_PLACE, 1],
    ]
    assert fields[LABEL_PLACES].tolist() == [*[NO_PLACE] * 10, 6, 7, NO_PLACE, 1, NO_PLACE]


def test_a_pack_by_hand() -> None:
    # Texts of one token and of four: of the first nothing is cut out. Of the second one token is, the least there may
    # be: behind two kept ones.
    subject = objective()
    store = memory_store([[10], [20, 21, 22, 23]])
    row = read_row(store, np.array([[0, 1], [2, 6]]), subject.vocabulary, Frame((BOS,), ()))
    fields = subject.corrupt(row, Scripted([0.1], [4], [[], [0], [2, 0, 1, 3], [0], [0]]))
    assert fields["input_ids"].tolist() == [BOS, 10, BOS, 20, 21, MASK, 23, START, 22]
    assert fields["labels"].tolist() == [IGNORE] * 7 + [22, END]
    assert fields["segment_ids"].tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 1]
    assert fields["position_ids"].tolist() == [0, 1, 0, 1, 2, 3, 4, 3, 3]
    assert fields["visibility"].tolist() == [BY_ALL] * 7 + [BY_LATER] * 2


def test_line_breaks_and_unknown_tokens_stay_and_divide_a_blank() -> None:
    # Half of eight tokens in one span of four: 11, 12, 13 and 14, with a line break and an unknown token between them.
    subject = objective(noise_density=0.5, poisson_lambda=20)
    store = memory_store([[10, 11], [12, UNK, 13, 14, 15, 16, 17]], groups="aa", newline=NEWLINE)
    row = read_row(store, np.array([[0, 10]]), subject.vocabulary, Frame((BOS,), ()))
    subject._spans_per_token = 1  # as many spans as there may be
    fields = subject.corrupt(row, Scripted([0.0], [9], [[0], [1, 0, 2, 3, 4], [0, 1, 2], [0, 1, 2]]))
    part_a = [BOS, 10, MASK, NEWLINE, MASK, UNK, MASK, 15, 16, 17]
    assert fields["input_ids"].tolist() == [*part_a, START, 11, START, 12, START, 13, 14]
    assert fields["position_ids"].tolist() == [*range(10), 2, 2, 4, 4, 6, 6, 6]
    assert restored(fields, 0) == [BOS, 10, 11, NEWLINE, 12, UNK, 13, 14, 15, 16, 17]


def test_a_text_of_one_token_has_no_target() -> None:
    subject, store = objective(), memory_store([[10]])
    plan = subject.plan(store, isolate="document", packed=False)
    batch = subject.collate([subject.example(store, plan, 0)])
    assert batch["input_ids"].tolist() == [[BOS, 10]]
    assert subject.counts(batch).tolist() == [0]
    sums = subject.sums(prepared_llama(), batch)
    sums.sum().backward()
    assert sums.tolist() == [0]


# ---- 2. rates --------------------------------------------------------------------------------------------------


def test_rates_over_a_million_tokens() -> None:
    # Texts of 500 tokens: the budget is 75 tokens of each, with no chance in it. The lengths that are drawn are
    # max(1, Poisson(3)), with p_s = P(Poisson(3) = s) and p_1 + p_0 for 1; the last is cut to the budget. How many
    # spans b tokens take: E(b) = 1 + sum over s < b of p_s E(b - s), and likewise of the square.
    num_texts, length, budget = 2_010, 500, 75
    shares = np.array([0.0, *(math.exp(-3) * 3**s / math.factorial(s) for s in range(1, 60))])
    shares[1] += math.exp(-3)
    mean, square = np.zeros(budget + 1), np.zeros(budget + 1)
    for b in range(1, budget + 1):
        rest = range(1, min(b, 60))
        mean[b] = 1 + sum(shares[s] * mean[b - s] for s in rest)
        square[b] = 1 + sum(shares[s] * (2 * mean[b - s] + square[b - s]) for s in rest)
    deviation = math.sqrt(square[budget] - mean[budget] ** 2)
    rng = np.random.default_rng(0)
    store = memory_store([rng.integers(10, 90, length).tolist() for _ in range(num_texts)])
    assert len(store) > 1_000_000
    subject = objective(max_length=600)
    plan = subject.plan(store, isolate="document", packed=False)
    assert len(plan) == num_texts
    examples = epoch_of(subject, store, plan)
    taken = [int((fields[LABEL_PLACES] != NO_PLACE).sum()) for fields in examples]
    assert set(taken) == {budget}
    spans = np.array([(fields["labels"] == END).sum() for fields in examples])
    # There is room for 1 + 0.065 * 500 = 33 spans, which one text in many would exceed.
    assert spans.max() <= 33
    assert abs(spans.mean() - mean[budget]) < 3 * deviation / math.sqrt(num_texts)
    # Any token is as likely: a share of 0.15, by places 0.15 +- sqrt(0.15 * 0.85 / texts), 4.2 of them for 500 places.
    counts = np.zeros(length)
    for number, fields in enumerate(examples):
        places = fields[LABEL_PLACES][fields[LABEL_PLACES] != NO_PLACE]
        counts[places - number * (length + 1)] += 1
    middle = counts[20:-20] / num_texts
    assert (np.abs(middle - 0.15) < 4.2 * math.sqrt(0.15 * 0.85 / num_texts) + 0.01).all()


def test_short_texts_have_their_share_as_well() -> None:
    # 7 tokens: 1.05, so that 1 token is cut out, and 2 in one of twenty. 12 tokens: 1.8.
    subject = objective()
    for length, rule in ((7, 1.05), (12, 1.8)):
        store = memory_store([list(range(10, 10 + length))])
        plan = subject.plan(store, isolate="document", packed=False)
        taken = [(subject.example(store, plan, key)[LABEL_PLACES] != NO_PLACE).sum() for key in range(6_000)]
        share = rule % 1
        assert set(taken) == {int(rule), int(rule) + 1}
        assert abs(np.mean(taken) - rule) < 3 * math.sqrt(share * (1 - share) / 6_000)


def test_blanks_are_generated_in_any_order() -> None:
    # Two blanks or more: the first one of part B is the first of the text in half of the cases of two.
    subject = objective(noise_density=0.3)
    store = memory_store([list(range(10, 22))])
    plan = subject.plan(store, isolate="document", packed=False)
    first = []
    for key in range(3_000):
        fields = subject.example(store, plan, key)
        at = fields["position_ids"][fields["labels"] == END]
        if len(at) == 2:
            first.append(at[0] < at[1])
    assert len(first) > 500
    assert abs(np.mean(first) - 0.5) < 3 * math.sqrt(0.25 / len(first))


# ---- 3. special tokens, and rows that never overflow ----------------------------------------------------------------


@settings(max_examples=120, deadline=None)
@given(
    documents=st.lists(
        st.lists(st.one_of(st.integers(5, 97), st.integers(0, 99)), min_size=1, max_size=80), min_size=1, max_size=8
    ),
    groups=st.booleans(),
    packed=st.booleans(),
    bos=st.booleans(),
    max_length=st.sampled_from([8, 16, 30, 64]),
    density=st.sampled_from([0.15, 0.5, 0.9]),
    mean=st.sampled_from([3.0, 1.0, 0.3]),
    epoch=st.integers(0, 1000),
)
def test_rows_never_overflow_and_special_tokens_stay(
    documents: list[list[int]],
    groups: bool,
    packed: bool,
    bos: bool,
    max_length: int,
    density: float,
    mean: float,
    epoch: int,
) -> None:
    # Ids from 0 to 4 and 98, 99 are special: should they be in a text, they stay, as line breaks do.
    subject = objective(bos=bos, max_length=max_length, noise_density=density, poisson_lambda=mean)
    store = memory_store(documents, groups="a" * len(documents) if groups else "", newline=NEWLINE)
    plan = subject.plan(store, isolate="group", packed=packed)
    examples = epoch_of(subject, store, plan, epoch)
    for number, fields in enumerate(examples):
        assert len(fields["input_ids"]) <= max_length
        assert {len(fields[name]) for name in subject.padding()} == {len(fields["input_ids"])}
        of_text = fields[LABEL_PLACES] != NO_PLACE
        assert not subject.vocabulary.special[fields["labels"][of_text]].any()
        # What else is predicted are ends; what is put in are masks in part A and starts in part B.
        assert set(fields["labels"][~of_text].tolist()) <= {IGNORE, END}
        put_in = fields["input_ids"][fields[INPUT_PLACES] == NO_PLACE]
        assert set(put_in.tolist()) <= {BOS, MASK, START}
        masks = (fields[INPUT_PLACES] == NO_PLACE) & (fields["input_ids"] == MASK)
        starts = (fields[INPUT_PLACES] == NO_PLACE) & (fields["input_ids"] == START)
        assert masks.sum() == starts.sum() == (fields["labels"] == END).sum()
        if not any(token in (MASK, START, END) for document in documents for token in document):
            for segment, (start, end) in enumerate(plan.row(number).tolist()):
                assert restored(fields, segment) == [*[BOS] * bos, *store.ids[start:end].tolist()]
    inputs, targets = exposed(store, examples)
    of_documents = np.zeros(len(store), dtype=bool)
    for start, end in store.groups.tolist():
        of_documents[start:end] = True
    assert np.array_equal(inputs, of_documents.astype(int))
    assert (targets <= inputs).all()
    batch = subject.collate(examples)
    padding = batch["segment_ids"] == PADDING_SEGMENT
    assert (batch["input_ids"][padding] == PAD).all() and (batch["labels"][padding] == IGNORE).all()


# ---- 4. a pure function of (seed, epoch, example) --------------------------------------------------------------

STORE = memory_store(texts(60, last=90))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 4])
def test_examples_do_not_depend_on_workers(workers: int) -> None:
    subject = objective()
    check_workers(subject, STORE, subject.plan(STORE, isolate="group", packed=True), workers)


def test_two_processes_see_what_one_sees() -> None:
    check_processes(objective, STORE, objective().plan(STORE, isolate="group", packed=True))


def test_blanks_change_with_epoch_and_seed() -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=True)
    first = labels_of(epoch_of(subject, STORE, plan))
    assert np.array_equal(first, labels_of(epoch_of(objective(), STORE, plan)))
    assert not np.array_equal(first, labels_of(epoch_of(subject, STORE, plan, epoch=1)))
    assert not np.array_equal(first, labels_of(epoch_of(objective(seed=2), STORE, plan)))


# ---- 5. loss and gradient --------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
def test_loss_and_gradient_equal_the_reference_class(packed: bool) -> None:
    # The plain class with a four-dimensional mask made pair by pair, and positions; labels are beside what they follow.
    subject, ours, theirs = objective(), prepared_llama(), llama()
    plan = subject.plan(STORE, isolate="group", packed=packed)
    examples = epoch_of(subject, STORE, plan)
    longest = max(len(fields["input_ids"]) for fields in examples)
    examples = [fields for fields in examples if len(fields["input_ids"]) == longest][:4]
    batch = subject.collate(examples)
    loss = loss_of(subject, ours, batch)
    loss.backward()
    logits = theirs(
        input_ids=batch["input_ids"],
        attention_mask=torch.cat([hand_made_mask(fields) for fields in examples]),
        position_ids=batch["position_ids"],
        use_cache=False,
    ).logits
    reference = F.cross_entropy(logits.transpose(1, 2), batch["labels"], ignore_index=IGNORE)
    reference.backward()
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    check_gradients(gradients(ours), gradients(theirs))


def test_accumulation_gives_the_same_gradient(tmp_path: Path) -> None:
    subject = objective()
    check_accumulation(subject, STORE, subject.plan(STORE, isolate="group", packed=True), llama, tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_padding_changes_nothing(packed: bool) -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=packed)
    check_padding(subject, prepared_llama(), epoch_of(subject, STORE, plan)[-4:])


# ---- 6. packs ------------------------------------------------------------------------------------------------


def test_in_a_pack_no_document_sees_another() -> None:
    subject, store = objective(), memory_store([list(range(10, 20)), list(range(20, 32))])
    plan = subject.plan(store, isolate="document", packed=True)
    check_packs(subject, prepared_llama(), subject.example(store, plan, 0))


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "glm", "phi3"])
def test_a_blank_is_told_from_the_text_around_it(model_type: str) -> None:
    # Part B sees all of part A, and part A nothing of part B. (Phi-3's window is wide enough here.)
    model = tiny_model(model_type, "AutoModelForCausalLM", pad_token_id=PAD, sliding_window=64)
    prepare_for_packs(model)
    subject, store = objective(), memory_store([list(range(10, 30))])
    fields = subject.example(store, subject.plan(store, isolate="document", packed=True), 0)
    in_a = fields["visibility"] == BY_ALL
    assert (~in_a).sum() >= 4

    def logits(place: int | None = None) -> torch.Tensor:
        ids = fields["input_ids"].copy()
        if place is not None:
            ids[place] = 60
        with torch.no_grad():
            found: torch.Tensor = model(**inputs_of(subject.collate([{**fields, "input_ids": ids}]))).logits[0]
        return found

    whole = logits()
    for place in range(len(in_a)):
        changed = (logits(place) - whole).abs().amax(-1).numpy() > 1e-5
        expected = np.ones(len(in_a), dtype=bool) if in_a[place] else np.arange(len(in_a)) >= place
        assert np.array_equal(changed, expected)


def test_every_token_is_an_input_once_an_epoch_and_sometimes_a_target() -> None:
    # The rarest target is a text's first token, before all but as many of the kept tokens as there are spans: one of
    # 25 or more often. Over 200 epochs it is never cut out with a chance of 0.96^200 = 3e-4 at most. What a cut leaves
    # alone in its piece is read and not asked for.
    subject = objective()
    plan = subject.plan(STORE, isolate="document", packed=True)
    inputs, targets = exposed(STORE, [subject.example(STORE, plan, key) for key in range(200 * len(plan))])
    regular = STORE.ids >= FIRST_REGULAR
    assert (inputs[regular] == 200).all() and inputs[~regular].sum() == 0
    alone = plan.pieces[plan.pieces[:, 1] - plan.pieces[:, 0] == 1, 0]
    assert targets[alone].sum() == targets[~regular].sum() == 0
    regular[alone] = False
    assert (targets[regular] > 0).all()


# ---- 7. it learns ----------------------------------------------------------------------------------------------


def test_it_learns(tmp_path: Path) -> None:
    # A text keeps to one token; only who sees part A can tell it. Ends are of the targets, too; the texts' tokens are
    # counted by themselves.
    store, subject = memory_store(topics(80, num_topics=24, size=1)), objective()
    plan = subject.plan(store, isolate="document", packed=True)
    model = llama(initializer_range=0.02)
    labels = labels_of(epoch_of(subject, store, plan))
    learn(subject, store, plan, model, tmp_path, max_steps=150, per_device_train_batch_size=16, learning_rate=5e-3)
    (loss,) = mean_losses(subject, store, plan, model)
    batch = subject.collate(epoch_of(subject, store, plan, epoch=1000))
    with torch.no_grad():
        (scores,) = subject.scores(model, batch)
    assert loss < 0.5 * unigram_entropy(labels)
    assert scores.losses[scores.labels != END].mean() < 0.5 * unigram_entropy(labels[labels != END])


# ---- 8. save, reload, same logits ------------------------------------------------------------------------------


def test_a_run_is_a_checkpoint_of_the_decoder(tmp_path: Path) -> None:
    subject, model = objective(), llama()
    plan = subject.plan(STORE, isolate="document", packed=True)
    trainer = make_trainer(subject, STORE, plan, model, tmp_path / "run", max_steps=2)
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").eval()
    ids = torch.randint(FIRST_REGULAR, 90, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model.eval()(input_ids=ids).logits, plain(input_ids=ids).logits)


# ---- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lacking", ["mask_id", "blank_ids"])
def test_a_tokenizer_without_masks_or_blanks_is_refused(lacking: str) -> None:
    with pytest.raises(ModelError, match="needs a mask token and tokens for the start and end of a blank"):
        BlankInfilling(
            PrefixLanguageModelingSettings(variant="blank_infilling"),
            dataclasses.replace(blank_vocabulary(), **{lacking: None}),
            max_length=32,
            seed=0,
        )
