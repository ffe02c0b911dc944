"""Span denoising (T5, Raffel et al. 2020, arXiv:1910.10683).

15 % of a text's tokens, in spans of 3 on average, are taken out. Each span leaves one sentinel in the encoder's input;
the target is each sentinel with the tokens that it stands for, in T5's order, and EOS. How many spans there are and how
much is taken is fixed by a text's length; where spans begin and end is a random partition of the text, in which any
token may be taken.

Rows are cut so that the *corrupted* input of a piece of full length fills `max_length` exactly; what documents leave
over is packed, several texts in a row, kept apart in the encoder, the decoder and between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from acclimate.errors import DataError, ModelError
from acclimate.objectives.base import IGNORE, Family, Fields, Need, Objective, Part
from acclimate.objectives.encoder_decoder import EncoderDecoderObjective, framed, shift_right, two_sided
from acclimate.objectives.rows import NO_PLACE, Row, begin_stretches
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.recipe import Section
from acclimate.tokens.packing import Plan, pack
from acclimate.tokens.store import Isolate, TokenStore


class SpanDenoisingSettings(Section):
    """Options of `objective: {name: span_denoising}`.

    Attributes:
        noise_density: share of the tokens that are taken out.
        mean_noise_span_length: mean length of a span, in tokens.
        mixture: "ul2" for UL2's seven denoisers instead, which have densities and lengths of their own.
    """

    mixture: Literal["ul2"] | None = None
    noise_density: float = Field(0.15, gt=0, lt=1)
    mean_noise_span_length: float = Field(3.0, ge=1)


class SpanDenoising(EncoderDecoderObjective):
    """Predict what stood where the sentinels stand. See the module's text for the rule."""

    name = "span_denoising"
    summary = "spans taken out, told by the decoder sentinel by sentinel"
    paper = "Raffel et al. 2020 (T5, arXiv:1910.10683)"
    Settings = SpanDenoisingSettings
    model_types = ("t5", "mt5", "umt5", "longt5")
    needs: ClassVar[tuple[Need, ...]] = ("pad", "eos", "sentinels")
    parts = (Part("span_denoising", bits_per_byte=True),)

    settings: SpanDenoisingSettings
    # Tokens before a text that say how it was corrupted: none here.
    mode_length: ClassVar[int] = 0

    @classmethod
    def resolve(cls, family: Family, settings: Section) -> type[Objective]:
        # It is built on what stands here.
        from acclimate.objectives.ul2 import MixtureOfDenoisers

        assert isinstance(settings, SpanDenoisingSettings)
        return MixtureOfDenoisers if settings.mixture == "ul2" else cls

    def __init__(self, settings: Section, vocabulary: Vocabulary, *, max_length: int, seed: int) -> None:
        super().__init__(settings, vocabulary, max_length=max_length, seed=seed)
        if not vocabulary.sentinels or vocabulary.eos_id is None:
            raise ModelError(
                "`span_denoising` needs sentinels (`<extra_id_0>`, …) and an EOS, and this tokenizer lacks them"
            )
        self._sentinels = np.array(vocabulary.sentinels, dtype=np.int64)
        self.raw_length = raw_length(self.settings, max_length, len(vocabulary.frame) + self.mode_length)
        if self.raw_length < 3:
            raise ModelError(
                f"`objective.mean_noise_span_length` of {self.settings.mean_noise_span_length:g} is longer than what "
                f"`max_length` of {max_length} has room for"
            )
        num_spans = noise_of(self.raw_length, self.settings)[1]
        if num_spans > len(vocabulary.sentinels):
            raise ModelError(
                f"a row of {max_length} tokens has {num_spans} spans, and this tokenizer has "
                f"{len(vocabulary.sentinels)} sentinels; choose a smaller `max_length` or longer spans"
            )

    def plan(self, store: TokenStore, *, isolate: Isolate, packed: bool) -> Plan:
        # Rounding makes the corrupted length of a short text uneven: the frame in raw tokens is wide enough that no
        # row of texts overflows.
        frame = (
            frame_in_raw_tokens(self.settings, self.max_length, len(self.vocabulary.frame) + self.mode_length)
            if packed
            else 0
        )
        return pack(
            store.spans(isolate),
            store.flags,
            row_length=self.raw_length + frame,
            frame_length=frame,
            packed=packed,
        )

    def row_lengths(self, plan: Plan, epoch: int) -> NDArray[np.int64]:
        lengths = plan.pieces[:, 1] - plan.pieces[:, 0]
        frame = len(self.vocabulary.frame) + self.mode_length
        costs = np.array([input_length(length, self.settings, frame) for length in range(self.raw_length + 1)])
        sums = np.concatenate([[0], np.cumsum(costs[lengths])])
        return np.asarray(sums[plan.rows[1:]] - sums[plan.rows[:-1]], dtype=np.int64)

    def corrupt(self, row: Row, rng: np.random.Generator) -> Fields:
        texts = [self._denoise(row.piece(segment), rng) for segment in range(row.num_pieces)]
        start_id = self.vocabulary.decoder_start_id
        return two_sided(
            [(ids, places) for ids, places, _, _ in texts],
            [(shift_right(targets, start_id), targets, places) for _, _, targets, places in texts],
        )

    def _denoise(self, piece: Row, rng: np.random.Generator) -> tuple[NDArray[np.int64], ...]:
        """Of one text: input ids and their places, target ids and theirs."""
        return self._taken_out(piece, *self.noise(piece.candidates[piece.places != NO_PLACE], rng))

    def _taken_out(self, piece: Row, noise: NDArray[np.bool_], mode: Sequence[int]) -> tuple[NDArray[np.int64], ...]:
        """`_denoise` for those of the candidates that are taken out."""
        text = piece.places != NO_PLACE
        ids, places, candidates = piece.input_ids[text], piece.places[text], piece.candidates[text]
        # The tokens that are taken out, and which of them begin a span; in the input a sentinel stands for these.
        numbers = noise.nonzero()[0]
        taken, begins = candidates.nonzero()[0][numbers], begin_stretches(numbers)
        sentinels = self._sentinels[: np.count_nonzero(begins)]
        input_ids, input_places, kept = ids.copy(), places.copy(), np.ones(len(ids), dtype=bool)
        input_ids[taken[begins]], input_places[taken], kept[taken[~begins]] = sentinels, NO_PLACE, False
        frame = self.vocabulary.frame
        inputs = framed(input_ids[kept], input_places[kept], (*frame.prefix, *mode), frame.suffix)
        if len(taken) == 0:
            return *inputs, taken, taken

        # In the target a sentinel stands before each span, and EOS behind all.
        at = np.arange(len(taken)) + begins.cumsum()
        targets = np.full(len(taken) + len(sentinels) + 1, self.vocabulary.eos_id, dtype=np.int64)
        targets[at], targets[at[begins] - 1] = ids[taken], sentinels
        target_places = np.full(len(targets), NO_PLACE, dtype=np.int64)
        target_places[at] = places[taken]
        return *inputs, targets, target_places

    def hide(self, row: Row, hidden: NDArray[np.bool_]) -> Fields | None:
        noise = hidden[row.candidates]
        # There are only so many sentinels: what comes after the last of them stays.
        spans = np.cumsum(noise & ~np.concatenate([[False], noise[:-1]]))
        ids, places, targets, target_places = self._taken_out(
            row, noise & (spans <= len(self._sentinels)), self.plain_mode()
        )
        decoder_ids = shift_right(targets, self.vocabulary.decoder_start_id)
        fields = two_sided([(ids, places)], [(decoder_ids, targets, target_places)])
        return {**fields, "labels": np.where(target_places == NO_PLACE, IGNORE, targets)}

    def plain_mode(self) -> list[int]:
        """The ids of what stands before a text of which a few short spans are taken out."""
        return []

    def noise(self, candidates: NDArray[np.bool_], rng: np.random.Generator) -> tuple[NDArray[np.bool_], list[int]]:
        """Which of a text's candidates are taken out, and the ids of what stands before the text."""
        return noise_mask(int(candidates.sum()), *noise_among(candidates, self.settings), rng), []


