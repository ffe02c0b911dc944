"""Replaced-token detection: the eight things that `objectives` promises of every objective, and its own rules."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForMaskedLM, AutoModelForPreTraining, ElectraForMaskedLM, ElectraForPreTraining

from acclimate.models.generators import GENERATOR, GeneratorAndDiscriminator, new_generator
from acclimate.models.loading import prepare_for_packs
from acclimate.objectives.base import IGNORE, PADDING_SEGMENT, Batch
from acclimate.objectives.predictions import model_inputs
from acclimate.objectives.rows import Row
from acclimate.objectives.rtd import ReplacedTokenDetection, ReplacedTokenDetectionSettings, sample
from acclimate.randomness import Purpose, generator
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
from tests.objectives.tiny import CLS, FIRST_REGULAR, MASK, PAD, SEP, memory_store, row, vocabulary


def objective(*, max_length: int = 32, seed: int = 1, size: int = 100, **options: object) -> ReplacedTokenDetection:
    settings = ReplacedTokenDetectionSettings.model_validate(options)
    return ReplacedTokenDetection(settings, vocabulary(size), max_length=max_length, seed=seed)


def electra(*, packs: bool = False, **changes: Any) -> GeneratorAndDiscriminator:
    """A discriminator of 120 tokens, of which the vocabulary of the tests has 100, and its generator."""
    discriminator = tiny_model(
        "electra", "AutoModelForPreTraining", **{"pad_token_id": PAD, **NO_DROPOUT["electra"], **changes}
    )
    torch.manual_seed(1)
    model = GeneratorAndDiscriminator(new_generator(discriminator, {}), discriminator)
    if packs:
        prepare_for_packs(model)
    return model.eval()


class Fixed(torch.nn.Module):
    """A generator and a discriminator that say the same whatever they get."""

    def __init__(self, generator_logits_BLV: torch.Tensor, discriminator_logits_BL: torch.Tensor) -> None:
        super().__init__()
        self.generator_logits, self.discriminator_logits = generator_logits_BLV, discriminator_logits_BL
        self.judged = torch.empty(0)

    def forward(self, inputs: Batch, replace: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        self.judged = replace(self.generator_logits)
        return self.generator_logits, self.discriminator_logits, self.judged


# ---- 1. hand-made examples -------------------------------------------------------------------------------------


def test_a_row_by_hand() -> None:
    # Two of four tokens are asked for: 11 and 13, at positions 2 and 4; both are masked. A vocabulary of 8, of which
    # 5, 6 and 7 are regular, and a model that has a ninth id which stands for nothing. The generator's probabilities
    # of 5, 6, 7 are 1/2, 1/4, 1/4 at both, though it would rather say [MASK] or the ninth. Cumulated: 0.5, 0.75, 1.
    # The draws 0.6 and 0.25 of 2^24 give 6 and 5.
    subject = objective(size=8)
    logits = torch.full((1, 6, 9), 9.0)
    logits[..., 5:8] = torch.tensor([math.log(2), 0.0, 0.0])
    draws = [0, 0, int(0.6 * 2**24), 0, int(0.25 * 2**24), 0]
    batch = {
        "input_ids": torch.tensor([[CLS, 5, MASK, 6, MASK, SEP]]),
        "labels": torch.tensor([[IGNORE, IGNORE, 7, IGNORE, 5, IGNORE]]),
        "segment_ids": torch.zeros(1, 6, dtype=torch.long),
        "position_ids": torch.arange(6)[None],
        "draws": torch.tensor([draws]),
    }
    model = Fixed(logits, torch.tensor([[-1.0, 0.0, 2.0, 0.0, 3.0, -1.0]]))
    asked, told = subject.scores(model, batch)
    assert model.judged.tolist() == [[CLS, 5, 6, 6, 5, SEP]]
    # Position 2 is replaced (6 for 7); position 4 got its own token, which counts as original.
    assert told.labels.tolist() == [0, 0, 1, 0, 0, 0]
    # -ln sigmoid(x) where replaced, -ln sigmoid(-x) elsewhere: softplus(-x), softplus(x).
    softplus = [math.log1p(math.exp(x)) for x in (-1.0, 0.0, -2.0, 0.0, 3.0, -1.0)]
    assert told.losses.tolist() == pytest.approx(softplus)
    assert told.correct.tolist() == [True, True, True, True, False, True]
    # The generator's loss is that of its logits as they are, all nine ids: e^9 six times, 2, 1 and 1.
    total = 6 * math.exp(9) + 4
    assert asked.losses.tolist() == pytest.approx([math.log(total / 1), math.log(total / 2)])
    assert asked.labels.tolist() == [7, 5]
    assert subject.counts(batch).tolist() == [2, 6]
    assert subject.weights == (1, 50)
    expected = asked.losses.mean() + 50 * told.losses.mean()
    assert loss_of(subject, model, batch).item() == pytest.approx(expected.item(), rel=1e-6)


def test_all_chosen_tokens_are_masked() -> None:
    before = row(list(range(10, 40)), list(range(50, 60)))
    fields = objective(max_length=64).corrupt(before, generator(1, Purpose.CORRUPTION, 0))
    targets = fields["labels"] != IGNORE
    assert targets.any()
    assert (fields["input_ids"][targets] == MASK).all()
    assert np.array_equal(fields["input_ids"][~targets], before.input_ids[~targets])
    assert (fields["draws"][~targets] == 0).all()
    assert len(np.unique(fields["draws"][targets])) == targets.sum()


# ---- 2. rates --------------------------------------------------------------------------------------------------


def test_rates_over_a_million_tokens() -> None:
    # 8,000 rows of 126 tokens. A row's number of chosen tokens is floor(18.9 + u): 18 in 1 row of 10, else 19, with a
    # variance of 0.1 * 0.9 = 0.09; so the standard error of the share is sqrt(8,000 * 0.09) / 1,008,000. All are
    # masked.
    num_rows, length = 8_000, 126
    rng = np.random.default_rng(0)
    subject = objective(max_length=128, size=5_000)
    chosen = masked = 0
    draws = []
    for number in range(num_rows):
        ids = rng.integers(FIRST_REGULAR, 5_000, length).tolist()
        fields = subject.corrupt(row(ids), generator(1, Purpose.CORRUPTION, number))
        targets = fields["labels"] != IGNORE
        chosen += int(targets.sum())
        masked += int((fields["input_ids"] == MASK).sum())
        draws.append(fields["draws"][targets])
    total = num_rows * length
    assert total > 1_000_000
    assert abs(chosen / total - 0.15) < 3 * math.sqrt(num_rows * 0.09) / total
    assert masked == chosen
    # The draws are uniform: mean 1/2 with a variance of 1/12, and as many in each of ten tenths.
    uniform = np.concatenate(draws) / 2**24
    assert abs(uniform.mean() - 0.5) < 3 * math.sqrt(1 / 12 / chosen)
    tenths = np.bincount((uniform * 10).astype(int), minlength=10) / chosen
    assert (np.abs(tenths - 0.1) < 4 * math.sqrt(0.1 * 0.9 / chosen)).all()


def test_samples_follow_the_softmax() -> None:
    # A million draws over 8 regular ids at one set of logits. Each id's share has the standard error
    # sqrt(p (1 - p) / n); the chi-square statistic of 8 classes has mean 7 and variance 14.
    subject = objective(size=13)
    draws = np.random.default_rng(1).integers(1 << 24, size=1_000_000)
    logits = torch.randn(15, generator=torch.Generator().manual_seed(2)) * 1.5
    batch = {
        "input_ids": torch.full((1, len(draws)), MASK),
        "labels": torch.full((1, len(draws)), 5),
        "draws": torch.from_numpy(draws)[None],
        "segment_ids": torch.zeros(1, len(draws), dtype=torch.long),
    }
    ids = subject._replaced_ids(logits.expand(1, len(draws), 15), batch)[0].numpy()
    expected = logits[5:13].softmax(-1).double().numpy()
    counts = np.bincount(ids, minlength=15)
    assert counts[:5].sum() == counts[13:].sum() == 0
    shares = counts[5:13] / len(draws)
    assert (np.abs(shares - expected) < 3 * np.sqrt(expected * (1 - expected) / len(draws))).all()
    chi_square = ((counts[5:13] - len(draws) * expected) ** 2 / (len(draws) * expected)).sum()
    assert chi_square < 7 + 3 * math.sqrt(14)


def test_sampling_at_the_edges() -> None:
    # Ids of no probability are never drawn: not at the lowest draw, where they come first, nor at the highest.
    logits = torch.tensor([[-torch.inf, 1.0, 1.0, -torch.inf]]).expand(3, 4)
    uniform = torch.tensor([1e-8, 0.5, 1.0])
    assert sample(logits, uniform).tolist() == [1, 1, 2]


def test_no_gradient_flows_through_samples() -> None:
    # The discriminator's loss reaches the generator by the shared embeddings only.
    subject, model = objective(), electra()
    batch = subject.collate([subject.corrupt(row(list(range(10, 40))), generator(1, Purpose.CORRUPTION))])
    subject.sums(model, batch)[1].backward()
    shared = model.get_input_embeddings().weight
    for name, parameter in model.generator.named_parameters():
        assert parameter is shared or parameter.grad is None or not parameter.grad.any(), name
    assert shared.grad is not None and bool(shared.grad.any())


# ---- 3. special tokens -----------------------------------------------------------------------------------------


@given(
    pieces=st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=30), min_size=1, max_size=4),
    unit=st.sampled_from(["token", "word", "span"]),
    number=st.integers(0, 10_000),
)
def test_special_tokens_are_never_chosen_nor_produced(pieces: list[list[int]], unit: str, number: int) -> None:
    subject = objective(unit=unit, max_length=256)
    before, shorter = row(*pieces), row([50])
    examples = [subject.corrupt(one, generator(1, Purpose.CORRUPTION, number)) for one in (before, shorter)]
    batch = subject.collate(examples)
    rng = torch.Generator().manual_seed(number)
    # The generator is sure of special tokens and of ids that stand for nothing.
    logits = torch.randn(*batch["input_ids"].shape, 120, generator=rng)
    logits[..., :FIRST_REGULAR] += 50
    logits[..., 100:] += 50
    model = Fixed(logits, torch.zeros(batch["input_ids"].shape))
    asked, told = subject.scores(model, batch)
    masked = batch["labels"].ne(IGNORE)
    assert (asked.labels >= FIRST_REGULAR).all()
    assert ((model.judged[masked] >= FIRST_REGULAR) & (model.judged[masked] < 100)).all()
    original = torch.from_numpy(before.input_ids)
    places = ~masked[0, : len(before)]
    assert torch.equal(model.judged[0, : len(before)][places], original[places])
    # Of every token of a text one verdict, of padding none; what was not asked for is original.
    assert len(told.labels) == len(before) + len(shorter) == subject.counts(batch)[1]
    assert batch["segment_ids"][told.rows, told.columns].ne(PADDING_SEGMENT).all()
    assert (told.labels[~masked[told.rows, told.columns]] == 0).all()


# ---- 4. a pure function of (seed, epoch, example) --------------------------------------------------------------

STORE = memory_store(texts(60))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 4])
def test_examples_do_not_depend_on_workers(workers: int) -> None:
    subject = objective()
    check_workers(subject, STORE, subject.plan(STORE, isolate="group", packed=True), workers)


def test_two_processes_see_what_one_sees() -> None:
    check_processes(objective, STORE, objective().plan(STORE, isolate="group", packed=True))


def test_masks_and_draws_change_with_epoch_and_seed() -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=True)
    first = subject.example(STORE, plan, 0)
    for other in (subject.example(STORE, plan, len(plan)), objective(seed=2).example(STORE, plan, 0)):
        assert not np.array_equal(first["labels"], other["labels"])
        assert not np.array_equal(first["draws"], other["draws"])
    assert np.array_equal(first["draws"], objective().example(STORE, plan, 0)["draws"])


def test_samples_are_a_function_of_the_example_and_the_weights() -> None:
    # Neither torch's own chance nor the other rows of a batch matter.
    subject, model = objective(), electra(packs=True)
    plan = subject.plan(STORE, isolate="group", packed=True)
    examples = epoch_of(subject, STORE, plan)[:4]
    found = []
    for seed, chosen in ((1, examples), (2, examples[2:])):
        torch.manual_seed(seed)
        with torch.no_grad():
            found.append(subject.settle(model, subject.collate(chosen))["replaced_ids"])
    assert torch.equal(found[0][2:, : found[1].shape[1]], found[1])


def test_settled_replacements_are_judged_by_any_model() -> None:
    # Before and after meet the same replaced tokens: those that one of them put in.
    subject, one, other = objective(), electra(), electra(initializer_range=0.5)
    batch = subject.collate([subject.corrupt(row(list(range(10, 40))), generator(1, Purpose.CORRUPTION))])
    settled = {**batch, **subject.settle(one, batch)}
    assert torch.equal(subject.scores(other, settled)[1].labels, subject.scores(one, batch)[1].labels)
    assert not torch.equal(subject.settle(other, batch)["replaced_ids"], settled["replaced_ids"])


# ---- 5. loss and gradient --------------------------------------------------------------------------------------


def _reference_loss(model: GeneratorAndDiscriminator, batch: Batch, ids_BL: torch.Tensor) -> torch.Tensor:
    """1 · ElectraForMaskedLM's mean + 50 · ElectraForPreTraining's, by their own forwards."""
    assert isinstance(model.generator, ElectraForMaskedLM) and isinstance(model.discriminator, ElectraForPreTraining)
    mask = batch["segment_ids"].ne(PADDING_SEGMENT).long()
    original = torch.where(batch["labels"].ne(IGNORE), batch["labels"], batch["input_ids"])
    asked = model.generator(input_ids=batch["input_ids"], attention_mask=mask, labels=batch["labels"])
    told = model.discriminator(input_ids=ids_BL, attention_mask=mask, labels=ids_BL.ne(original).long())
    loss: torch.Tensor = asked.loss + 50 * told.loss
    return loss


def test_loss_and_gradient_equal_the_reference_classes() -> None:
    subject, ours, theirs = objective(), electra(), electra()
    rows: list[Row] = [row(list(range(10, 40))), row(list(range(40, 47)))]
    batch = subject.collate([subject.corrupt(one, generator(1, Purpose.CORRUPTION, n)) for n, one in enumerate(rows)])
    loss = loss_of(subject, ours, batch)
    loss.backward()
    ids_BL = subject.settle(theirs, batch)["replaced_ids"]
    assert bool(ids_BL.ne(batch["input_ids"]).any())
    reference = _reference_loss(theirs, batch, ids_BL)
    reference.backward()
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    check_gradients(gradients(ours), gradients(theirs))


@pytest.mark.parametrize("packed", [True, False])
def test_accumulation_gives_the_same_gradient(packed: bool, tmp_path: Path) -> None:
    subject = objective()
    plan = subject.plan(STORE, isolate="group", packed=packed)
    check_accumulation(subject, STORE, plan, electra, tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_padding_changes_nothing(packed: bool) -> None:
    subject, model = objective(), electra(packs=packed)
    plan = subject.plan(STORE, isolate="group", packed=packed)
    check_padding(subject, model, epoch_of(subject, STORE, plan)[-4:])


# ---- 6. packs ------------------------------------------------------------------------------------------------


def test_in_a_pack_no_document_sees_another() -> None:
    subject, model = objective(), electra(packs=True)
    first, second, other = [10, 11, 12, 13], [20, 21, 22, 23, 24], [30, 31, 32, 33, 34]

    def logits(*pieces: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        plain = row(*pieces)
        batch = {
            "input_ids": torch.tensor(plain.input_ids)[None],
            "segment_ids": torch.tensor(plain.segment_ids)[None],
            "position_ids": torch.tensor(plain.position_ids)[None],
        }
        with torch.no_grad():
            asked, told, _ = model(model_inputs(batch), lambda _: batch["input_ids"])
        return asked[0], told[0]

    for together, changed, alone in zip(logits(first, second), logits(first, other), logits(second), strict=True):
        assert torch.equal(together[:6], changed[:6])
        assert not torch.equal(together[6:], changed[6:])
        assert torch.allclose(together[6:], alone, atol=1e-5)
    assert subject.packs


def test_every_token_is_an_input_once_an_epoch_and_sometimes_a_target() -> None:
    # Each regular token is in one row an epoch, and of the generator's targets over 100 epochs but for a chance of
    # 0.85^100 = 9e-8 each.
    subject = objective()
    plan = subject.plan(STORE, isolate="document", packed=True)
    regular = STORE.ids >= FIRST_REGULAR
    inputs, _ = exposed(STORE, epoch_of(subject, STORE, plan))
    assert np.array_equal(inputs, regular.astype(int))
    _, targets = exposed(STORE, [subject.example(STORE, plan, key) for key in range(100 * len(plan))])
    assert (targets[regular] > 0).all() and targets[~regular].sum() == 0


# ---- 7. it learns ----------------------------------------------------------------------------------------------


def test_it_learns(tmp_path: Path) -> None:
    # A text keeps to the three tokens of its topic: a generator that sees the others needs ln 3 nats, one that knows
    # frequencies only 3.2; and a token that was replaced mostly is of another topic.
    store, subject = memory_store(topics(80)), objective()
    plan = subject.plan(store, isolate="document", packed=True)
    model = electra(initializer_range=0.1, embedding_size=32)
    untrained = copy.deepcopy(model)
    prepare_for_packs(untrained)
    entropy = unigram_entropy(labels_of(epoch_of(subject, store, plan)))
    learn(subject, store, plan, model, tmp_path, max_steps=150, per_device_train_batch_size=16, learning_rate=1e-2)
    asked, _ = mean_losses(subject, store, plan, model)
    # What is replaced by a generator that has learnt nothing.
    batch = subject.collate(epoch_of(subject, store, plan, epoch=1000))
    batch = {**batch, **subject.settle(untrained, batch)}
    with torch.no_grad():
        told = subject.scores(model, batch)[1]
    replaced = told.labels == 1
    share = replaced.double().mean().item()
    assert asked < 0.7 * entropy
    assert told.correct[replaced].double().mean() > 0.7
    assert told.correct[~replaced].double().mean() > 0.9
    # By frequencies alone it would say "original" of everything.
    assert told.losses.mean() < -(share * math.log(share) + (1 - share) * math.log(1 - share))


# ---- 8. save, reload, same logits ------------------------------------------------------------------------------


def test_a_run_is_two_plain_checkpoints(tmp_path: Path) -> None:
    subject, model = objective(), electra()
    plan = subject.plan(STORE, isolate="document", packed=True)
    trainer = make_trainer(subject, STORE, plan, model, tmp_path / "run", max_steps=2)
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    discriminator = AutoModelForPreTraining.from_pretrained(tmp_path / "saved").eval()
    small = AutoModelForMaskedLM.from_pretrained(tmp_path / "saved" / GENERATOR).eval()
    assert isinstance(discriminator, ElectraForPreTraining)
    model.eval()
    ids = torch.randint(5, 90, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model.discriminator(input_ids=ids).logits, discriminator(input_ids=ids).logits)
        assert torch.equal(model.generator(input_ids=ids).logits, small(input_ids=ids).logits)
