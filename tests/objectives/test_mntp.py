"""Masked next-token prediction: the eight things that `objectives` promises of every objective, and its own rules."""

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
from transformers import AutoModelForCausalLM

from acclimate.errors import ModelError, RecipeError
from acclimate.models.loading import prepare_for_packs
from acclimate.objectives import resolve_objective
from acclimate.objectives.base import BY_ALL, IGNORE, INPUT_PLACES, LABEL_PLACES, PADDING_SEGMENT
from acclimate.objectives.mntp import MaskedNextTokenPrediction, MaskedNextTokenPredictionSettings
from acclimate.objectives.rows import NO_PLACE, read_row
from acclimate.tokens.store import WORD_START
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
    part_of,
    texts,
    topics,
    unigram_entropy,
)
from tests.objectives.tiny import BOS, FIRST_REGULAR, MASK, PAD, blank_vocabulary, memory_store


def objective(
    *, max_length: int = 32, seed: int = 1, size: int = 100, bos: bool = True, **options: object
) -> MaskedNextTokenPrediction:
    return MaskedNextTokenPrediction(
        MaskedNextTokenPredictionSettings.model_validate(options),
        blank_vocabulary(size, bos=bos),
        max_length=max_length,
        seed=seed,
    )


def decoder(model_type: str = "llama", **changes: Any) -> Any:
    no_dropout = NO_DROPOUT.get(model_type, {})
    return tiny_model(model_type, "AutoModelForCausalLM", **{"pad_token_id": PAD, **no_dropout, **changes})


def prepared(model_type: str = "llama", **changes: Any) -> Any:
    model = decoder(model_type, **changes)
    prepare_for_packs(model)
    return model


