"""`prefix_lm` on an encoder: UniLM's mixture (Dong et al. 2019, arXiv:1905.03197).

Tokens are masked as for `mlm`, and each row is seen in one of four ways: in both directions (1/3 of the rows), as
source and target (1/3: a source that is seen by all, a target that is seen left to right), left to right (1/6), or
right to left (1/6). So one encoder learns to write as well. In pairs of texts the first is the source; elsewhere it is
the beginning of a text, which ends at random or after a fixed share (`prefix_ratio`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from acclimate.objectives.base import BY_ALL, BY_EARLIER, BY_LATER, Fields, Part
from acclimate.objectives.mlm import MaskedLanguageModeling, MaskedLanguageModelingSettings
from acclimate.objectives.prefix_lm import (
    PrefixLanguageModelingSettings,
    check_options,
    given_prefixes,
    prefix_length,
)
from acclimate.objectives.rows import Row, read_row
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.recipe import Section
from acclimate.tokens.packing import Plan
from acclimate.tokens.store import TokenStore

# Cumulated shares of the rows that are seen in both directions, as source and target, left to right; the rest is seen
# right to left.
_SHARES = (1 / 3, 2 / 3, 5 / 6)


class UnifiedLanguageModeling(MaskedLanguageModeling):
    """Predict masked tokens under four kinds of attention. See the module's text for the rule."""

    name = "prefix_lm"
    summary = "masked tokens, predicted from both sides, from a source, from the left or from the right"
    paper = "Dong et al. 2019 (UniLM, arXiv:1905.03197)"
    Settings = PrefixLanguageModelingSettings
    parts = (Part("prefix_lm"),)
    directs = True

    def __init__(self, settings: Section, vocabulary: Vocabulary, *, max_length: int, seed: int) -> None:
        check_options(settings, ("mlm_probability", "prefix_ratio"), "an encoder")
        super().__init__(settings, vocabulary, max_length=max_length, seed=seed)

    def masking_settings(self, settings: Section) -> MaskedLanguageModelingSettings:
        assert isinstance(settings, PrefixLanguageModelingSettings)
        return MaskedLanguageModelingSettings(mlm_probability=settings.mlm_probability)

    def example(self, store: TokenStore, plan: Plan, key: int) -> Fields:
        pieces = plan.row(key % len(plan))
        given = given_prefixes(store, pieces, len(self.vocabulary.frame.prefix)) if store.has_pairs else {}
        return self._see(read_row(store, pieces, self.vocabulary), given, self.rng(key))

    def corrupt(self, row: Row, rng: np.random.Generator) -> Fields:
        return self._see(row, {}, rng)

    def _see(self, row: Row, given: Mapping[int, int], rng: np.random.Generator) -> Fields:
        return {**super().corrupt(row, rng), "visibility": self._visibility(row, given, rng)}

    def _visibility(self, row: Row, given: Mapping[int, int], rng: np.random.Generator) -> NDArray[np.int64]:
        assert isinstance(self.settings, PrefixLanguageModelingSettings)
        way = int(np.searchsorted(_SHARES, rng.random(), side="right"))
        if way != 1:
            return np.full(len(row), (BY_ALL, BY_ALL, BY_LATER, BY_EARLIER)[way], dtype=np.int64)
        lengths = np.bincount(row.segment_ids)
        sources = np.array(
            [
                given.get(segment, prefix_length(int(length), self.settings.prefix_ratio, rng))
                for segment, length in enumerate(lengths)
            ]
        )
        return np.where(row.position_ids < sources[row.segment_ids], BY_ALL, BY_LATER)

    def padding(self) -> Mapping[str, int]:
        return {**super().padding(), "visibility": BY_ALL}
