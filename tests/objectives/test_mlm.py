"""Masked language modeling: the eight things that `objectives` promises of every objective, and its own rules."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acclimate.corpus import open_corpus
from acclimate.errors import ModelError
from acclimate.models.attention import separate_segments
from acclimate.objectives.base import IGNORE, INPUT_PLACES, LABEL_PLACES, PADDING_SEGMENT
from acclimate.objectives.mlm import MaskedLanguageModeling, MaskedLanguageModelingSettings, choose_units
from acclimate.objectives.rows import NO_PLACE, Row, Rows, count_places
from acclimate.objectives.units import SPAN_LENGTHS
from acclimate.randomness import Purpose, generator
from acclimate.tokens.store import TokenStore, build_token_store
from tests.objectives.tiny import CLS, FIRST_REGULAR, MASK, PAD, SEP, bert, corpus_folder, row, tokenizer, vocabulary


def objective(*, max_length: int = 32, seed: int = 1, size: int = 100, **options: object) -> MaskedLanguageModeling:
    settings = MaskedLanguageModelingSettings.model_validate(options)
    return MaskedLanguageModeling(settings, vocabulary(size), max_length=max_length, seed=seed)


def units_of(row: Row, settings: MaskedLanguageModelingSettings, rng: np.random.Generator) -> list[np.ndarray]:
    """The units that are chosen from a row: of each the positions of its tokens."""
    units = choose_units(Rows.of([row]), settings, [rng])
    return np.split(units.tokens, np.cumsum(units.lengths)[:-1]) if len(units.lengths) else []


class Scripted(np.random.Generator):
    """A generator whose draws are written out by the test."""

    def __init__(self, *, uniform: list[float], order: list[int] = []) -> None:  # noqa: B006
        super().__init__(np.random.Philox(0))
        self.uniform, self.order = list(uniform), order

    def random(self, size: object = None, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        if size is None:
            return self.uniform.pop(0)
        drawn, self.uniform = self.uniform[: int(size)], self.uniform[int(size) :]  # type: ignore[call-overload]
        return np.array(drawn)

    def permutation(self, x: object, axis: int = 0) -> object:  # type: ignore[override]
        items = np.arange(x) if isinstance(x, int) else np.asarray(x)
        return items[self.order]


# ---- 1. hand-made examples -------------------------------------------------------------------------------------


def test_tokens_by_hand() -> None:
    # Ten tokens 10 … 19 between [CLS] (position 0) and [SEP] (11), so candidates are positions 1 … 10. Laid on a
    # circle of 10 in the order 4th, 1st, 9th, 6th … candidate; the arc of 0.3 * 10 = 3 tokens begins at 0.55 * 10 =
    # 5.5, so it covers the starts 6, 7 and 8: candidates 2, 3, 5 of the order, which are positions 3, 4, 6.
    # Draws 0.1 < 0.8: mask; 0.85 in [0.8, 0.9): random token; 0.95: stays. Which random token each would be is drawn
    # next: 0.76 of 95 regular ones is 72.2, so it is the one of id 5 + 72 = 77.
    uniform = [0.55, *[0.1, 0.85, 0.95], *[0.0, 0.76, 0.0]]
    rng = Scripted(uniform=uniform, order=[4, 1, 9, 6, 0, 8, 2, 3, 5, 7])
    fields = objective(mlm_probability=0.3).corrupt(row(list(range(10, 20))), rng)
    assert fields["input_ids"].tolist() == [CLS, 10, 11, MASK, 77, 14, 15, 16, 17, 18, 19, SEP]
    expected = [IGNORE] * 12
    expected[3], expected[4], expected[6] = 12, 13, 15
    assert fields["labels"].tolist() == expected
    assert fields["segment_ids"].tolist() == [0] * 12
    assert fields["position_ids"].tolist() == list(range(12))


def test_words_by_hand() -> None:
    # Words: (10) (11 12 13) (14 15) (16), at positions 1 | 2 3 4 | 5 6 | 7. In the order 2, 1, 0, 3 they start at
    # 0, 2, 5, 6 on a circle of 7. The arc has 0.5 * 7 = 3.5 tokens.
    starts = [[1, 1, 0, 0, 1, 0, 1]]

    def chosen(place: float) -> list[list[int]]:
        units = units_of(
            row([10, 11, 12, 13, 14, 15, 16], word_starts=starts),
            MaskedLanguageModelingSettings(mlm_probability=0.5, unit="word"),
            Scripted(uniform=[place], order=[2, 1, 0, 3]),
        )
        return [unit.tolist() for unit in units]

    # From 0.1 * 7 = 0.7 to 4.2 there is the start 2: word 1.
    assert chosen(0.1) == [[2, 3, 4]]
    # From 4.9 to 8.4, which is 1.4 the next time round: starts 0, 5 and 6, words 2, 0 and 3.
    assert chosen(0.7) == [[5, 6], [1], [7]]


def test_a_span_is_replaced_as_one() -> None:
    # Whole spans become the mask, random tokens, or stay: within a span the kinds never mix.
    text = list(range(10, 90))
    seen = set()
    for number in range(300):
        subject = objective(unit="span", max_length=128)
        rng = generator(3, Purpose.CORRUPTION, number)
        units = units_of(row(text), subject.masking, generator(3, Purpose.CORRUPTION, number))
        fields = subject.corrupt(row(text), rng)
        for unit in units:
            ids, labels = fields["input_ids"][unit], fields["labels"][unit]
            kind = "mask" if (ids == MASK).all() else "same" if (ids == labels).all() else "random"
            assert kind != "random" or not (ids == MASK).any()
            seen.add(kind)
    assert seen == {"mask", "same", "random"}


# ---- 2. rates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["token", "word", "span"])
def test_rates_over_a_million_tokens(unit: str) -> None:
    # 8,000 rows of 126 tokens, words of 1 to 4 tokens. The budget of a row is floor(18.9 + u): its deviation is under
    # 0.5 token; what the last unit over- or undershoots has a deviation of at most half the largest unit. Binomial
    # draws, with 3 standard errors, bound all of this from above for tokens; for units the bound takes their size.
    num_rows, length = 8_000, 126
    rng = np.random.default_rng(0)
    subject = objective(unit=unit, max_length=128, size=5_000)
    chosen = masked = same = total = 0
    for number in range(num_rows):
        ids = rng.integers(FIRST_REGULAR, 5_000, length).tolist()
        starts = (rng.random(length) < 0.6).astype(int)
        starts[0] = 1
        fields = subject.corrupt(row(ids, word_starts=[starts.tolist()]), generator(1, Purpose.CORRUPTION, number))
        targets = fields["labels"] != IGNORE
        chosen += int(targets.sum())
        masked += int((fields["input_ids"][targets] == MASK).sum())
        same += int((fields["input_ids"][targets] == fields["labels"][targets]).sum())
        total += length
    assert total > 1_000_000
    # Spans and words are decided together: the number of independent draws is smaller by their mean length.
    per_draw = {"token": 1.0, "word": 1.7, "span": 1.7 * 3.8}[unit]
    assert abs(chosen / total - 0.15) < 3 * math.sqrt(0.15 * 0.85 / total * per_draw)
    draws = chosen / (per_draw if unit == "span" else 1.0)
    assert abs(masked / chosen - 0.8) < 3 * math.sqrt(0.8 * 0.2 / draws)
    # 10 % stay, and a random token is the same one in 1 of 4,995 draws.
    stay = 0.1 + 0.1 / 4_995
    assert abs(same / chosen - stay) < 3 * math.sqrt(stay * (1 - stay) / draws)


def test_budget_is_even_over_word_lengths() -> None:
    # A word of three pieces is chosen as often as a word of one: nothing is skipped for not fitting.
    starts = [1, 1, 0, 0] * 10
    settings = MaskedLanguageModelingSettings(unit="word")
    chosen_short = chosen_long = 0
    for number in range(6_000):
        for unit in units_of(
            row(list(range(10, 50)), word_starts=[starts]), settings, generator(5, Purpose.CORRUPTION, number)
        ):
            chosen_short += len(unit) == 1
            chosen_long += len(unit) == 3
    total = chosen_short + chosen_long
    assert abs(chosen_short / total - 0.5) < 3 * math.sqrt(0.25 / total)


def test_span_lengths_are_spanberts() -> None:
    # Geometric with p = 0.2, cut at 10 and renormalised: mean 5 - 10 * 0.8^10 / (1 - 0.8^10) = 3.797.
    assert SPAN_LENGTHS @ np.arange(1, 11) == pytest.approx(5 - 10 * 0.8**10 / (1 - 0.8**10))
    lengths = []
    settings = MaskedLanguageModelingSettings(unit="span")
    for number in range(3_000):
        units = units_of(row(list(range(10, 90)) * 4), settings, generator(2, Purpose.CORRUPTION, number))
        lengths += [len(unit) for unit in units[:3]]
    counts = np.bincount(lengths, minlength=11)[1:] / len(lengths)
    # The first spans of a long text are hardly ever in each other's way. Total variation under noise of 9,000 draws.
    assert np.abs(counts - SPAN_LENGTHS).sum() / 2 < 0.03


# ---- 3. special tokens -----------------------------------------------------------------------------------------


@given(
    pieces=st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=30), min_size=1, max_size=4),
    unit=st.sampled_from(["token", "word", "span"]),
    number=st.integers(0, 10_000),
)
def test_special_tokens_are_never_chosen_nor_produced(pieces: list[list[int]], unit: str, number: int) -> None:
    subject = objective(unit=unit, max_length=256)
    before = row(*pieces)
    fields = subject.corrupt(before, generator(1, Purpose.CORRUPTION, number))
    targets = fields["labels"] != IGNORE
    assert before.candidates[targets].all()
    assert (before.input_ids[targets] >= FIRST_REGULAR).all()
    assert np.array_equal(fields["labels"][targets], before.input_ids[targets])
    assert np.array_equal(fields["input_ids"][~targets], before.input_ids[~targets])
    produced = fields["input_ids"][targets]
    assert ((produced == MASK) | (produced >= FIRST_REGULAR)).all()
    # At least one target where there is anything to predict.
    assert targets.any() == before.candidates.any()


@given(starts=st.lists(st.booleans(), min_size=1, max_size=60), number=st.integers(0, 1000), k=st.integers(1, 5))
def test_units_are_whole_words(starts: list[bool], number: int, k: int) -> None:
    starts[0] = True
    length = len(starts)
    word_of = np.cumsum([0, *starts, 0])
    for options in ({"unit": "word"}, {"unit": "span"}, {"unit": "word", "masks_per_text": k}):
        settings = MaskedLanguageModelingSettings.model_validate(options)
        units = units_of(
            row([10] * length, word_starts=[[int(flag) for flag in starts]]),
            settings,
            generator(1, Purpose.CORRUPTION, number),
        )
        chosen = np.concatenate(units)
        assert len(np.unique(chosen)) == len(chosen)
        for word in np.unique(word_of[chosen]):
            assert set(np.flatnonzero(word_of == word)) - {length + 1} <= set(chosen.tolist())
        if "masks_per_text" in options:
            assert len(units) == min(k, sum(starts))


def test_masks_per_text_counts_in_every_piece() -> None:
    settings = MaskedLanguageModelingSettings(masks_per_text=2)
    units = units_of(row([10, 11, 12], [13], [14, 15, 16, 17]), settings, generator(1, Purpose.CORRUPTION))
    segments = row([10, 11, 12], [13], [14, 15, 16, 17]).segment_ids
    assert np.bincount([segments[unit[0]] for unit in units]).tolist() == [2, 1, 2]


def test_a_tokenizer_without_mask_token_is_refused() -> None:
    from dataclasses import replace

    with pytest.raises(ModelError, match="needs a mask token"):
        MaskedLanguageModeling(
            MaskedLanguageModelingSettings(), replace(vocabulary(), mask_id=None), max_length=8, seed=0
        )


# ---- 4. a pure function of (seed, epoch, example) --------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{token}" for token in rng.integers(5, 100, size)) for size in rng.integers(3, 90, 60)]
    folder = tmp_path_factory.mktemp("mlm")
    corpus = open_corpus(corpus_folder(folder, texts, held_out=0))
    return build_token_store(corpus, "train", tokenizer(), folder / "tokens", num_workers=1)


# torch advises against more workers than cores; here it is about sameness, not speed.
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 4])
def test_examples_do_not_depend_on_workers(store: TokenStore, workers: int) -> None:
    from acclimate.training.stream import ExampleDataset, Order, StreamSampler

    subject = objective()
    plan = subject.plan(store, isolate="group", packed=True)
    sampler = StreamSampler(Order(len(plan), seed=1), 8)
    sampler.set_epoch(2)
    loader = torch.utils.data.DataLoader(
        ExampleDataset(subject, store, plan),
        batch_size=4,
        sampler=sampler,
        num_workers=workers,
        collate_fn=subject.collate,
    )
    batches = list(loader)
    expected = [subject.example(store, plan, key) for key in sampler]
    for number, batch in enumerate(batches):
        again = subject.collate(expected[4 * number : 4 * number + 4])
        assert batch.keys() == again.keys()
        assert all(torch.equal(batch[name], again[name]) for name in batch)


def test_masks_change_with_epoch_and_seed(store: TokenStore) -> None:
    subject = objective()
    plan = subject.plan(store, isolate="group", packed=True)
    first, second = subject.example(store, plan, 0), subject.example(store, plan, len(plan))
    other_seed = objective(seed=2).example(store, plan, 0)
    assert not np.array_equal(first["labels"], second["labels"])
    assert not np.array_equal(first["labels"], other_seed["labels"])
    assert np.array_equal(first["labels"], objective().example(store, plan, 0)["labels"])


def test_every_token_is_an_input_once_an_epoch_and_sometimes_a_target(store: TokenStore) -> None:
    # The ledger of an epoch: each regular token of the store is in just one row. Over 100 epochs each is a target, but
    # for a chance of 0.85^100, which is 1e-7.
    subject = objective()
    plan = subject.plan(store, isolate="group", packed=True)
    examples = [subject.example(store, plan, key) for key in range(100 * len(plan))]
    regular = store.ids[:] >= FIRST_REGULAR
    inputs = count_places([example[INPUT_PLACES] for example in examples[: len(plan)]], len(store))
    assert (inputs[regular] == 1).all()
    targets = count_places([example[LABEL_PLACES] for example in examples], len(store))
    assert (targets[regular] > 0).all()
    assert targets[~regular].sum() == 0
    # A place says what its label is.
    for example in examples[:50]:
        chosen = example["labels"] != IGNORE
        assert np.array_equal(store.ids[example[LABEL_PLACES][chosen]], example["labels"][chosen])
        assert (example[LABEL_PLACES][~chosen] == NO_PLACE).all()


# ---- 5. loss and gradient --------------------------------------------------------------------------------------


def _batch(subject: MaskedLanguageModeling, *rows: Row) -> dict[str, torch.Tensor]:
    return subject.collate(
        [subject.corrupt(one, generator(1, Purpose.CORRUPTION, number)) for number, one in enumerate(rows)]
    )


def test_loss_and_gradient_equal_the_reference_class() -> None:
    subject = objective()
    batch = _batch(subject, row(list(range(10, 30))), row(list(range(30, 37))))
    ours, theirs = bert().train(), bert().train()
    (ours_loss,) = subject.sums(ours, batch) / subject.counts(batch)
    ours_loss.backward()
    reference = theirs(
        input_ids=batch["input_ids"], attention_mask=batch["segment_ids"].ne(PADDING_SEGMENT), labels=batch["labels"]
    )
    reference.loss.backward()
    assert ours_loss.item() == pytest.approx(reference.loss.item(), rel=1e-5)
    for (name, mine), (_, its) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert torch.allclose(mine.grad, its.grad, rtol=1e-5, atol=1e-7), name


def test_padding_changes_nothing() -> None:
    subject = objective()
    short, long = row(list(range(10, 15))), row(list(range(20, 45)))
    model = bert().eval()
    separate_segments(model)
    with torch.no_grad():
        together = subject.sums(model, _batch(subject, short, long)).item()
        apart = sum(
            subject.sums(
                model, subject.collate([subject.corrupt(one, generator(1, Purpose.CORRUPTION, number))])
            ).item()
            for number, one in enumerate((short, long))
        )
    assert together == pytest.approx(apart, rel=1e-5)


def test_scores_say_where_the_targets_are() -> None:
    subject = objective()
    batch = _batch(subject, row([10, 11, 12], [13, 14, 15, 16]), row([20, 21, 22, 23, 24]))
    model = bert().eval()
    separate_segments(model)
    (scores,) = subject.scores(model, batch)
    where = batch["labels"].ne(IGNORE).nonzero()
    assert torch.equal(scores.rows, where[:, 0])
    assert torch.equal(scores.segments, batch["segment_ids"][where[:, 0], where[:, 1]])
    assert len(scores.losses) == subject.counts(batch).item()


# ---- 6. packs ------------------------------------------------------------------------------------------------


def test_in_a_pack_no_document_sees_another() -> None:
    subject = objective()
    model = bert().eval()
    separate_segments(model)
    first, second, other = [10, 11, 12, 13], [20, 21, 22, 23, 24], [30, 31, 32, 33, 34]

    def logits(*pieces: list[int]) -> torch.Tensor:
        plain = row(*pieces)
        batch = {
            "input_ids": torch.tensor(plain.input_ids)[None],
            "segment_ids": torch.tensor(plain.segment_ids)[None],
            "position_ids": torch.tensor(plain.position_ids)[None],
        }
        from acclimate.objectives.predictions import model_inputs

        with torch.no_grad():
            return model(**model_inputs(batch)).logits[0]

    assert torch.equal(logits(first, second)[:6], logits(first, other)[:6])
    assert torch.allclose(logits(first, second)[6:], logits(second), atol=1e-5)
    assert subject.padding()["segment_ids"] == PADDING_SEGMENT
    assert subject.padding()["input_ids"] == PAD
