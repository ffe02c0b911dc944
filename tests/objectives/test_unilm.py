"""UniLM's mixture, `prefix_lm` on encoders: the eight things that `objectives` promises of every objective, and its own
rules."""

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
from transformers import AutoModelForMaskedLM

from acclimate.errors import ModelError
from acclimate.models.loading import prepare_for_packs
from acclimate.objectives import make_objective
from acclimate.objectives.base import BY_ALL, BY_EARLIER, BY_LATER, IGNORE, PADDING_SEGMENT, Fields
from acclimate.objectives.prefix_lm import PrefixLanguageModelingSettings
from acclimate.objectives.unilm import UnifiedLanguageModeling
from acclimate.randomness import Purpose, generator
from acclimate.tokens.store import SECOND_START, WORD_START
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
    hand_made_mask,
    labels_of,
    learn,
    loss_of,
    make_trainer,
    mean_losses,
    texts,
    topics,
    unigram_entropy,
)
from tests.objectives.tiny import CLS, FIRST_REGULAR, MASK, PAD, SEP, memory_store, row, tokenizer, vocabulary

BOTH_WAYS, SOURCE_AND_TARGET, LEFT_TO_RIGHT, RIGHT_TO_LEFT = range(4)


def objective(*, max_length: int = 32, seed: int = 1, size: int = 100, **options: object) -> UnifiedLanguageModeling:
    return UnifiedLanguageModeling(
        PrefixLanguageModelingSettings.model_validate(options), vocabulary(size), max_length=max_length, seed=seed
    )


def bert(**changes: Any) -> Any:
    return tiny_model("bert", "AutoModelForMaskedLM", **{"pad_token_id": PAD, **NO_DROPOUT["bert"], **changes})


def prepared_bert() -> Any:
    model = bert()
    prepare_for_packs(model)
    return model


def way_of(fields: Fields) -> int:
    """In which of the four ways a row is seen."""
    values = set(fields["visibility"].tolist())
    if len(values) == 2:
        return SOURCE_AND_TARGET
    return {BY_ALL: BOTH_WAYS, BY_LATER: LEFT_TO_RIGHT, BY_EARLIER: RIGHT_TO_LEFT}[values.pop()]


class Scripted(np.random.Generator):
    """A generator whose draws are the test's: of numbers, and an order."""

    def __init__(self, draws: list[float], order: list[int]) -> None:
        super().__init__(np.random.Philox(0))
        self.draws, self.order = draws, order

    def random(self, size: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        return np.array([self.draws.pop(0) for _ in range(size)])

    def permutation(self, x: Any, axis: int = 0) -> Any:  # type: ignore[override]
        return np.array(self.order)


# ---- 1. hand-made examples -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (0.0, [BY_ALL] * 11),
        (0.333, [BY_ALL] * 11),
        # The texts have six tokens and five with their frames; sources have 1 + floor(0.5 * 5) = 3 tokens, and
        # 1 + floor(0.9 * 4) = 4.
        (0.334, [BY_ALL] * 3 + [BY_LATER] * 3 + [BY_ALL] * 4 + [BY_LATER]),
        (0.666, [BY_ALL] * 3 + [BY_LATER] * 3 + [BY_ALL] * 4 + [BY_LATER]),
        (0.667, [BY_LATER] * 11),
        (0.833, [BY_LATER] * 11),
        (0.834, [BY_EARLIER] * 11),
        (0.999, [BY_EARLIER] * 11),
    ],
)
def test_a_pack_by_hand(draw: float, expected: list[int]) -> None:
    # The budget is 0.3 of 7 tokens, 2.1. On a circle in the order 4, 1, 0, … the arc from 0.0 covers the first three
    # starts: the tokens 4, 1 and 0 of the two texts, at 7, 2 and 1. Draws 0.1 and 0.5 make masks, 0.95 leaves one;
    # the three behind them are for random tokens. Then the way is drawn, and the sources of both texts.
    draws = [0.0, *[0.1, 0.5, 0.95], *[0.0] * 3, draw, *[0.5, 0.9]]
    rng = Scripted(draws, [4, 1, 0, 2, 3, 5, 6])
    fields = objective(mlm_probability=0.3).corrupt(row([10, 11, 12, 13], [20, 21, 22]), rng)
    assert fields["input_ids"].tolist() == [CLS, 10, MASK, 12, 13, SEP, CLS, MASK, 21, 22, SEP]
    labels = [IGNORE] * 11
    labels[1], labels[2], labels[7] = 10, 11, 20
    assert fields["labels"].tolist() == labels
    assert fields["visibility"].tolist() == expected
    assert fields["position_ids"].tolist() == [*range(6), *range(5)]


