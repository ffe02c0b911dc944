"""Span denoising (T5, Raffel et al. 2020, arXiv:1910.10683).

15 % of a text's tokens, in spans of 3 on average, are taken out. Each span leaves one sentinel in the encoder's input;
the target is each sentinel with the tokens that it stands for, in T5's order, and EOS. How many spans there are and how
much is taken is fixed by a text's length; where spans begin and end is a random partition of the text.

Rows are cut so that the *corrupted* input of a piece of full length fills `max_length` exactly; what documents leave
over is packed, several texts in a row, kept apart in the encoder, the decoder and between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from acclimate.errors import DataError, ModelError
from acclimate.objectives.base import (
    IGNORE,
    INPUT_PLACES,
    LABEL_PLACES,
    PADDING_SEGMENT,
    Batch,
    Fields,
    Objective,
    Part,
    TargetScores,
    token_scores,
)
from acclimate.objectives.rows import NO_PLACE, Row
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.recipe import Section
from acclimate.tokens.packing import Plan, pack
from acclimate.tokens.store import Isolate, TokenStore


class SpanDenoisingSettings(Section):
    """Options of `objective: {name: span_denoising}`.

    Attributes:
        noise_density: share of the tokens that are taken out.
        mean_noise_span_length: mean length of a span, in tokens.
    """

    noise_density: float = Field(0.15, gt=0, lt=1)
    mean_noise_span_length: float = Field(3.0, ge=1)


class SpanDenoising(Objective):
    """Predict what stood where the sentinels stand. See the module's text for the rule."""

    name = "span_denoising"
    summary = "spans taken out, told by the decoder sentinel by sentinel"
    paper = "Raffel et al. 2020 (T5, arXiv:1910.10683)"
    Settings = SpanDenoisingSettings
    families = ("encoder-decoder",)
    model_types = ("t5", "mt5", "umt5", "longt5")
    head = "seq2seq-lm"
    needs = ("pad", "eos", "sentinels")
    parts = (Part("span_denoising", bits_per_byte=True),)

    settings: SpanDenoisingSettings

    def __init__(self, settings: Section, vocabulary: Vocabulary, *, max_length: int, seed: int) -> None:
        super().__init__(settings, vocabulary, max_length=max_length, seed=seed)
        if not vocabulary.sentinels or vocabulary.eos_id is None:
            raise ModelError(
                "`span_denoising` needs sentinels (`<extra_id_0>`, …) and an EOS, and this tokenizer lacks them"
            )
        self.raw_length = raw_length(self.settings, max_length, len(vocabulary.frame))
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
        frame = frame_in_raw_tokens(self.settings, self.max_length, len(self.vocabulary.frame)) if packed else 0
        return pack(
            store.spans(isolate),
            store.flags,
            row_length=self.raw_length + frame,
            frame_length=frame,
            packed=packed,
        )

    def row_lengths(self, plan: Plan, epoch: int) -> NDArray[np.int64]:
        lengths = plan.pieces[:, 1] - plan.pieces[:, 0]
        frame = len(self.vocabulary.frame)
        costs = np.array([input_length(length, self.settings, frame) for length in range(self.raw_length + 1)])
        sums = np.concatenate([[0], np.cumsum(costs[lengths])])
        return np.asarray(sums[plan.rows[1:]] - sums[plan.rows[:-1]], dtype=np.int64)

    def corrupt(self, row: Row, rng: np.random.Generator) -> Fields:
        pieces = [self._denoise(row.piece(segment), rng) for segment in range(row.num_pieces)]
        inputs, input_places, targets, target_places = (list(part) for part in zip(*pieces, strict=True))
        start = self.vocabulary.decoder_start_id
        assert start is not None
        shifted = [np.concatenate([[start], target[:-1]]) for target in targets if len(target)]
        return {
            "input_ids": np.concatenate(inputs),
            "segment_ids": _segments(inputs),
            "decoder_input_ids": np.concatenate([*shifted, np.empty(0, dtype=np.int64)]).astype(np.int64),
            "labels": np.concatenate(targets),
            "decoder_segment_ids": _segments(targets),
            INPUT_PLACES: np.concatenate(input_places),
            LABEL_PLACES: np.concatenate(target_places),
        }

    def _denoise(self, piece: Row, rng: np.random.Generator) -> tuple[NDArray[np.int64], ...]:
        """Of one text: input ids and their places, target ids and theirs."""
        text = piece.places != NO_PLACE
        ids, places, candidates = piece.input_ids[text], piece.places[text], piece.candidates[text]
        noise = np.zeros(len(ids), dtype=bool)
        noise[candidates] = noise_mask(int(candidates.sum()), *self._amount(candidates), rng)
        in_text = np.flatnonzero(candidates)
        starts = np.zeros(len(ids), dtype=bool)
        flags = noise[in_text]
        starts[in_text] = flags & ~np.concatenate([[False], flags[:-1]])
        sentinels = np.array(self.vocabulary.sentinels[: int(starts.sum())], dtype=np.int64)

        # A sentinel before each span; the input keeps what is not noise, the target what is.
        order = np.sort(np.concatenate([np.arange(len(ids)) * 2 + 1, np.flatnonzero(starts) * 2]))
        is_token = order % 2 == 1
        tokens = np.empty(len(order), dtype=np.int64)
        tokens[is_token], tokens[~is_token] = ids, sentinels
        token_places = np.full(len(order), NO_PLACE, dtype=np.int64)
        token_places[is_token] = places
        in_input, in_target = np.ones(len(order), dtype=bool), np.ones(len(order), dtype=bool)
        in_input[is_token], in_target[is_token] = ~noise, noise
        frame, eos_id = self.vocabulary.frame, self.vocabulary.eos_id
        assert eos_id is not None
        before, after = len(frame.prefix), len(frame.suffix)
        return (
            np.concatenate([frame.prefix, tokens[in_input], frame.suffix]).astype(np.int64),
            np.pad(token_places[in_input], (before, after), constant_values=NO_PLACE),
            np.append(tokens[in_target], eos_id) if len(sentinels) else np.empty(0, dtype=np.int64),
            np.append(token_places[in_target], NO_PLACE) if len(sentinels) else np.empty(0, dtype=np.int64),
        )

    def _amount(self, candidates: NDArray[np.bool_]) -> tuple[int, int]:
        """How many tokens of a text are taken out, in how many spans.

        The text's whole length decides, so that the input is as long as planned though line breaks and unknown tokens
        are never taken. Where these are many there are fewer spans, of more tokens each.
        """
        num_candidates = int(candidates.sum())
        num_noise, num_spans = noise_of(len(candidates), self.settings)
        fewer = max(0, -((num_candidates - num_noise - num_spans) // 2))
        if fewer < num_spans:
            return num_noise - fewer, num_spans - fewer
        return noise_of(num_candidates, self.settings)

    def padding(self) -> Mapping[str, int]:
        pad_id = self.vocabulary.pad_id or 0
        return {
            "input_ids": pad_id,
            "segment_ids": PADDING_SEGMENT,
            "decoder_input_ids": pad_id,
            "labels": IGNORE,
            "decoder_segment_ids": PADDING_SEGMENT,
        }

    def scores(self, model: Any, batch: Batch) -> tuple[TargetScores, ...]:
        logits_BLV = model(**encoder_decoder_inputs(batch)).logits
        return (token_scores(logits_BLV, batch, segments="decoder_segment_ids"),)


def encoder_decoder_inputs(batch: Batch) -> Batch:
    """The fields of a batch that the forward of an encoder-decoder takes, packed or one text a row."""
    inputs = {name: batch[name] for name in ("input_ids", "decoder_input_ids")}
    segments = batch["segment_ids"]
    if bool((segments > 0).any()):
        return {**inputs, "segment_ids": segments, "decoder_segment_ids": batch["decoder_segment_ids"]}
    return {**inputs, "attention_mask": segments.ne(PADDING_SEGMENT).long()}


def _segments(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(parts)), [len(part) for part in parts])


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
    """[length] bool: which tokens of a text are taken out. Kept and taken stretches alternate, a kept one first; the
    lengths of both are random partitions (`random_spans_noise_mask` of T5)."""
    if num_spans == 0:
        return np.zeros(length, dtype=bool)
    kept = random_partition(length - num_noise, num_spans, rng)
    taken = random_partition(num_noise, num_spans, rng)
    return np.repeat(np.tile([False, True], num_spans), np.stack([kept, taken], axis=1).ravel())


def random_partition(total: int, num_parts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`num_parts` positive numbers that sum to `total`; each such list is equally likely."""
    cuts = np.sort(rng.permutation(total - 1)[: num_parts - 1]) + 1
    return np.diff(np.concatenate([[0], cuts, [total]]))
