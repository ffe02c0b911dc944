"""Text infilling (BART, Lewis et al. 2020, arXiv:1910.13461).

30 % of a text's tokens in spans of Poisson(3) length are taken out of the encoder's input, each span leaving one mask
token; a span of length 0 puts in a mask where nothing is missing. The sentences of a text stand in random order. The
target is the whole original.

The budget is a share of each text's tokens, rounded at random so that the rate holds; spans are drawn until it is
spent, and the last one is cut to fit. Every arrangement of the spans among the tokens that stay is equally likely. A
text gets no more masks than it loses tokens, so that no row is longer than its texts: of spans of length 0 those that
would be too many are left out, which only texts of a few tokens have.

The target is the whole text as it is framed, `<s>` (mBART's and PLBART's language) and joints included: so BART itself
was trained (fairseq's `denoising` task shifts the framed text by one and asks for all of it), and a decoder that starts
with `</s>` must have learned to go on with `<s>`. The unknown token, which stands for what the tokenizer could not say,
and other special tokens within a text are read and not asked for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from acclimate.errors import ModelError
from acclimate.objectives.base import IGNORE, Fields, Part
from acclimate.objectives.encoder_decoder import EncoderDecoderObjective, framed, shift_right, two_sided
from acclimate.objectives.rows import NO_PLACE, Row, ranges
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.recipe import Section
from acclimate.tokens.store import Layer


class TextInfillingSettings(Section):
    """Options of `objective: {name: text_infilling}`.

    Attributes:
        mask_ratio: share of the tokens that are taken out.
        poisson_lambda: mean length of a span, in tokens; at least 1.
        permute_sentences: whether the sentences of a text stand in random order.
    """

    mask_ratio: float = Field(0.3, gt=0, lt=1)
    poisson_lambda: float = Field(3.0, ge=1)
    permute_sentences: bool = True


class TextInfilling(EncoderDecoderObjective):
    """Write out in full a text of which spans are missing. See the module's text for the rule."""

    name = "text_infilling"
    summary = "a text with spans missing and sentences permuted, written out in full"
    paper = "Lewis et al. 2020 (BART, arXiv:1910.13461)"
    Settings = TextInfillingSettings
    model_types = ("bart", "mbart", "pegasus", "plbart", "marian", "t5", "mt5", "umt5", "longt5")
    needs = ("pad", "eos", "mask")
    parts = (Part("text_infilling", bits_per_byte=True),)

    settings: TextInfillingSettings

    def __init__(self, settings: Section, vocabulary: Vocabulary, *, max_length: int, seed: int) -> None:
        super().__init__(settings, vocabulary, max_length=max_length, seed=seed)
        if vocabulary.mask_id is None:
            raise ModelError("`text_infilling` needs a mask token, and this tokenizer has none; give it a `mask_token`")

    @property
    def layers(self) -> frozenset[Layer]:
        return frozenset({"sentences"}) if self.settings.permute_sentences else frozenset()

    def corrupt(self, row: Row, rng: np.random.Generator) -> Fields:
        pieces = [row.piece(segment) for segment in range(row.num_pieces)]
        return two_sided([self._infill(piece, rng) for piece in pieces], [self._target(piece) for piece in pieces])

    def _infill(self, piece: Row, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The encoder's input for one text, and its places."""
        text = (piece.places != NO_PLACE).nonzero()[0]
        if self.settings.permute_sentences:
            text = text[permuted(piece.sentence_starts[text], rng)]
        return self._masked(piece, text, *infill(int(piece.candidates.sum()), self.settings, rng))

    def _masked(
        self, piece: Row, text: NDArray[np.int64], masked: NDArray[np.bool_], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`_infill` for a text in its order (`text`: [L] places in the piece) and what becomes of its slots."""
        ids, places, candidates = piece.input_ids[text], piece.places[text], piece.candidates[text].nonzero()[0]
        kept = np.ones(len(text), dtype=bool)
        kept[candidates] = ~masked.repeat(lengths)
        # A mask stands behind the candidate before its span: joints between candidates stay where they are.
        before = (lengths.cumsum() - lengths)[masked]
        behind = np.concatenate([[0], candidates + 1])[before]
        # Where the tokens go, each behind the masks before it.
        numbers = np.arange(len(text))
        at = numbers + behind.searchsorted(numbers, side="right")
        assert self.vocabulary.mask_id is not None
        length = len(text) + len(behind)
        input_ids = np.full(length, self.vocabulary.mask_id, dtype=np.int64)
        input_places = np.full(length, NO_PLACE, dtype=np.int64)
        stays = np.ones(length, dtype=bool)
        input_ids[at], input_places[at], stays[at] = ids, places, kept
        frame = self.vocabulary.frame
        return framed(input_ids[stays], input_places[stays], frame.prefix, frame.suffix)

    def hide(self, row: Row, hidden: NDArray[np.bool_]) -> Fields | None:
        taken = hidden[row.candidates]
        # A stretch of hidden tokens is one slot, any other token one of its own.
        slots = np.flatnonzero(~taken | ~np.concatenate([[False], taken[:-1]]))
        lengths = np.diff(slots, append=len(taken))
        decoder_ids, labels, places = self._target(row)
        fields = two_sided(
            [self._masked(row, (row.places != NO_PLACE).nonzero()[0], taken[slots], lengths)],
            [(decoder_ids, labels, places)],
        )
        return {**fields, "labels": np.where(hidden & row.candidates, labels, IGNORE)}

    def _target(self, piece: Row) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The decoder's input, labels and their places."""
        targets = (piece.places == NO_PLACE) | self.vocabulary.text_ids[piece.input_ids]
        return (
            shift_right(piece.input_ids, self.vocabulary.decoder_start_id),
            np.where(targets, piece.input_ids, IGNORE),
            np.where(targets, piece.places, NO_PLACE),
        )


def permuted(sentence_starts: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """[L] the places of a text's tokens with its sentences in random order."""
    if len(sentence_starts) == 0:
        return np.empty(0, dtype=np.int64)
    bounds = np.concatenate([[0], sentence_starts[1:].nonzero()[0] + 1, [len(sentence_starts)]])
    order = rng.permutation(len(bounds) - 1)
    return ranges(bounds[order], bounds[order + 1] - bounds[order])


def infill(
    length: int, settings: TextInfillingSettings, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """What becomes of a text of `length` tokens, slot by slot: [S] whether a slot is a span that a mask stands for, and
    [S] how many tokens it has (1 for tokens that stay, 0 for a mask that is put in)."""
    budget = int(np.floor(settings.mask_ratio * length + rng.random()))
    spans: list[int] = []
    left = budget
    while left:
        drawn = min(int(rng.poisson(settings.poisson_lambda)), left)
        spans.append(drawn)
        left -= drawn
    taken = [span for span in spans if span]
    num_inserted = min(len(spans), budget) - len(taken)
    spans = [*taken, *([0] * num_inserted)]
    num_slots = length - budget + len(spans)
    # In random order, since the last one was cut.
    slots = rng.permutation(num_slots)[: len(spans)]
    is_span = np.zeros(num_slots, dtype=bool)
    is_span[slots] = True
    lengths = np.ones(num_slots, dtype=np.int64)
    lengths[slots] = spans
    return is_span, lengths
