"""Masked language modeling with sentence-order prediction (ALBERT, Lan et al. 2020, arXiv:1909.11942).

As `mlm_nsp`, but B always follows A in its document, and the two are swapped half of the time: topic tells nothing,
order everything. Label 0 means "in order" and 1 "swapped", as in transformers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from acclimate.errors import DataError
from acclimate.objectives.base import Part
from acclimate.objectives.mlm_nsp import MaskedLanguageModelingWithNextSentence
from acclimate.objectives.sentence_pairs import FREE, SWAPPED, PairPlan


class MaskedLanguageModelingWithSentenceOrder(MaskedLanguageModelingWithNextSentence):
    """Predict chosen tokens, and whether the two segments are in order. See the module's text for the rule."""

    name = "mlm_sop"
    summary = "masked tokens, and whether two consecutive segments are in order"
    paper = "Lan et al. 2020 (ALBERT, arXiv:1909.11942)"
    model_types = ("albert",)
    parts = (Part("mlm"), Part("sop", labels="sentence_order_label", classes=("in order", "swapped")))

    _verdict = "sop_logits"

    def _check(self, plan: PairPlan) -> None:
        if (plan.labels != FREE).any():
            raise DataError(
                "`mlm_sop` asks for the order of consecutive segments; pairs labelled as consecutive or random are for "
                "`mlm_nsp`. Read the texts as documents instead (without `pair`)"
            )

    def row_lengths(self, plan: PairPlan, epoch: int) -> NDArray[np.int64]:  # type: ignore[override]
        lengths: NDArray[np.int64] = (plan.pieces[:, 1] - plan.pieces[:, 0]).reshape(-1, 2).sum(axis=1)
        return lengths + self._frame_length

    def _pair(self, plan: PairPlan, epoch: int, number: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], int]:
        label = int(rng.integers(2))
        pieces = plan.row(number)
        return (pieces[::-1] if label == SWAPPED else pieces), label
