"""Masked next-token prediction (LLM2Vec, BehnamGhader et al. 2024, arXiv:2404.05961).

A decoder is made to see both ways, and predicts masked tokens, each from the output at the position *before* it, where
a decoder has learned to tell what comes next. This is how masked language modeling is done honestly on a decoder. 20 %
of the tokens are chosen, as there; of those 80 % become the mask token, 10 % a random one, 10 % stay.

The model is saved as the decoder that it is. Plain `transformers` would run it left to right:
`acclimate.load_directed(folder)` gives it its eyes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from acclimate.objectives.base import BY_ALL, Fields, Part
from acclimate.objectives.mlm import MaskedLanguageModeling, MaskedLanguageModelingSettings
from acclimate.objectives.rows import Row, Rows
from acclimate.recipe import Section
from acclimate.tokens.tokenizers import Frame

NO_BLOOM = "its position bias grows with the distance to the right, which would favour the farthest future"


class MaskedNextTokenPredictionSettings(Section):
    """Options of `objective: {name: mntp}`.

    Attributes:
        mlm_probability: share of the tokens that are chosen.
        unit: what is chosen together: "token", "word" or "span".
    """

    mlm_probability: float = Field(0.2, gt=0, lt=1)
    unit: Literal["token", "word", "span"] = "token"


class MaskedNextTokenPrediction(MaskedLanguageModeling):
    """Predict masked tokens on a decoder that sees both ways. See the module's text for the rule."""

    name = "mntp"
    summary = "masked tokens on a decoder made bidirectional, each predicted one position before it"
    paper = "BehnamGhader et al. 2024 (LLM2Vec, arXiv:2404.05961)"
    Settings = MaskedNextTokenPredictionSettings
    families = ("decoder",)
    unfit = {"bloom": NO_BLOOM, "mpt": NO_BLOOM}
    head = "causal-lm"
    parts = (Part("mntp"),)
    directs = True
    shift = 1

    @property
    def frame(self) -> Frame:
        return Frame(self.vocabulary.frame.prefix, ())

    def masking_settings(self, settings: Section) -> MaskedLanguageModelingSettings:
        assert isinstance(settings, MaskedNextTokenPredictionSettings)
        return MaskedLanguageModelingSettings(mlm_probability=settings.mlm_probability, unit=settings.unit)

    def corrupt_tokens(self, rows: Rows, rngs: Sequence[np.random.Generator]) -> Fields:
        # A piece's first token has no position before it.
        rows = rows.without_candidates(rows.tokens.position_ids == 0)
        visibility = np.full(len(rows.tokens), BY_ALL, dtype=np.int64)
        return {**super().corrupt_tokens(rows, rngs), "visibility": visibility}

    def hide(self, row: Row, hidden: NDArray[np.bool_]) -> Fields | None:
        fields = super().hide(row, hidden & (row.position_ids > 0))
        return None if fields is None else {**fields, "visibility": np.full(len(row), BY_ALL, dtype=np.int64)}

    def padding(self) -> Mapping[str, int]:
        return {**super().padding(), "visibility": BY_ALL}