def test_of_a_pair_the_first_text_is_the_source() -> None:
    # With [CLS], three of six tokens; the source of the other text of the row, which is cut from a pair, is the same.
    flags = [[WORD_START] * 2 + [WORD_START | SECOND_START] + [WORD_START]] * 2
    store = memory_store([[10, 11, 12, 13], [20, 21, 22, 23]], flags=flags, has_pairs=True)
    subject = objective()
    plan = subject.plan(store, isolate="document", packed=True)
    found = [subject.example(store, plan, key) for key in range(40)]
    mixed = [fields for fields in found if way_of(fields) == SOURCE_AND_TARGET]
    assert len(mixed) > 5
    for fields in mixed:
        assert fields["visibility"].tolist() == ([BY_ALL] * 3 + [BY_LATER] * 3) * 2


def test_a_fixed_share_is_the_source() -> None:
    # Half of ten tokens.
    subject = objective(prefix_ratio=0.5)
    for number in range(30):
        fields = subject.corrupt(row(list(range(10, 18))), generator(1, Purpose.CORRUPTION, number))
        if way_of(fields) == SOURCE_AND_TARGET:
            assert fields["visibility"].tolist() == [BY_ALL] * 5 + [BY_LATER] * 5


# ---- 2. rates --------------------------------------------------------------------------------------------------


def test_rates_over_a_million_tokens() -> None:
    # 8,000 rows of 126 tokens, each seen in one way: a share's standard error is sqrt(p (1 - p) / rows). Masks are as
    # in `mlm`: the budget of a row is 18.9 tokens rounded at random, binomial draws bound its error from above.
    num_rows, length = 8_000, 126
    rng = np.random.default_rng(0)
    subject = objective(max_length=128, size=5_000)
    ways = np.zeros(4)
    chosen = masked = same = 0
    sources = []
    for number in range(num_rows):
        ids = rng.integers(FIRST_REGULAR, 5_000, length).tolist()
        fields = subject.corrupt(row(ids), generator(1, Purpose.CORRUPTION, number))
        ways[way_of(fields)] += 1
        if way_of(fields) == SOURCE_AND_TARGET:
            sources.append((fields["visibility"] == BY_ALL).sum())
        targets = fields["labels"] != IGNORE
        chosen += int(targets.sum())
        masked += int((fields["input_ids"][targets] == MASK).sum())
        same += int((fields["input_ids"][targets] == fields["labels"][targets]).sum())
    for share, rule in zip(ways / num_rows, (1 / 3, 1 / 3, 1 / 6, 1 / 6), strict=True):
        assert abs(share - rule) < 3 * math.sqrt(rule * (1 - rule) / num_rows)
    total = num_rows * length
    assert total > 1_000_000
    assert abs(chosen / total - 0.15) < 3 * math.sqrt(0.15 * 0.85 / total)
    assert abs(masked / chosen - 0.8) < 3 * math.sqrt(0.16 / chosen)
    stay = 0.1 + 0.1 / 4_995
    assert abs(same / chosen - stay) < 3 * math.sqrt(stay * (1 - stay) / chosen)
    # Sources are uniform: 1 to 127 of 128 tokens, 64 on average.
    assert abs(np.mean(sources) - 64) < 3 * math.sqrt((127**2 - 1) / 12 / len(sources))


# ---- 3. special tokens -----------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    pieces=st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=30), min_size=1, max_size=4),
    number=st.integers(0, 10_000),
)
def test_special_tokens_are_never_chosen_nor_produced(pieces: list[list[int]], number: int) -> None:
    subject = objective(max_length=256)
    before = row(*pieces)
    fields = subject.corrupt(before, generator(1, Purpose.CORRUPTION, number))
    targets = fields["labels"] != IGNORE
    assert before.candidates[targets].all()
    assert np.array_equal(fields["labels"][targets], before.input_ids[targets])
    assert np.array_equal(fields["input_ids"][~targets], before.input_ids[~targets])
    produced = fields["input_ids"][targets]
    assert ((produced == MASK) | (produced >= FIRST_REGULAR)).all()
    # All texts of a row are seen in one way, and each has a source and a target where they are.
    if way_of(fields) == SOURCE_AND_TARGET:
        for segment in range(len(pieces)):
            mine = fields["visibility"][fields["segment_ids"] == segment]
            assert mine[0] == BY_ALL and mine[-1] == BY_LATER and (np.diff(mine) >= 0).all()
    batch = subject.collate([fields, {name: values[:1] for name, values in fields.items()}])
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


def test_masks_and_ways_change_with_epoch_and_seed() -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=True)

    def found(subject: UnifiedLanguageModeling, epoch: int) -> tuple[list[int], list[int]]:
        examples = epoch_of(subject, STORE, plan, epoch)
        return labels_of(examples).tolist(), [way_of(fields) for fields in examples]

    first = found(subject, 0)
    assert found(objective(), 0) == first
    for other in (found(subject, 1), found(objective(seed=2), 0)):
        assert other[0] != first[0] and other[1] != first[1]


