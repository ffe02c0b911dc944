"""Masked sequence to sequence pretraining (MASS, Song et al. 2019, arXiv:1905.02450).

One contiguous piece of half of a text's tokens is masked in the encoder's input (80 % become the mask token, 10 % a
random one, 10 % stay). The decoder predicts that piece and nothing else: its other inputs are masks, and each token
stands at the position that it has in the text.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from acclimate.errors import ModelError
from acclimate.objectives.base import IGNORE, Fields, Part
from acclimate.objectives.encoder_decoder import EncoderDecoderObjective, two_sided
from acclimate.objectives.rows import NO_PLACE, Row, begin_stretches
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.recipe import Section


class MassSettings(Section):
    """Options of `objective: {name: mass}`.

    Attributes:
        mask_ratio: length of the masked piece, as a share of the text.
        mask_replace_prob, random_replace_prob: shares of the piece's tokens that become the mask token, or a random
            one, in the encoder's input; the rest stays.
    """

    mask_ratio: float = Field(0.5, gt=0, lt=1)
    mask_replace_prob: float = Field(0.8, ge=0, le=1)
    random_replace_prob: float = Field(0.1, ge=0, le=1)

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.mask_replace_prob + self.random_replace_prob > 1:
            raise ValueError("`mask_replace_prob` and `random_replace_prob` together exceed 1")
        return self


class MaskedSequenceToSequence(EncoderDecoderObjective):
    """Predict a masked piece of a text. See the module's text for the rule."""

    name = "mass"
    summary = "a contiguous half of a text, masked in the encoder, told by the decoder"
    paper = "Song et al. 2019 (MASS, arXiv:1905.02450)"
    Settings = MassSettings
    model_types = ("bart", "mbart", "pegasus", "plbart", "marian", "t5", "mt5", "umt5", "longt5")
    needs = ("pad", "mask")
    parts = (Part("mass", bits_per_byte=True),)

    settings: MassSettings

    def __init__(self, settings: Section, vocabulary: Vocabulary, *, max_length: int, seed: int) -> None:
        super().__init__(settings, vocabulary, max_length=max_length, seed=seed)
        if vocabulary.mask_id is None:
            raise ModelError("`mass` needs a mask token, and this tokenizer has none; give it a `mask_token`")

    def corrupt(self, row: Row, rng: np.random.Generator) -> Fields:
        pieces = [row.piece(segment) for segment in range(row.num_pieces)]
        spans = [self._span(piece, rng) for piece in pieces]
        return two_sided(
            [self._masked(piece, span, rng) for piece, span in zip(pieces, spans, strict=True)],
            [self._target(piece, span) for piece, span in zip(pieces, spans, strict=True)],
        )

    def _span(self, piece: Row, rng: np.random.Generator) -> NDArray[np.int64]:
        """The positions of the masked piece: neighbours among the text's own tokens, at least one."""
        candidates = np.flatnonzero(piece.candidates)
        if len(candidates) == 0:
            return candidates
        length = min(len(candidates), max(1, int(np.floor(self.settings.mask_ratio * len(candidates) + rng.random()))))
        start = int(rng.integers(len(candidates) - length + 1))
        return candidates[start : start + length]

    def _masked(
        self, piece: Row, span: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        assert self.vocabulary.mask_id is not None
        draws, random_ids = rng.random(len(span)), self.vocabulary.random_ids(rng.random(len(span)))
        masked = draws < self.settings.mask_replace_prob
        replaced = ~masked & (draws < self.settings.mask_replace_prob + self.settings.random_replace_prob)
        input_ids = piece.input_ids.copy()
        input_ids[span[masked]] = self.vocabulary.mask_id
        input_ids[span[replaced]] = random_ids[replaced]
        return input_ids, piece.places

    def hide(self, row: Row, hidden: NDArray[np.bool_]) -> Fields | None:
        assert self.vocabulary.mask_id is not None
        chosen = np.flatnonzero(hidden & row.candidates)
        # The decoder tells one piece: the first stretch.
        span = chosen[begin_stretches(chosen).cumsum() == 1]
        input_ids = row.input_ids.copy()
        input_ids[chosen] = self.vocabulary.mask_id
        return two_sided([(input_ids, row.places)], [self._target(row, span)])

    def _target(
        self, piece: Row, span: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        assert self.vocabulary.mask_id is not None and self.vocabulary.decoder_start_id is not None
        decoder_input_ids = np.full(len(piece), self.vocabulary.mask_id, dtype=np.int64)
        decoder_input_ids[0] = self.vocabulary.decoder_start_id
        # Within the masked piece each token is behind its true neighbour, a joint too; the first of it behind a mask.
        if len(span):
            decoder_input_ids[span[0] + 1 : span[-1] + 1] = piece.input_ids[span[0] : span[-1]]
        labels = np.full(len(piece), IGNORE, dtype=np.int64)
        labels[span] = piece.input_ids[span]
        places = np.full(len(piece), NO_PLACE, dtype=np.int64)
        places[span] = piece.places[span]
        return decoder_input_ids, labels, places
