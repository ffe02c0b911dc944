"""Chosen questions: each objective hides just the tokens that it is told to, and asks for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from acclimate.objectives import resolve_objective
from acclimate.objectives.base import BY_ALL, BY_LATER, IGNORE, LABEL_PLACES, Family, Objective
from acclimate.objectives.rows import NO_PLACE, Row
from acclimate.objectives.vocabulary import Vocabulary
from tests.objectives.tiny import (
    BOS,
    CLS,
    EOS,
    MASK,
    PAD,
    SEP,
    bart_vocabulary,
    blank_vocabulary,
    decoder_vocabulary,
    t5_vocabulary,
    ul2_vocabulary,
    vocabulary,
)

TEXT = np.arange(10, 20)  # ids 10 … 19 at the places 0 … 9
# Places 2 and 3 stand together, 7 by itself.
HIDDEN = [2, 3, 7]


def made(name: str, known: Vocabulary, family: Family, **options: Any) -> Objective:
    found, settings = resolve_objective(name, options, family)
    return found(settings, known, max_length=64, seed=0)


def hide(objective: Objective, places: list[int] = HIDDEN) -> dict[str, Any]:
    row = Row.of_text(TEXT, objective.vocabulary, objective.frame)
    fields = objective.hide(row, np.isin(row.places, places))
    assert fields is not None
    return fields


MASKED = [
    made("mlm", vocabulary(), "encoder"),
    made("mlm_nsp", vocabulary(), "encoder"),
    made("mlm_sop", vocabulary(), "encoder"),
    made("rtd", vocabulary(), "encoder"),
    made("prefix_lm", vocabulary(), "encoder"),
]
ALL = [
    *MASKED,
    made("clm", decoder_vocabulary(), "decoder"),
    made("prefix_lm", decoder_vocabulary(), "decoder"),
    made("mntp", blank_vocabulary(), "decoder"),
    made("prefix_lm", blank_vocabulary(), "decoder", variant="blank_infilling"),
    made("span_denoising", t5_vocabulary(), "encoder-decoder"),
    made("span_denoising", ul2_vocabulary(), "encoder-decoder", mixture="ul2"),
    made("text_infilling", bart_vocabulary(), "encoder-decoder"),
    made("mass", bart_vocabulary(), "encoder-decoder"),
]


def ids_of(objective: Objective) -> str:
    return type(objective).__name__


@pytest.mark.parametrize("objective", ALL, ids=ids_of)
def test_what_is_asked_for_is_what_was_hidden(objective: Objective) -> None:
    fields = hide(objective)
    asked = fields["labels"] != IGNORE
    places = fields[LABEL_PLACES][asked]
    # The decoder of `mass` tells one stretch: the first one.
    assert places.tolist() == ([2, 3] if objective.name == "mass" else HIDDEN)
    assert fields["labels"][asked].tolist() == TEXT[places].tolist()
    # The batch has what the objective's own examples have.
    batch = objective.collate([fields])
    assert objective.padding().keys() <= batch.keys() and batch["head_positions"].shape == (len(places),)


@pytest.mark.parametrize("objective", MASKED, ids=ids_of)
def test_masks_stand_in_their_places(objective: Objective) -> None:
    fields = hide(objective)
    assert fields["input_ids"].tolist() == [CLS, 10, 11, MASK, MASK, 14, 15, 16, MASK, 18, 19, SEP]
    if "visibility" in fields:
        assert set(fields["visibility"].tolist()) == {BY_ALL}


def test_a_decoder_reads_all_that_is_before() -> None:
    clm, prefix = made("clm", decoder_vocabulary(), "decoder"), made("prefix_lm", decoder_vocabulary(), "decoder")
    assert hide(clm)["input_ids"].tolist() == [BOS, *TEXT]
    fields = hide(prefix)
    # The prefix ends before the first token that is asked for, at position 3 behind `<s>`.
    assert fields["visibility"].tolist() == [BY_ALL] * 3 + [BY_LATER] * 8


def test_a_first_token_without_a_beginning_token_is_not_asked_for() -> None:
    mntp = made("mntp", blank_vocabulary(bos=False), "decoder")
    fields = hide(mntp, [0, 4])
    assert fields[LABEL_PLACES][fields["labels"] != IGNORE].tolist() == [4]
    assert fields["input_ids"][0] == 10


def test_sentinels_stand_for_stretches() -> None:
    t5 = made("span_denoising", t5_vocabulary(), "encoder-decoder")
    first, second = t5.vocabulary.sentinels[:2]
    fields = hide(t5)
    assert fields["input_ids"].tolist() == [10, 11, first, 14, 15, 16, second, 18, 19, EOS]
    assert fields["decoder_input_ids"].tolist() == [PAD, first, 12, 13, second, 17]
    assert fields["labels"].tolist() == [IGNORE, 12, 13, IGNORE, 17, IGNORE]


def test_no_more_stretches_than_sentinels() -> None:
    t5 = made("span_denoising", t5_vocabulary(num_sentinels=20), "encoder-decoder")
    few = Row.of_text(np.arange(5, 75), t5.vocabulary, t5.frame)
    fields = t5.hide(few, few.candidates & (np.arange(len(few)) % 2 == 0))
    assert fields is not None
    assert (fields["labels"] != IGNORE).sum() == 20


def test_a_mode_stands_before_the_text_of_ul2() -> None:
    ul2 = made("span_denoising", ul2_vocabulary(), "encoder-decoder", mixture="ul2")
    assert hide(ul2)["input_ids"][0] == ul2.vocabulary.mode_ids["R"]


def test_one_mask_stands_for_a_stretch_and_the_whole_text_is_written() -> None:
    bart = made("text_infilling", bart_vocabulary(), "encoder-decoder")
    fields = hide(bart)
    assert fields["input_ids"].tolist() == [CLS, 10, 11, MASK, 14, 15, 16, MASK, 18, 19, SEP]
    # Each label behind its true neighbours.
    assert fields["decoder_input_ids"].tolist() == [EOS, CLS, *TEXT]


def test_mass_masks_all_and_tells_one_piece() -> None:
    mass = made("mass", bart_vocabulary(), "encoder-decoder")
    fields = hide(mass)
    assert fields["input_ids"].tolist() == [CLS, 10, 11, MASK, MASK, 14, 15, 16, MASK, 18, 19, SEP]
    assert fields["decoder_input_ids"][3:5].tolist() == [MASK, 12]


def test_blanks_are_told_behind_the_text_in_its_order() -> None:
    glm = made("prefix_lm", blank_vocabulary(), "decoder", variant="blank_infilling")
    assert glm.vocabulary.blank_ids is not None
    start = glm.vocabulary.blank_ids[0]
    fields = hide(glm)
    assert fields["input_ids"].tolist() == [BOS, 10, 11, MASK, 14, 15, 16, MASK, 18, 19, start, 12, 13, start, 17]
    assert fields["labels"][10:].tolist() == [12, 13, IGNORE, 17, IGNORE]


def test_the_rows_own_special_tokens_are_never_asked_for() -> None:
    mlm = made("mlm", vocabulary(), "encoder")
    row = Row.of_text(np.array([10, MASK, 12]), mlm.vocabulary, mlm.frame)
    fields = mlm.hide(row, np.ones(len(row), dtype=bool))
    assert fields is not None
    assert fields[LABEL_PLACES].tolist() == [NO_PLACE, 0, NO_PLACE, 2, NO_PLACE]
