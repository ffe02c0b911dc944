"""Prefix language modeling on decoders: the eight things that `objectives` promises of every objective, and its own
rules."""

from __future__ import annotations

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
from acclimate.objectives import check_fit, make_objective, resolve_objective
from acclimate.objectives.base import BY_ALL, BY_LATER, IGNORE, INPUT_PLACES, LABEL_PLACES, PADDING_SEGMENT
from acclimate.objectives.prefix_lm import (
    PrefixLanguageModeling,
    PrefixLanguageModelingSettings,
    prefix_lengths,
)
from acclimate.objectives.rows import NO_PLACE
from acclimate.randomness import Purpose, generator
from acclimate.tokens.store import SECOND_START, WORD_START
from tests.models.tiny import tiny_model
from tests.objectives.checks import (
    chain,
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
    unigram_entropy,
)
from tests.objectives.tiny import (
    BOS,
    EOS,
    FIRST_REGULAR,
    PAD,
    UNK,
    MemoryStore,
    decoder_vocabulary,
    memory_store,
    tokenizer,
)


def objective(*, max_length: int = 32, seed: int = 1, bos: bool = True, **options: object) -> PrefixLanguageModeling:
    return PrefixLanguageModeling(
        PrefixLanguageModelingSettings.model_validate(options),
        decoder_vocabulary(bos=bos),
        max_length=max_length,
        seed=seed,
    )


def llama(**changes: Any) -> Any:
    return tiny_model("llama", "AutoModelForCausalLM", pad_token_id=PAD, **changes)


def prepared_llama() -> Any:
    model = llama()
    prepare_for_packs(model)
    return model


def pairs(*documents: tuple[list[int], list[int]]) -> MemoryStore:
    """A store of pairs of a prompt and a completion."""
    flags = [
        [WORD_START] * len(first) + [WORD_START | SECOND_START] + [WORD_START] * (len(second) - 1)
        for first, second in documents
    ]
    return memory_store([[*first, *second] for first, second in documents], flags=flags, has_pairs=True)


class Draws(np.random.Generator):
    """A generator whose uniform draws are the test's."""

    def __init__(self, *draws: float) -> None:
        super().__init__(np.random.Philox(0))
        self.draws = list(draws)

    def random(self, size: int, **kwargs: Any) -> Any:  # type: ignore[override]
        return np.array([self.draws.pop(0) for _ in range(size)])


# ---- 1. hand-made examples -------------------------------------------------------------------------------------


def test_a_pack_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two documents and their ends: <s> 10 11 12 </s> and <s> 20 21 </s>. A prefix has 1 to 4 tokens of the first five,
    # 1 + floor(0.6 * 4) = 3, and 1 to 3 of the other four: 1 + floor(0.1 * 3) = 1, which is <s> alone.
    subject, store = objective(max_length=12), memory_store([[10, 11, 12], [20, 21]])
    monkeypatch.setattr(subject, "rng", lambda key: Draws(0.6, 0.1))
    plan = subject.plan(store, isolate="document", packed=True)
    fields = subject.example(store, plan, 0)
    assert fields["input_ids"].tolist() == [BOS, 10, 11, 12, EOS, BOS, 20, 21, EOS]
    assert fields["labels"].tolist() == [IGNORE, IGNORE, IGNORE, 12, EOS, IGNORE, 20, 21, EOS]
    assert fields["visibility"].tolist() == [BY_ALL] * 3 + [BY_LATER] * 2 + [BY_ALL] + [BY_LATER] * 3
    assert fields["segment_ids"].tolist() == [0] * 5 + [1] * 4
    assert fields["position_ids"].tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3]
    assert fields[INPUT_PLACES].tolist() == [NO_PLACE, 0, 1, 2, 3, NO_PLACE, 4, 5, 6]
    assert fields[LABEL_PLACES].tolist() == [NO_PLACE] * 3 + [2, 3, NO_PLACE, 4, 5, 6]


