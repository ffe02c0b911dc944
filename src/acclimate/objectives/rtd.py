"""Replaced-token detection (ELECTRA, Clark et al. 2020, arXiv:2003.10555).

A generator learns masked language modeling at 15 %, every chosen token masked. A sample of what it says (from its
softmax, without gradient) takes each masked token's place, and the discriminator says of every token of a text, its
frame included, whether it was replaced; a sample that equals the original counts as original. The loss is the
generator's plus 50 times the discriminator's. The discriminator is the run's model.

Samples are drawn by the inverse of the cumulated softmax at one stored uniform number per masked token, so that they
are a function of the seed, the example and the generator's weights alone. Special tokens are never drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field

from acclimate.objectives.base import IGNORE, PADDING_SEGMENT, Batch, Fields, Part
from acclimate.objectives.mlm import MaskedLanguageModeling, MaskedLanguageModelingSettings
from acclimate.objectives.predictions import (
    TargetScores,
    head_positions,
    model_inputs,
    takes_head_positions,
    token_scores,
)
from acclimate.objectives.rows import Row, Rows
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.randomness import uniform
from acclimate.recipe import Section

# Uniform draws are kept as integers below this; float32 tells them apart.
DRAWS = 1 << 24
ORIGINAL, REPLACED = 0, 1


class ReplacedTokenDetectionSettings(Section):
    """Options of `objective: {name: rtd}`.

    Attributes:
        mlm_probability: share of the tokens that the generator is asked for.
        unit: what is masked together: "token", "word" or "span".
        generator: a hub id or folder of a masked language model with the same vocabulary; or a configuration, such as
            `{hidden_size: 64}`, for a new one. Default: for `…-discriminator` the `…-generator` beside it; for a run of
            `rtd` the one that was saved with it; otherwise a new small one.
        discriminator_weight: of the discriminator's mean loss, beside the generator's.
    """

    mlm_probability: float = Field(0.15, gt=0, lt=1)
    unit: Literal["token", "word", "span"] = "token"
    generator: str | dict[str, Any] | None = None
    discriminator_weight: float = Field(50.0, gt=0)


class ReplacedTokenDetection(MaskedLanguageModeling):
    """Tell replaced tokens from original ones. See the module's text for the rule."""

    name = "rtd"
    summary = "tokens replaced by a small generator, told from original ones"
    paper = "Clark et al. 2020 (ELECTRA, arXiv:2003.10555)"
    Settings = ReplacedTokenDetectionSettings
    head = "replaced-token-detection"
    parts = (Part("generator"), Part("discriminator", 50.0, classes=("original", "replaced")))

    settings: ReplacedTokenDetectionSettings

    def __init__(self, settings: Section, vocabulary: Vocabulary, *, max_length: int, seed: int) -> None:
        super().__init__(settings, vocabulary, max_length=max_length, seed=seed)
        self._special = torch.from_numpy(vocabulary.special)

    def masking_settings(self, settings: Section) -> MaskedLanguageModelingSettings:
        assert isinstance(settings, ReplacedTokenDetectionSettings)
        return MaskedLanguageModelingSettings(
            mlm_probability=settings.mlm_probability, unit=settings.unit, mask_replace_prob=1, random_replace_prob=0
        )

    @property
    def weights(self) -> tuple[float, ...]:
        return 1.0, self.settings.discriminator_weight

    def head_options(self) -> Mapping[str, Any]:
        return {"generator": self.settings.generator}

    def padding(self) -> Mapping[str, int]:
        return {**super().padding(), "draws": 0}

    def corrupt_tokens(self, rows: Rows, rngs: Sequence[np.random.Generator]) -> Fields:
        fields = super().corrupt_tokens(rows, rngs)
        draws = (uniform(rngs, rows.lengths) * DRAWS).astype(np.int64)
        return {**fields, "draws": np.where(fields["labels"] == IGNORE, 0, draws)}

    def hide(self, row: Row, hidden: NDArray[np.bool_]) -> Fields | None:
        # The generator is asked; what it puts in does not matter.
        fields = super().hide(row, hidden)
        return None if fields is None else {**fields, "draws": np.zeros(len(row), dtype=np.int64)}

    def counts(self, batch: Batch) -> torch.Tensor:
        masked = batch["labels"].ne(IGNORE).sum()
        real = batch["segment_ids"].ne(PADDING_SEGMENT).sum()
        return torch.stack([masked, real]).double()

    def scores(self, model: Any, batch: Batch) -> tuple[TargetScores, ...]:
        generator_logits, discriminator_logits_BL, ids_BL = self._run(model, batch)
        gathered = takes_head_positions(model)
        return (
            token_scores(generator_logits, batch, gathered=gathered),
            _verdicts(discriminator_logits_BL, ids_BL, batch),
        )

    def settle(self, model: Any, batch: Batch) -> Mapping[str, torch.Tensor]:
        """What the model's own generator puts in, so that another discriminator can be asked about the same."""
        return {"replaced_ids": self._run(model, batch)[2]}

    def _run(self, model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The generator's logits, everywhere or at the masked tokens only; the discriminator's; and what it judged."""
        gathered = takes_head_positions(model)
        few = {"head_positions": head_positions(batch)} if gathered else {}
        found: tuple[torch.Tensor, torch.Tensor, torch.Tensor] = model(
            model_inputs(batch, model=model), lambda logits: self._replaced_ids(logits, batch, gathered), **few
        )
        return found

    def _replaced_ids(self, logits: torch.Tensor, batch: Batch, gathered: bool = False) -> torch.Tensor:
        """[B, L] the original ids, with the generator's samples at the masked positions."""
        if "replaced_ids" in batch:
            return batch["replaced_ids"]
        ids_BL = _original_ids(batch)
        rows_N, columns_N = batch["labels"].ne(IGNORE).nonzero(as_tuple=True)
        # A copy: the generator's loss is taken on the same logits.
        logits_NV = (logits[0] if gathered else logits[rows_N, columns_N]).detach().float().clone()
        # Ids past the tokenizer's are rows of the embedding that stand for no token.
        logits_NV[:, len(self._special) :] = -torch.inf
        logits_NV[:, : len(self._special)].masked_fill_(self._special.to(logits_NV.device), -torch.inf)
        uniform_N = (batch["draws"][rows_N, columns_N].float() + 0.5) / DRAWS
        ids_BL[rows_N, columns_N] = sample(logits_NV, uniform_N)
        return ids_BL


def sample(logits_NV: torch.Tensor, uniform_N: torch.Tensor) -> torch.Tensor:
    """[N] ids drawn from each softmax by the inverse of its cumulated sum at a number in (0, 1)."""
    cumulated_NV = logits_NV.softmax(-1).cumsum(-1)
    thresholds_N = uniform_N * cumulated_NV[:, -1]
    drawn_N1 = torch.searchsorted(cumulated_NV, thresholds_N[:, None])
    return drawn_N1[:, 0].clamp(max=logits_NV.shape[1] - 1)


def _original_ids(batch: Batch) -> torch.Tensor:
    return torch.where(batch["labels"].ne(IGNORE), batch["labels"], batch["input_ids"])


def _verdicts(logits_BL: torch.Tensor, ids_BL: torch.Tensor, batch: Batch) -> TargetScores:
    rows_N, columns_N = batch["segment_ids"].ne(PADDING_SEGMENT).nonzero(as_tuple=True)
    replaced_N = ids_BL.ne(_original_ids(batch))[rows_N, columns_N]
    logits_N = logits_BL[rows_N, columns_N].float()
    losses_N = F.binary_cross_entropy_with_logits(logits_N, replaced_N.float(), reduction="none")
    return TargetScores(
        losses=losses_N,
        correct=logits_N.gt(0).eq(replaced_N),
        labels=replaced_N.long(),
        rows=rows_N,
        columns=columns_N,
        segments=batch["segment_ids"][rows_N, columns_N],
        total=losses_N.sum(),
    )