def noise_among(candidates: NDArray[np.bool_], settings: SpanDenoisingSettings) -> tuple[int, int]:
    """How many tokens of a text are taken out, in how many spans, where only `candidates` [L] can be.

    The text's whole length decides, so that the input is as long as planned though line breaks and unknown tokens are
    never taken. Where these are many there are fewer spans, of more tokens each.
    """
    num_candidates = int(candidates.sum())
    num_noise, num_spans = noise_of(len(candidates), settings)
    fewer = max(0, -((num_candidates - num_noise - num_spans) // 2))
    if fewer < num_spans:
        return num_noise - fewer, num_spans - fewer
    return noise_of(num_candidates, settings)


def noise_of(length: int, settings: SpanDenoisingSettings) -> tuple[int, int]:
    """How many of `length` tokens are taken out, and in how many spans; none of fewer than two tokens."""
    if length < 2:
        return 0, 0
    num_noise = min(max(round(length * settings.noise_density), 1), length - 1)
    num_spans = min(max(round(num_noise / settings.mean_noise_span_length), 1), num_noise, length - num_noise)
    return num_noise, num_spans


def input_length(length: int, settings: SpanDenoisingSettings, frame_length: int = 1) -> int:
    """The encoder's input for a text of `length` tokens: what stays, a sentinel a span, and the frame (T5's is EOS)."""
    num_noise, num_spans = noise_of(length, settings)
    return length - num_noise + num_spans + frame_length


def raw_length(settings: SpanDenoisingSettings, max_length: int, frame_length: int = 1) -> int:
    """The longest text whose corrupted input fits into `max_length` tokens."""
    length = max_length
    while input_length(length + 1, settings, frame_length) <= max_length:
        length += 1
    while length > 0 and input_length(length, settings, frame_length) > max_length:
        length -= 1
    return length


def frame_in_raw_tokens(settings: SpanDenoisingSettings, max_length: int, frame_length: int = 1) -> int:
    """The smallest frame c such that texts whose lengths plus c sum to at most `raw_length` + c have corrupted inputs
    that sum to at most `max_length`."""
    longest = raw_length(settings, max_length, frame_length)
    costs = np.array([input_length(length, settings, frame_length) for length in range(1, longest + 1)])
    for frame in range(1, longest):
        # best[s]: the largest sum of inputs that texts of total size s can have (an unbounded knapsack).
        best = np.zeros(longest + frame + 1, dtype=np.int64)
        for size in range(1 + frame, len(best)):
            largest = min(size - frame, longest)
            with_one_more = best[size - frame - np.arange(1, largest + 1)] + costs[:largest]
            best[size] = max(best[size - 1], with_one_more.max())
        if best[-1] <= max_length:
            return frame
    raise DataError(f"`max_length` of {max_length} is too short for `span_denoising`")


def noise_mask(length: int, num_noise: int, num_spans: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """[length] bool: which tokens of a text are taken out. Kept and taken stretches alternate, and the lengths of both
    are random partitions; the first and the last kept stretch may be empty.

    T5's `random_spans_noise_mask` begins each text with a kept stretch and ends it with a taken one. Rejected: rows are
    the same in every epoch here, so that their first tokens would never be asked for and their last ones never read,
    and of a text with one span only the end.
    """
    if num_spans == 0:
        return np.zeros(length, dtype=bool)
    lengths = np.empty(2 * num_spans + 1, dtype=np.int64)
    lengths[::2] = random_partition(length - num_noise + 2, num_spans + 1, rng)
    lengths[0] -= 1
    lengths[-1] -= 1
    lengths[1::2] = random_partition(num_noise, num_spans, rng)
    is_taken = np.zeros(len(lengths), dtype=bool)
    is_taken[1::2] = True
    return is_taken.repeat(lengths)


def random_partition(total: int, num_parts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`num_parts` positive numbers that sum to `total`; each such list is equally likely."""
    cuts = np.empty(num_parts + 1, dtype=np.int64)
    cuts[0], cuts[-1] = 0, total
    cuts[1:-1] = rng.permutation(total - 1)[: num_parts - 1] + 1
    cuts.sort()
    return cuts[1:] - cuts[:-1]