class Scripted(np.random.Generator):
    """A generator whose draws are the test's."""

    def __init__(self, draws: list[float], order: list[int]) -> None:
        super().__init__(np.random.Philox(0))
        self.draws, self.order = draws, order

    def random(self, size: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        return np.array([self.draws.pop(0) for _ in range(size)])

    def permutation(self, x: Any, axis: int = 0) -> Any:  # type: ignore[override]
        assert sorted(self.order) == list(range(x))
        return np.array(self.order)


# ---- 1. hand-made examples -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bos", [True, False])
def test_a_pack_by_hand(bos: bool) -> None:
    # Two texts of five tokens and three. With <s> all eight may be chosen, without it not the first of each text, so
    # six. The budget is 0.375 or 0.5 of them, 3 tokens. On a circle from 0.0 the arc covers the first three of the
    # order: 1, 0, and the last but one. Draws 0.1: mask; 0.85: random; 0.95: stays. Which random token each would be:
    # 0.78 of 93 regular ones is 72.5, so it is the one of id 5 + 72 = 77.
    last = 6 if bos else 4
    order = [1, 0, last, *[n for n in range(8 if bos else 6) if n not in (0, 1, last)]]
    rng = Scripted([0.0, *[0.1, 0.85, 0.95], *[0.0, 0.78, 0.0]], order)
    subject = objective(mlm_probability=0.375 if bos else 0.5, bos=bos)
    store = memory_store([[10, 11, 12, 13, 14], [20, 21, 22]], joint=None)
    row = read_row(store, np.array([[0, 5], [5, 8]]), subject.vocabulary, Frame((BOS,) if bos else (), ()))
    fields = subject.corrupt(row, rng)
    if bos:
        # Chosen in the order 11, 10, and the second of the second text.
        assert fields["input_ids"].tolist() == [BOS, 77, MASK, 12, 13, 14, BOS, 20, 21, 22]
        assert fields["labels"].tolist() == [IGNORE, 10, 11, *[IGNORE] * 5, 21, IGNORE]
        assert fields["position_ids"].tolist() == [*range(6), *range(4)]
        assert fields[LABEL_PLACES].tolist() == [NO_PLACE, 0, 1, *[NO_PLACE] * 5, 6, NO_PLACE]
    else:
        # Those that may be chosen are 11, 12, 13, 14, 21, 22.
        assert fields["input_ids"].tolist() == [10, 77, MASK, 13, 14, 20, 21, 22]
        assert fields["labels"].tolist() == [IGNORE, 11, 12, IGNORE, IGNORE, IGNORE, 21, IGNORE]
        assert fields[INPUT_PLACES].tolist() == list(range(8))
    assert fields["visibility"].tolist() == [BY_ALL] * len(row)


def test_a_target_is_told_from_the_position_before() -> None:
    # The loss of a target does not change with the logits of any other position.
    subject, model = objective(), prepared()
    store = memory_store([list(range(10, 30))])
    plan = subject.plan(store, isolate="document", packed=False)
    batch = subject.collate([subject.example(store, plan, 0)])
    where = batch["labels"][0].ne(IGNORE).nonzero()[:, 0]
    logits = torch.randn(1, batch["labels"].shape[1], 120, generator=torch.Generator().manual_seed(0))

    class Told:
        def __call__(self, **inputs: Any) -> Any:
            assert set(inputs) == {"input_ids", "visibility", "segment_ids", "position_ids"}
            return type("Output", (), {"logits": logits})

    (scores,) = subject.scores(Told(), batch)
    expected = -logits[0, where - 1].log_softmax(-1)[torch.arange(len(where)), batch["labels"][0, where]]
    assert torch.allclose(scores.losses, expected)
    assert torch.equal(scores.columns, where)
    # And with a model it is finite.
    assert subject.sums(model, batch).isfinite().all()


# ---- 2. rates --------------------------------------------------------------------------------------------------


def test_rates_over_a_million_tokens() -> None:
    # 8,000 rows of 127 tokens behind <s>: the budget is 25.4, rounded at random; binomial draws bound its error.
    num_rows, length = 8_000, 127
    subject = objective(max_length=128, size=5_000)
    rng = np.random.default_rng(0)
    store = memory_store([rng.integers(FIRST_REGULAR, 4_998, length).tolist() for _ in range(num_rows)])
    plan = subject.plan(store, isolate="document", packed=True)
    assert len(plan) == num_rows and len(store) > 1_000_000
    chosen = masked = same = 0
    for fields in epoch_of(subject, store, plan):
        targets = fields["labels"] != IGNORE
        chosen += int(targets.sum())
        masked += int((fields["input_ids"][targets] == MASK).sum())
        same += int((fields["input_ids"][targets] == fields["labels"][targets]).sum())
    total = num_rows * length
    assert abs(chosen / total - 0.2) < 3 * math.sqrt(0.2 * 0.8 / total)
    assert abs(masked / chosen - 0.8) < 3 * math.sqrt(0.16 / chosen)
    # A random token is the same in one of 4,993 draws.
    stay = 0.1 + 0.1 / 4_993
    assert abs(same / chosen - stay) < 3 * math.sqrt(stay * (1 - stay) / chosen)


@pytest.mark.parametrize("unit", ["word", "span"])
def test_whole_words(unit: str) -> None:
    # Words of two tokens: all or nothing of each is chosen.
    flags = [[WORD_START, 0] * 10]
    store = memory_store([list(range(10, 30))], flags=flags)
    subject = objective(unit=unit)
    plan = subject.plan(store, isolate="document", packed=False)
    for key in range(50):
        targets = subject.example(store, plan, key)["labels"][1:] != IGNORE
        assert np.array_equal(targets[::2], targets[1::2]) and targets.any()


# ---- 3. special tokens -----------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=40), min_size=1, max_size=6),
    bos=st.booleans(),
    packed=st.booleans(),
    unit=st.sampled_from(["token", "word", "span"]),
    epoch=st.integers(0, 1000),
)
def test_special_tokens_and_the_first_are_never_chosen(
    documents: list[list[int]], bos: bool, packed: bool, unit: str, epoch: int
) -> None:
    subject = objective(bos=bos, unit=unit)
    store = memory_store(documents)
    plan = subject.plan(store, isolate="document", packed=packed)
    examples = epoch_of(subject, store, plan, epoch)
    special = subject.vocabulary.special
    for fields in examples:
        assert len(fields["input_ids"]) <= 32
        targets = fields["labels"] != IGNORE
        assert not targets[fields["position_ids"] == 0].any()
        assert not special[fields["labels"][targets]].any()
        original = np.where(fields[INPUT_PLACES] == NO_PLACE, BOS, store.ids[fields[INPUT_PLACES]])
        assert np.array_equal(fields["input_ids"][~targets], original[~targets])
        assert np.array_equal(fields["labels"][targets], original[targets])
        produced = fields["input_ids"][targets]
        assert ((produced == MASK) | ~special[produced]).all()
        assert targets.any() == (~special[original] & (fields["position_ids"] > 0)).any()
    batch = subject.collate(examples)
    padding = batch["segment_ids"] == PADDING_SEGMENT
    assert (batch["input_ids"][padding] == PAD).all() and (batch["labels"][padding] == IGNORE).all()


