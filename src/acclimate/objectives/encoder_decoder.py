"""What objectives of encoder-decoders have in common: their fields, their inputs, their loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acclimate.objectives.base import IGNORE, INPUT_PLACES, LABEL_PLACES, PADDING_SEGMENT, Batch, Fields, Objective
from acclimate.objectives.predictions import TargetScores, is_packed, predict_tokens
from acclimate.objectives.rows import NO_PLACE


class EncoderDecoderObjective(Objective):
    """An objective whose rows have two sides: `input_ids` for the encoder, `decoder_input_ids` and `labels` for the
    decoder, each with its segments."""

    families = ("encoder-decoder",)
    head = "seq2seq-lm"

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
        inputs = encoder_decoder_inputs(batch, model)
        return (predict_tokens(model, inputs, batch, segments="decoder_segment_ids")[0],)


def encoder_decoder_inputs(batch: Batch, model: Any = None) -> Batch:
    """The fields of a batch that the forward of an encoder-decoder takes, packed or one text a row."""
    inputs = {name: batch[name] for name in ("input_ids", "decoder_input_ids")}
    segments = batch["segment_ids"]
    if is_packed(batch, model):
        return {**inputs, "segment_ids": segments, "decoder_segment_ids": batch["decoder_segment_ids"]}
    return {**inputs, "attention_mask": segments.ne(PADDING_SEGMENT).long()}


def two_sided(
    inputs: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    targets: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]],
) -> Fields:
    """The fields of a row.

    Args:
        inputs: of each text the encoder's ids, and their places in the token stream.
        targets: of each text the decoder's input ids, its labels, and the labels' places.
    """
    input_ids, input_places = (np.concatenate(part) for part in zip(*inputs, strict=True))
    decoder_input_ids, labels, label_places = (np.concatenate(part) for part in zip(*targets, strict=True))
    return {
        "input_ids": input_ids,
        "segment_ids": np.arange(len(inputs)).repeat([len(ids) for ids, _ in inputs]),
        "decoder_input_ids": decoder_input_ids.astype(np.int64),
        "labels": labels.astype(np.int64),
        "decoder_segment_ids": np.arange(len(targets)).repeat([len(ids) for ids, _, _ in targets]),
        INPUT_PLACES: input_places,
        LABEL_PLACES: label_places.astype(np.int64),
    }


def framed(
    ids: NDArray[np.int64], places: NDArray[np.int64], prefix: Sequence[int], suffix: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A text's ids with a frame around them, and their places, with none for the frame."""
    start, end = len(prefix), len(prefix) + len(ids)
    all_ids = np.empty(end + len(suffix), dtype=np.int64)
    all_ids[:start], all_ids[start:end], all_ids[end:] = prefix, ids, suffix
    all_places = np.full(end + len(suffix), NO_PLACE, dtype=np.int64)
    all_places[start:end] = places
    return all_ids, all_places


def shift_right(ids: NDArray[np.int64], start_id: int | None) -> NDArray[np.int64]:
    """The decoder's input for a text's labels: the start token, and all but the last."""
    assert start_id is not None, "the configuration of an encoder-decoder names its start token"
    if len(ids) == 0:
        return ids
    shifted = np.empty_like(ids)
    shifted[0], shifted[1:] = start_id, ids[:-1]
    return shifted