def test_a_fixed_ratio_by_hand() -> None:
    def lengths(length: int, ratio: float | None, *draws: float) -> list[int]:
        found: list[int] = prefix_lengths(np.full(len(draws), length), ratio, np.array(draws)).tolist()
        return found

    # 0.5 of 5 is 2.5: 2 or 3, half of the time each; of 2 it is 1; of one token all, so that nothing is asked.
    assert lengths(5, 0.5, 0.0, 0.49, 0.5, 0.99) == [2, 2, 3, 3]
    assert lengths(2, 0.5, 0.0, 0.99) == [1, 1]
    # At least one token, and one less than all at most.
    assert lengths(5, 0.01, 0.0) + lengths(5, 0.99, 0.99) == [1, 4]
    assert lengths(1, 0.5, 0.5) == lengths(1, None, 0.5) == [1]
    # Drawn evenly: 1 + floor(0.74 * 4) of five, and 1 + floor(0.75 * 4).
    assert lengths(5, None, 0.0, 0.74, 0.75, 0.99) == [1, 3, 4, 4]


@pytest.mark.parametrize("bos", [True, False])
def test_a_prompt_is_the_prefix(bos: bool) -> None:
    store = pairs(([10, 11, 12], [13, 14]), ([20], [21, 22, 23]))
    subject = objective(bos=bos)
    plan = subject.plan(store, isolate="group", packed=True)
    assert len(plan) == 1
    fields = subject.example(store, plan, 0)
    begin = [BOS] * bos
    assert fields["input_ids"].tolist() == [*begin, 10, 11, 12, 13, 14, EOS, *begin, 20, 21, 22, 23, EOS]
    nothing = [IGNORE] * bos
    assert fields["labels"].tolist() == [
        *[*nothing, IGNORE, IGNORE, IGNORE, 13, 14, EOS],
        *[*nothing, IGNORE, 21, 22, 23, EOS],
    ]
    expected = [BY_ALL] * (3 + bos) + [BY_LATER] * 3 + [BY_ALL] * (1 + bos) + [BY_LATER] * 4
    assert fields["visibility"].tolist() == expected


def test_a_pair_that_is_cut() -> None:
    # Rows of <s> and four tokens. The prompt has six: of its first row nothing is asked, in the second two tokens are
    # prompt; what is left of the completion has no prompt but <s>.
    store = pairs(([10, 11, 12, 13, 14, 15], [16, 17, 18, 19, 20]))
    subject = objective(max_length=5)
    plan = subject.plan(store, isolate="group", packed=False)
    rows = epoch_of(subject, store, plan)
    assert [fields["input_ids"].tolist() for fields in rows] == [
        [BOS, 10, 11, 12, 13],
        [BOS, 14, 15, 16, 17],
        [BOS, 18, 19, 20, EOS],
    ]
    assert [(fields["visibility"] == BY_ALL).sum() for fields in rows] == [5, 3, 1]
    assert [fields["labels"][fields["labels"] != IGNORE].tolist() for fields in rows] == [
        [],
        [16, 17],
        [18, 19, 20, EOS],
    ]


def test_texts_that_run_into_each_other_have_no_given_prefix() -> None:
    # `isolate: none`: one piece has both pairs, so that its prefix is drawn. (Of 12 tokens with <s>, without EOS at
    # the end: 1 + 11 u.)
    store = pairs(([10, 11, 12], [13, 14]), ([20], [21, 22, 23]))
    subject = objective()
    plan = subject.plan(store, isolate="none", packed=True)
    prefixes = {int((subject.example(store, plan, key)["visibility"] == BY_ALL).sum()) for key in range(60)}
    assert len(prefixes) > 5 and min(prefixes) >= 1 and max(prefixes) <= 11


# ---- 2. rates --------------------------------------------------------------------------------------------------


def test_prefixes_are_uniform_over_a_million_tokens() -> None:
    # 10,200 texts of 98 tokens, framed by <s> and EOS: prefixes of 1 to 99 tokens, each as likely. Chi-square over 99
    # lengths has a mean of 98 and a variance of 196. The mean prefix is 50, with a deviation of sqrt((99^2 - 1) / 12).
    length, num_texts = 98, 10_240
    subject = objective(max_length=100)
    store = memory_store([[10 + number % 50 for number in range(length)]] * num_texts)
    plan = subject.plan(store, isolate="document", packed=True)
    assert len(plan) == num_texts and len(store) > 1_000_000
    prefixes = np.array([(fields["visibility"] == BY_ALL).sum() for fields in epoch_of(subject, store, plan)])
    counts = np.bincount(prefixes, minlength=100)
    assert counts[0] == 0 and len(counts) == 100
    expected = num_texts / 99
    assert ((counts[1:] - expected) ** 2 / expected).sum() < 98 + 3 * math.sqrt(196)
    assert abs(prefixes.mean() - 50) < 3 * math.sqrt((99**2 - 1) / 12 / num_texts)