# ---- 4. a pure function of (seed, epoch, example) --------------------------------------------------------------

STORE = memory_store(texts(60))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 4])
def test_examples_do_not_depend_on_workers(workers: int) -> None:
    subject = objective()
    check_workers(subject, STORE, subject.plan(STORE, isolate="group", packed=True), workers)


def test_two_processes_see_what_one_sees() -> None:
    check_processes(objective, STORE, objective().plan(STORE, isolate="group", packed=True))


def test_masks_change_with_epoch_and_seed() -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=True)
    first = labels_of(epoch_of(subject, STORE, plan))
    assert np.array_equal(first, labels_of(epoch_of(objective(), STORE, plan)))
    assert not np.array_equal(first, labels_of(epoch_of(subject, STORE, plan, epoch=1)))
    assert not np.array_equal(first, labels_of(epoch_of(objective(seed=2), STORE, plan)))


# ---- 5. loss and gradient --------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "phi", "qwen3", "glm"])
def test_loss_and_gradient_equal_the_reference_class(model_type: str) -> None:
    # The plain class made bidirectional by its configuration, with its own loss: it shifts the labels by one.
    subject, ours, theirs = objective(), prepared(model_type), decoder(model_type)
    theirs.config.is_causal = False
    plan = subject.plan(STORE, isolate="group", packed=False)
    batch = subject.collate(epoch_of(subject, STORE, plan)[:6])
    loss = loss_of(subject, ours, batch)
    loss.backward()
    reference = theirs(
        input_ids=batch["input_ids"],
        attention_mask=batch["segment_ids"].ne(PADDING_SEGMENT).long(),
        labels=batch["labels"],
        use_cache=False,
    )
    reference.loss.backward()
    assert loss.item() == pytest.approx(reference.loss.item(), rel=1e-5)
    check_gradients(gradients(ours), gradients(theirs))
    # It is not what the causal model says.
    theirs.config.is_causal = True
    with torch.no_grad():
        causal = theirs(input_ids=batch["input_ids"], labels=batch["labels"]).loss
    assert abs(causal.item() - loss.item()) > 1e-3


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
def test_packs_equal_single_rows(model_type: str) -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=True)
    packed = [fields for fields in epoch_of(subject, STORE, plan) if fields["segment_ids"].max() > 0][:5]
    single = [part_of(fields, number) for fields in packed for number in range(fields["segment_ids"].max() + 1)]
    found = []
    for examples in (packed, single):
        model = prepared(model_type)
        batch = subject.collate(examples)
        loss = loss_of(subject, model, batch)
        loss.backward()
        found.append((loss.item(), subject.counts(batch), gradients(model)))
    assert torch.equal(found[0][1], found[1][1])
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    check_gradients(found[0][2], found[1][2], rtol=1e-4)


