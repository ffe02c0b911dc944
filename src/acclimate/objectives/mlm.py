"""Masked language modeling (Devlin et al. 2019, arXiv:1810.04805), with dynamic masks (RoBERTa, Liu et al. 2019).

15 % of a row's tokens are chosen; of those 80 % become the mask token, 10 % a random regular token, 10 % stay; the
loss is on the chosen only. What is chosen together is the `unit`: a token, a whole word (Google's whole-word update;
Cui et al. 2019, arXiv:1906.08101, for Chinese), or a span of words (SpanBERT, Joshi et al. 2020, arXiv:1907.10529).

The budget is a share of each row's tokens, met exactly on average, and at least one unit of a row is chosen. Rejected:
skipping words that do not fit into what is left of the budget, as BERT's script does; it masks long words too seldom.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from acclimate.errors import ModelError
from acclimate.objectives.base import (
    IGNORE,
    INPUT_PLACES,
    LABEL_PLACES,
    PADDING_SEGMENT,
    Batch,
    Family,
    Fields,
    Objective,
    Part,
    TargetScores,
    model_inputs,
    token_scores,
)
from acclimate.objectives.rows import NO_PLACE, Row
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.recipe import Section
from acclimate.tokens.packing import Plan
from acclimate.tokens.store import Isolate, Layer, TokenStore

# SpanBERT's span lengths in words: geometric with p = 0.2, cut at 10 (mean 3.8).
MAX_SPAN = 10
_GEOMETRIC = 0.2 * 0.8 ** np.arange(MAX_SPAN)
SPAN_LENGTHS = _GEOMETRIC / _GEOMETRIC.sum()
# How often a span that overlaps what is chosen, or runs over the end of its text, is drawn anew before it is cut.
_SPAN_TRIES = 10


class MaskedLanguageModelingSettings(Section):
    """Options of `objective: {name: mlm}`.

    Attributes:
        mlm_probability: share of the tokens that are chosen.
        unit: what is chosen together: "token", "word" or "span".
        mask_replace_prob, random_replace_prob: shares of the chosen that become the mask token, or a random token;
            the rest stays. For spans this is decided once per span.
        masks_per_text: choose exactly so many units in every piece of text instead of a share, as for probes.
    """

    mlm_probability: float = Field(0.15, gt=0, lt=1)
    unit: Literal["token", "word", "span"] = "token"
    mask_replace_prob: float = Field(0.8, ge=0, le=1)
    random_replace_prob: float = Field(0.1, ge=0, le=1)
    masks_per_text: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.mask_replace_prob + self.random_replace_prob > 1:
            raise ValueError("`mask_replace_prob` and `random_replace_prob` together exceed 1")
        return self


class MaskedLanguageModeling(Objective):
    """Predict chosen tokens from both sides. See the module's text for the rule."""

    name = "mlm"
    summary = "masked tokens, whole words or spans, predicted from both sides"
    paper = "Devlin et al. 2019 (arXiv:1810.04805); spans: Joshi et al. 2020 (arXiv:1907.10529)"
    Settings: ClassVar[type[Section]] = MaskedLanguageModelingSettings
    families: ClassVar[tuple[Family, ...]] = ("encoder",)
    head = "masked-lm"
    needs = ("pad", "mask")
    parts: ClassVar[tuple[Part, ...]] = (Part("mlm"),)

    masking: MaskedLanguageModelingSettings
    _PADDING: ClassVar[Mapping[str, int]] = {"labels": IGNORE, "segment_ids": PADDING_SEGMENT, "position_ids": 0}

    def __init__(self, settings: Section, vocabulary: Vocabulary, *, max_length: int, seed: int) -> None:
        super().__init__(settings, vocabulary, max_length=max_length, seed=seed)
        self.masking = self.masking_settings(settings)
        if vocabulary.mask_id is None:
            raise ModelError(
                f"`{self.name}` needs a mask token, and this tokenizer has none; use a masked language model's "
                "tokenizer (BERT, RoBERTa, …), or give the tokenizer a `mask_token`"
            )

    def masking_settings(self, settings: Section) -> MaskedLanguageModelingSettings:
        """How tokens are chosen and replaced; an objective that is built on this one has options of its own."""
        assert isinstance(settings, MaskedLanguageModelingSettings)
        return settings

    @property
    def layers(self) -> frozenset[Layer]:
        return frozenset() if self.masking.unit == "token" else frozenset({"words"})

    def plan(self, store: TokenStore, *, isolate: Isolate, packed: bool) -> Plan:
        self.check_words(store)
        return super().plan(store, isolate=isolate, packed=packed)

    def check_words(self, store: TokenStore) -> None:
        """Refuse whole words and spans where a store does not know its words."""
        if self.masking.unit != "token" and not store.has_words:
            raise ModelError(
                f"`unit: {self.masking.unit}` needs to know where words start, which this tokenizer does not tell (it "
                "has no fast version); use `unit: token`"
            )

    def padding(self) -> Mapping[str, int]:
        return {"input_ids": self.vocabulary.pad_id or 0, **self._PADDING}

    def corrupt(self, row: Row, rng: np.random.Generator) -> Fields:
        units = choose_units(row, self.masking, rng)
        chosen = np.concatenate(units) if units else np.empty(0, dtype=np.int64)
        # One draw decides a unit of a span, or each token by itself.
        if self.masking.unit == "span":
            draws = np.repeat(rng.random(len(units)), [len(unit) for unit in units])
        else:
            draws = rng.random(len(chosen))
        masked = draws < self.masking.mask_replace_prob
        replaced = ~masked & (draws < self.masking.mask_replace_prob + self.masking.random_replace_prob)
        input_ids = row.input_ids.copy()
        assert self.vocabulary.mask_id is not None
        input_ids[chosen[masked]] = self.vocabulary.mask_id
        input_ids[chosen[replaced]] = rng.choice(self.vocabulary.regular_ids, size=int(replaced.sum()))
        return {
            "input_ids": input_ids,
            **labels_at(chosen, row),
            "segment_ids": row.segment_ids,
            "position_ids": row.position_ids,
            INPUT_PLACES: row.places,
        }

    def scores(self, model: Any, batch: Batch) -> tuple[TargetScores, ...]:
        return (token_scores(model(**model_inputs(batch)).logits, batch),)