def test_a_ratio_holds_on_average() -> None:
    # 0.3 of 17 is 5.1: five, and six in one of ten. The deviation of one draw is sqrt(0.1 * 0.9).
    num = 20_000
    draws = np.array([generator(1, Purpose.CORRUPTION, number).random() for number in range(num)])
    found = prefix_lengths(np.full(num, 17), 0.3, draws)
    assert set(found.tolist()) == {5, 6}
    assert abs(np.mean(found) - 5.1) < 3 * math.sqrt(0.09 / num)


# ---- 3. special tokens -----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(UNK, 99).filter(lambda t: t not in (2, 3, 4)), max_size=30), min_size=1),
    bos=st.booleans(),
    packed=st.booleans(),
    max_length=st.integers(4, 40),
    ratio=st.sampled_from([None, 0.3]),
    epoch=st.integers(0, 1000),
)
def test_only_what_is_behind_a_prefix_is_predicted(
    documents: list[list[int]], bos: bool, packed: bool, max_length: int, ratio: float | None, epoch: int
) -> None:
    store = memory_store(documents)
    subject = objective(bos=bos, max_length=max_length, prefix_ratio=ratio)
    plan = subject.plan(store, isolate="document", packed=packed)
    examples = epoch_of(subject, store, plan, epoch)
    for example in examples:
        ids, labels, in_prefix = example["input_ids"], example["labels"], example["visibility"] == BY_ALL
        assert len(ids) <= max_length
        assert (labels[in_prefix] == IGNORE).all()
        # Behind it all but unknown tokens is predicted.
        assert np.array_equal(labels != IGNORE, ~in_prefix & (ids != UNK))
        assert (labels[labels != IGNORE] == ids[labels != IGNORE]).all()
        assert not np.isin(labels, [PAD, UNK, BOS]).any()
        for segment in range(example["segment_ids"][-1] + 1):
            mine = in_prefix[example["segment_ids"] == segment]
            # The beginning of a text, and neither nothing nor all of it.
            assert (np.diff(mine.astype(int)) <= 0).all()
            assert mine[0] and (not mine[-1] or len(mine) == 1)
    batch = subject.collate(examples)
    padding = batch["segment_ids"] == PADDING_SEGMENT
    assert (batch["labels"][padding] == IGNORE).all()
    assert (batch["input_ids"][padding] == PAD).all()


# ---- 4. a pure function of (seed, epoch, example) --------------------------------------------------------------

STORE = memory_store(texts(60))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 4])
def test_examples_do_not_depend_on_workers(workers: int) -> None:
    subject = objective()
    check_workers(subject, STORE, subject.plan(STORE, isolate="group", packed=True), workers)


def test_two_processes_see_what_one_sees() -> None:
    check_processes(objective, STORE, objective().plan(STORE, isolate="group", packed=True))


def test_prefixes_change_with_epoch_and_seed() -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=True)
    first = labels_of(epoch_of(subject, STORE, plan))
    assert np.array_equal(first, labels_of(epoch_of(objective(), STORE, plan)))
    assert not np.array_equal(first, labels_of(epoch_of(subject, STORE, plan, epoch=1)))
    assert not np.array_equal(first, labels_of(epoch_of(objective(seed=2), STORE, plan)))