def test_accumulation_gives_the_same_gradient(tmp_path: Path) -> None:
    subject = objective()
    check_accumulation(subject, STORE, subject.plan(STORE, isolate="group", packed=True), decoder, tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_padding_changes_nothing(packed: bool) -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=packed)
    check_padding(subject, prepared(), epoch_of(subject, STORE, plan)[-4:])


# ---- 6. packs ------------------------------------------------------------------------------------------------


def test_in_a_pack_no_document_sees_another() -> None:
    subject, store = objective(), memory_store([list(range(10, 20)), list(range(20, 32))])
    plan = subject.plan(store, isolate="document", packed=True)
    check_packs(subject, prepared(), subject.example(store, plan, 0))


@pytest.mark.parametrize("bos", [True, False])
def test_every_token_is_an_input_once_an_epoch_and_sometimes_a_target(bos: bool) -> None:
    # Over 100 epochs each is a target, but for a chance of 0.8^100, and those that have no position before them.
    subject = objective(bos=bos)
    plan = subject.plan(STORE, isolate="group", packed=True)
    inputs, targets = exposed(STORE, [subject.example(STORE, plan, key) for key in range(100 * len(plan))])
    regular = STORE.ids >= FIRST_REGULAR
    assert (inputs[regular] == 100).all()
    if not bos:
        assert targets[plan.pieces[:, 0]].sum() == 0
        regular[plan.pieces[:, 0]] = False
    assert (targets[regular] > 0).all() and targets[STORE.ids < FIRST_REGULAR].sum() == 0


# ---- 7. it learns ----------------------------------------------------------------------------------------------


def test_it_learns(tmp_path: Path) -> None:
    # A text keeps to one token: what is masked is known from either side.
    store, subject = memory_store(topics(80, num_topics=24, size=1)), objective()
    plan = subject.plan(store, isolate="document", packed=True)
    model = decoder(initializer_range=0.02)
    entropy = unigram_entropy(labels_of(epoch_of(subject, store, plan)))
    losses = learn(
        subject, store, plan, model, tmp_path, max_steps=80, per_device_train_batch_size=16, learning_rate=5e-3
    )
    assert losses[0] > 4
    (loss,) = mean_losses(subject, store, plan, model)
    assert loss < 0.5 * entropy


# ---- 8. save, reload, same logits ------------------------------------------------------------------------------


def test_a_run_is_a_checkpoint_of_the_decoder(tmp_path: Path) -> None:
    # Plain transformers runs it left to right, as the model does that is told nothing else.
    subject, model = objective(), decoder()
    plan = subject.plan(STORE, isolate="document", packed=True)
    trainer = make_trainer(subject, STORE, plan, model, tmp_path / "run", max_steps=2)
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").eval()
    assert getattr(plain.config, "is_causal", True)
    ids = torch.randint(FIRST_REGULAR, 90, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model.eval()(input_ids=ids).logits, plain(input_ids=ids).logits)


# ---- bad input ---------------------------------------------------------------------------------------------------


def test_a_tokenizer_without_mask_token_is_refused() -> None:
    with pytest.raises(ModelError, match="`mntp` needs a mask token"):
        MaskedNextTokenPrediction(
            MaskedNextTokenPredictionSettings(),
            dataclasses.replace(blank_vocabulary(), mask_id=None),
            max_length=8,
            seed=0,
        )


@pytest.mark.parametrize("options", [{"mlm_probability": 0}, {"mlm_probability": 1}, {"unit": "sentence"}])
def test_wrong_options_are_told(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=f"objective.{next(iter(options))}"):
        resolve_objective("mntp", options, "decoder")


def test_words_that_are_not_known_are_refused() -> None:
    store = dataclasses.replace(STORE, has_words=False)
    with pytest.raises(ModelError, match="unit: word"):
        objective(unit="word").plan(store, isolate="group", packed=True)
