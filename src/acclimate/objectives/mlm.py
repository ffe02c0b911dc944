"""Masked language modeling (Devlin et al. 2019, arXiv:1810.04805), with dynamic masks (RoBERTa, Liu et al. 2019).

15 % of a row's tokens are chosen; of those 80 % become the mask token, 10 % a random regular token, 10 % stay; the
loss is on the chosen only. What is chosen together is the `unit`: a token, a whole word (Google's whole-word update;
Cui et al. 2019, arXiv:1906.08101, for Chinese), or a span of words (SpanBERT, Joshi et al. 2020, arXiv:1907.10529).

The budget is a share of each row's tokens, met exactly on average, and at least one unit of a row is chosen. Rejected:
skipping words that do not fit into what is left of the budget, as BERT's script does; it masks long words too seldom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    InPlaceObjective,
    Part,
)
from acclimate.objectives.predictions import TargetScores, model_inputs, predict_tokens
from acclimate.objectives.rows import NO_PLACE, Row, Rows
from acclimate.objectives.units import Units, share_of_spans, share_of_units, some_spans, some_units, units_of
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.randomness import uniform
from acclimate.recipe import Section
from acclimate.tokens.packing import Plan
from acclimate.tokens.store import Isolate, Layer, TokenStore


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


class MaskedLanguageModeling(InPlaceObjective):
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

    def corrupt_tokens(self, rows: Rows, rngs: Sequence[np.random.Generator]) -> Fields:
        tokens = rows.tokens
        units = choose_units(rows, self.masking, rngs)
        num_chosen = np.bincount(rows.row_ids[units.tokens], minlength=len(rows))
        # One draw decides a unit of a span, or each token by itself.
        if self.masking.unit == "span":
            draws = np.repeat(uniform(rngs, np.bincount(units.rows, minlength=len(rows))), units.lengths)
        else:
            draws = uniform(rngs, num_chosen)
        random_ids = self.vocabulary.random_ids(uniform(rngs, num_chosen))
        masked = draws < self.masking.mask_replace_prob
        replaced = ~masked & (draws < self.masking.mask_replace_prob + self.masking.random_replace_prob)
        input_ids = tokens.input_ids.copy()
        assert self.vocabulary.mask_id is not None
        input_ids[units.tokens[masked]] = self.vocabulary.mask_id
        input_ids[units.tokens[replaced]] = random_ids[replaced]
        return {
            "input_ids": input_ids,
            **labels_at(units.tokens, tokens),
            "segment_ids": tokens.segment_ids,
            "position_ids": tokens.position_ids,
            INPUT_PLACES: tokens.places,
        }

    def hide(self, row: Row, hidden: NDArray[np.bool_]) -> Fields | None:
        chosen = np.flatnonzero(hidden & row.candidates)
        input_ids = row.input_ids.copy()
        assert self.vocabulary.mask_id is not None
        input_ids[chosen] = self.vocabulary.mask_id
        return {
            "input_ids": input_ids,
            **labels_at(chosen, row),
            "segment_ids": row.segment_ids,
            "position_ids": row.position_ids,
            INPUT_PLACES: row.places,
        }

    def scores(self, model: Any, batch: Batch) -> tuple[TargetScores, ...]:
        return (predict_tokens(model, model_inputs(batch, model=model), batch, shift=self.shift)[0],)


def labels_at(chosen: NDArray[np.int64], row: Row) -> Fields:
    """The original ids at the chosen positions as `labels`, and where in the token stream they are from."""
    labels = np.full(len(row), IGNORE, dtype=np.int64)
    labels[chosen] = row.input_ids[chosen]
    places = np.full(len(row), NO_PLACE, dtype=np.int64)
    places[chosen] = row.places[chosen]
    return {"labels": labels, LABEL_PLACES: places}


def choose_units(rows: Rows, settings: MaskedLanguageModelingSettings, rngs: Sequence[np.random.Generator]) -> Units:
    """Which tokens of some rows are predicted."""
    units = units_of(rows, by_token=settings.unit == "token")
    share, number = settings.mlm_probability, settings.masks_per_text
    if settings.unit == "span":
        return share_of_spans(rows, units, share, rngs) if number is None else some_spans(rows, units, number, rngs)
    return share_of_units(units, share, rngs) if number is None else some_units(rows, units, number, rngs)