def labels_at(chosen: NDArray[np.int64], row: Row) -> Fields:
    """The original ids at the chosen positions as `labels`, and where in the token stream they are from."""
    labels = np.full(len(row), IGNORE, dtype=np.int64)
    labels[chosen] = row.input_ids[chosen]
    places = np.full(len(row), NO_PLACE, dtype=np.int64)
    places[chosen] = row.places[chosen]
    return {"labels": labels, LABEL_PLACES: places}


def choose_units(
    row: Row, settings: MaskedLanguageModelingSettings, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Which tokens of a row are predicted: a list of units, each the ascending positions of its tokens."""
    if settings.masks_per_text is not None:
        return _some_of_each_text(row, settings.unit, settings.masks_per_text, rng)
    positions = np.flatnonzero(row.candidates)
    if len(positions) == 0:
        return []
    budget = settings.mlm_probability * len(positions)
    if settings.unit == "token":
        return _share_of(np.split(positions, len(positions)), budget, rng)
    words = _words(row, positions)
    if settings.unit == "word":
        return _share_of(words, budget, rng)
    return _spend(budget, _spans_at_random(row, words, rng), rng)


def _some_of_each_text(row: Row, unit: str, count: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Just so many units of every piece of the row, or all where it has fewer."""
    chosen: list[NDArray[np.int64]] = []
    for segment in np.unique(row.segment_ids):
        positions = np.flatnonzero(row.candidates & (row.segment_ids == segment))
        units = np.split(positions, len(positions)) if unit == "token" and len(positions) else _words(row, positions)
        if unit == "span":
            chosen += itertools.islice(_spans_at_random(row, units, rng), count)
        else:
            chosen += [units[index] for index in rng.permutation(len(units))[:count]]
    return chosen


def _share_of(units: list[NDArray[np.int64]], budget: float, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Units of `budget` tokens on average, at least one; each unit is as likely as any other, whatever its length.

    The units are laid end to end in random order on a circle, and those that start within an arc of `budget` tokens
    at a random place are chosen: the arc covers any start with probability budget / circumference.
    """
    order = rng.permutation(len(units))
    lengths = np.array([len(units[index]) for index in order])
    circumference = lengths.sum()
    starts = np.cumsum(lengths) - lengths
    distances = (starts - rng.random() * circumference) % circumference
    chosen = distances < budget
    if not chosen.any():
        chosen[distances.argmin()] = True
    return [units[index] for index in order[chosen]]


def _spend(budget: float, units: Iterator[NDArray[np.int64]], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Take units until the budget of tokens is spent; at least one. The unit that would overrun it is taken with the
    probability that keeps the expected number of tokens exact."""
    chosen: list[NDArray[np.int64]] = []
    left = budget
    for unit in units:
        if len(unit) > left and chosen and rng.random() >= left / len(unit):
            break
        chosen.append(unit)
        left -= len(unit)
        if left <= 0:
            break
    return chosen


def _words(row: Row, positions: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The candidates grouped into words: a word ends where the next starts, at a special token, and at its text's
    end."""
    if len(positions) == 0:
        return []
    begins = row.word_starts[positions].copy()
    begins[1:] |= np.diff(positions) > 1
    begins[1:] |= np.diff(row.segment_ids[positions]) > 0
    return np.split(positions, np.flatnonzero(begins[1:]) + 1)


def _spans_at_random(row: Row, words: list[NDArray[np.int64]], rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Spans of SpanBERT's lengths at random places, whole words, not overlapping, until every word is in one."""
    segments = [int(row.segment_ids[word[0]]) for word in words]
    taken = np.zeros(len(words), dtype=bool)
    while not taken.all():
        length = int(rng.choice(MAX_SPAN, p=SPAN_LENGTHS)) + 1
        for _ in range(_SPAN_TRIES):
            start = int(rng.integers(len(words)))
            end = start + length
            if end <= len(words) and segments[start] == segments[end - 1] and not taken[start:end].any():
                break
        else:
            # No room for a whole one: what fits, from a free word on.
            start = int(rng.choice(np.flatnonzero(~taken)))
            end = start + 1
            while end < min(start + length, len(words)) and not taken[end] and segments[end] == segments[start]:
                end += 1
        taken[start:end] = True
        yield np.concatenate(words[start:end])