# ---- 5. loss and gradient --------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
def test_loss_and_gradient_equal_the_reference_class(packed: bool) -> None:
    # The plain class with a four-dimensional mask made pair by pair, which it takes as it is, and its own loss.
    subject, ours, theirs = objective(), prepared_llama(), llama()
    plan = subject.plan(STORE, isolate="group", packed=packed)
    examples = [fields for fields in epoch_of(subject, STORE, plan) if len(fields["input_ids"]) == 32][:4]
    batch = subject.collate(examples)
    loss = loss_of(subject, ours, batch)
    loss.backward()
    reference = theirs(
        input_ids=batch["input_ids"],
        attention_mask=torch.cat([hand_made_mask(fields) for fields in examples]),
        position_ids=batch["position_ids"],
        labels=batch["labels"],
        use_cache=False,
    )
    reference.loss.backward()
    assert loss.item() == pytest.approx(reference.loss.item(), rel=1e-5)
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
    subject, store = objective(), memory_store([list(range(10, 18)), list(range(20, 29))])
    plan = subject.plan(store, isolate="document", packed=True)
    check_packs(subject, prepared_llama(), subject.example(store, plan, 0))


def test_every_token_is_an_input_and_sometimes_a_target() -> None:
    # The first token of a text is asked for where the prefix is <s> alone, of 31 prefixes or fewer. Over 600 epochs it
    # never is with a chance of (30 / 31)^600 = 3e-9. EOS always is.
    subject, store = objective(), memory_store(texts(12, longest=30))
    plan = subject.plan(store, isolate="document", packed=True)
    examples = [subject.example(store, plan, key) for key in range(600 * len(plan))]
    inputs, targets = exposed(store, examples)
    assert (inputs == 600).all()
    assert (targets > 0).all()
    assert (targets[store.documents[:, 1]] == 600).all()


# ---- 7. it learns ----------------------------------------------------------------------------------------------


def test_it_learns(tmp_path: Path) -> None:
    # A chain whose next token has 0.33 nats: a decoder that knows frequencies only stays at 3.1.
    store, subject = memory_store(chain(60)), objective()
    plan = subject.plan(store, isolate="document", packed=True)
    model = llama(initializer_range=0.02)
    entropy = unigram_entropy(labels_of(epoch_of(subject, store, plan)))
    losses = learn(
        subject, store, plan, model, tmp_path, max_steps=80, per_device_train_batch_size=16, learning_rate=5e-3
    )
    assert losses[0] > 4
    (loss,) = mean_losses(subject, store, plan, model)
    assert loss < 0.5 * entropy


# ---- 8. save, reload, same logits ------------------------------------------------------------------------------


def test_a_run_is_a_checkpoint_of_the_decoder(tmp_path: Path) -> None:
    # Plain transformers runs it left to right, as the model does that is not told of a prefix.
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prefix_ratio": 0}, "objective.prefix_ratio"),
        ({"prefix_ratio": 1}, "objective.prefix_ratio"),
        ({"prefix_ratio": "half"}, "objective.prefix_ratio"),
        ({"variant": "glm"}, "objective.variant"),
        ({"ratio": 0.5}, "objective.ratio"),
    ],
)
def test_wrong_options_are_told(options: dict[str, Any], message: str) -> None:
    for family in ("decoder", "encoder"):
        with pytest.raises(RecipeError, match=message):
            resolve_objective("prefix_lm", options, family)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("decoder", {"mlm_probability": 0.2}, "`objective.mlm_probability` has no effect on a decoder"),
        ("decoder", {"noise_density": 0.2, "poisson_lambda": 2}, "noise_density`, `objective.poisson_lambda` has no"),
        ("encoder", {"poisson_lambda": 2}, "`objective.poisson_lambda` has no effect on an encoder"),
        ("encoder", {"variant": "blank_infilling"}, "`objective.variant: blank_infilling` is for decoders"),
        ("decoder", {"variant": "blank_infilling", "prefix_ratio": 0.5}, "prefix_ratio` has no effect .*blank_infill"),
        ("decoder", {"variant": "blank_infilling", "mlm_probability": 0.5}, "mlm_probability` has no effect"),
    ],
)
def test_options_without_effect_are_refused(family: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make_objective("prefix_lm", options, tokenizer(), max_length=32, seed=1, family=family)


@pytest.mark.parametrize("name", ["prefix_lm", "mntp"])
def test_bloom_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match=f"`{name}` cannot train model type 'bloom': .*position bias.*; .* clm"):
        check_fit(name, "decoder", "bloom")
