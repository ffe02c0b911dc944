"""`prefix_lm` on an encoder: UniLM's mixture (Dong et al. 2019, arXiv:1905.03197).

Tokens are masked as for `mlm`, and each row is seen in one of four ways: in both directions (1/3 of the rows), as
source and target (1/3: a source that is seen by all, a target that is seen left to right), left to right (1/6), or
right to left (1/6). So one encoder learns to write as well. In pairs of texts the first is the source; elsewhere it is
the beginning of a text, which ends at random or after a fixed share (`prefix_ratio`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from acclimate.objectives.base import BY_ALL, BY_EARLIER, BY_LATER, Fields, Part
from acclimate.objectives.mlm import MaskedLanguageModeling, MaskedLanguageModelingSettings
from acclimate.objectives.prefix_lm import (
    PrefixLanguageModelingSettings,
    check_options,
    given_prefixes,
    in_prefixes,
)
from acclimate.objectives.rows import Row, Rows, pieces_of
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.randomness import uniform
from acclimate.recipe import Section
from acclimate.tokens.packing import Plan
from acclimate.tokens.store import TokenStore

# Cumulated shares of the rows that are seen in both directions, as source and target, left to right; the rest is seen
# right to left.
_SHARES = (1 / 3, 2 / 3, 5 / 6)
_SOURCE_AND_TARGET = 1


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

    def examples(self, store: TokenStore, plan: Plan, keys: Sequence[int]) -> list[Fields]:
        numbers = [key % len(plan) for key in keys]
        rows = self.read(store, plan, numbers)
        prefix = len(self.frame.prefix)
        given = given_prefixes(store, pieces_of(plan, numbers)[0], prefix) if store.has_pairs else None
        return rows.split(self._see(rows, given, self.rngs(keys)))

    def corrupt_tokens(self, rows: Rows, rngs: Sequence[np.random.Generator]) -> Fields:
        return self._see(rows, None, rngs)

    def _see(self, rows: Rows, given: NDArray[np.int64] | None, rngs: Sequence[np.random.Generator]) -> Fields:
        return {**super().corrupt_tokens(rows, rngs), "visibility": self._visibility(rows, given, rngs)}

    def _visibility(
        self, rows: Rows, given: NDArray[np.int64] | None, rngs: Sequence[np.random.Generator]
    ) -> NDArray[np.int64]:
        """[T] by whom each token is seen: how a row is seen is drawn first, then the source of each of its pieces."""
        assert isinstance(self.settings, PrefixLanguageModelingSettings)
        ways = np.searchsorted(_SHARES, uniform(rngs, np.ones(len(rows), dtype=np.int64)), side="right")
        in_source = in_prefixes(rows, given, self.settings.prefix_ratio, uniform(rngs, rows.num_pieces))
        by_whom = np.array([BY_ALL, BY_LATER, BY_LATER, BY_EARLIER])[ways][rows.row_ids]
        return np.where(in_source & (ways == _SOURCE_AND_TARGET)[rows.row_ids], BY_ALL, by_whom)

    def hide(self, row: Row, hidden: NDArray[np.bool_]) -> Fields | None:
        # Seen in both directions.
        fields = super().hide(row, hidden)
        return None if fields is None else {**fields, "visibility": np.full(len(row), BY_ALL, dtype=np.int64)}

    def padding(self) -> Mapping[str, int]:
        return {**super().padding(), "visibility": BY_ALL}