# ---- 5. loss and gradient --------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
def test_loss_and_gradient_equal_the_reference_class(packed: bool) -> None:
    # The plain class with a four-dimensional mask made pair by pair, one row of each way, and its own loss.
    subject, ours, theirs = objective(), prepared_bert(), bert()
    plan = subject.plan(STORE, isolate="group", packed=packed)
    full = [fields for fields in epoch_of(subject, STORE, plan) if len(fields["input_ids"]) == 32]
    examples = [next(fields for fields in full if way_of(fields) == way) for way in range(4)]
    batch = subject.collate(examples)
    loss = loss_of(subject, ours, batch)
    loss.backward()
    reference = theirs(
        input_ids=batch["input_ids"],
        attention_mask=torch.cat([hand_made_mask(fields) for fields in examples]),
        position_ids=batch["position_ids"],
        labels=batch["labels"],
    )
    reference.loss.backward()
    assert loss.item() == pytest.approx(reference.loss.item(), rel=1e-5)
    check_gradients(gradients(ours), gradients(theirs))


def test_accumulation_gives_the_same_gradient(tmp_path: Path) -> None:
    subject = objective()
    check_accumulation(subject, STORE, subject.plan(STORE, isolate="group", packed=True), bert, tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_padding_changes_nothing(packed: bool) -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=packed)
    check_padding(subject, prepared_bert(), epoch_of(subject, STORE, plan)[-6:])


# ---- 6. packs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", range(4))
def test_in_a_pack_no_document_sees_another(way: int) -> None:
    subject, store = objective(), memory_store([list(range(10, 20)), list(range(20, 32))])
    plan = subject.plan(store, isolate="document", packed=True)
    found = (subject.example(store, plan, key) for key in range(200))
    check_packs(subject, prepared_bert(), next(fields for fields in found if way_of(fields) == way))


def test_every_token_is_an_input_once_an_epoch_and_sometimes_a_target() -> None:
    # Over 100 epochs each is a target, but for a chance of 0.85^100, which is 1e-7.
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=True)
    inputs, targets = exposed(STORE, [subject.example(STORE, plan, key) for key in range(100 * len(plan))])
    regular = STORE.ids >= FIRST_REGULAR
    assert (inputs[regular] == 100).all()
    assert (targets[regular] > 0).all() and targets[~regular].sum() == 0


# ---- 7. it learns ----------------------------------------------------------------------------------------------


def test_it_learns(tmp_path: Path) -> None:
    # A text keeps to one token, which is known from any that is seen.
    store, subject = memory_store(topics(80, num_topics=24, size=1)), objective()
    plan = subject.plan(store, isolate="document", packed=True)
    model = bert(initializer_range=0.02)
    entropy = unigram_entropy(labels_of(epoch_of(subject, store, plan)))
    losses = learn(
        subject, store, plan, model, tmp_path, max_steps=120, per_device_train_batch_size=16, learning_rate=5e-3
    )
    assert losses[0] > 4
    (loss,) = mean_losses(subject, store, plan, model)
    assert loss < 0.5 * entropy


# ---- 8. save, reload, same logits ------------------------------------------------------------------------------


def test_a_run_is_a_checkpoint_of_the_encoder(tmp_path: Path) -> None:
    # Plain transformers runs it in both directions, as the model does that is told nothing else.
    subject, model = objective(), bert()
    plan = subject.plan(STORE, isolate="document", packed=True)
    trainer = make_trainer(subject, STORE, plan, model, tmp_path / "run", max_steps=2)
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    plain = AutoModelForMaskedLM.from_pretrained(tmp_path / "saved").eval()
    ids = torch.randint(FIRST_REGULAR, 90, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model.eval()(input_ids=ids).logits, plain(input_ids=ids).logits)


# ---- bad input ---------------------------------------------------------------------------------------------------


def test_a_tokenizer_without_mask_token_is_refused() -> None:
    with pytest.raises(ModelError, match="`prefix_lm` needs a mask token"):
        UnifiedLanguageModeling(
            PrefixLanguageModelingSettings(),
            dataclasses.replace(vocabulary(), mask_id=None),
            max_length=8,
            seed=0,
        )


def test_the_family_decides() -> None:
    made = make_objective("prefix_lm", {"mlm_probability": 0.2}, tokenizer(), max_length=32, seed=1, family="encoder")
    assert type(made) is UnifiedLanguageModeling
    assert made.masking.mlm_probability == 0.2
    assert made.head == "masked-lm" and made.name == "prefix_lm"
