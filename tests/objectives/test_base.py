"""What objectives share: batches from examples, scores of tokens, inputs of a model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from acclimate.objectives.base import IGNORE, PADDING_SEGMENT, pad
from acclimate.objectives.predictions import model_inputs, token_scores


def test_pad() -> None:
    assert pad([np.array([1, 2, 3]), np.array([4])], 9).tolist() == [[1, 2, 3], [4, 9, 9]]
    # A text of one token has no targets in an encoder-decoder; no model takes a row of nothing.
    assert pad([np.empty(0, dtype=np.int64)], IGNORE).tolist() == [[IGNORE]]


def test_scores_of_tokens_by_hand() -> None:
    # Two classes; logits (0, ln 3) say class 1 with 3/4, (0, 0) with 1/2.
    sure, unsure = [0.0, math.log(3)], [0.0, 0.0]
    logits = torch.tensor([[sure, unsure, sure], [unsure, sure, unsure]])
    batch = {
        "labels": torch.tensor([[IGNORE, 0, 1], [IGNORE, 0, IGNORE]]),
        "segment_ids": torch.tensor([[0, 0, 1], [2, 3, PADDING_SEGMENT]]),
    }
    # While gradients are taken nobody asks whether a guess was right.
    assert token_scores(logits, batch).correct is None
    with torch.no_grad():
        scores = token_scores(logits, batch)
    assert scores.correct is not None and scores.ranks is not None
    # Targets at (0, 1): 0 by `unsure`; (0, 2): 1 by `sure`; (1, 1): 0 by `sure`.
    assert scores.losses.tolist() == pytest.approx([math.log(2), math.log(4 / 3), math.log(4)])
    assert scores.correct.tolist() == [True, True, False]
    assert scores.ranks.tolist() == [0, 0, 1]
    assert (scores.rows.tolist(), scores.columns.tolist()) == ([0, 0, 1], [1, 2, 1])
    assert (scores.labels.tolist(), scores.segments.tolist()) == ([0, 1, 0], [0, 1, 3])
    # With `shift` the place before a target tells it: `sure` 0, `unsure` 1, `unsure` 0.
    shifted = token_scores(logits, batch, shift=1)
    assert shifted.losses.tolist() == pytest.approx([math.log(4), math.log(2), math.log(2)])
    assert shifted.columns.tolist() == scores.columns.tolist()


def test_inputs_of_a_model() -> None:
    batch = {
        "input_ids": torch.tensor([[5, 6, 0]]),
        "labels": torch.tensor([[5, IGNORE, IGNORE]]),
        "segment_ids": torch.tensor([[0, 0, PADDING_SEGMENT]]),
        "position_ids": torch.tensor([[0, 1, 0]]),
    }
    one_text = model_inputs(batch, "token_type_ids")
    assert one_text.keys() == {"input_ids", "attention_mask"}
    assert one_text["attention_mask"].tolist() == [[1, 1, 0]]
    packed = model_inputs({**batch, "segment_ids": torch.tensor([[0, 1, PADDING_SEGMENT]])})
    assert packed.keys() == {"input_ids", "segment_ids", "position_ids"}
