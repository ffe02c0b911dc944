"""Causal language modeling: predict the next token (GPT, Radford et al. 2018).

A text is framed as the tokenizer frames one at its beginning (`<s>`, say), and ends with EOS where it ends; where it
goes on in another row there is no EOS, since the text does not end there. The texts of a row are kept apart by
attention and positions. Without a BOS the first token of a piece is read and not predicted.

EOS is predicted, so that a model learns where texts end; so are the line breaks that join the lines of a file. The
unknown token, which some tokenizers put in place of text, is read and not predicted.
Rejected: the stream cut every `max_length` tokens with attention across documents, as `run_clm.py` has it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from acclimate.errors import ModelError
from acclimate.objectives.base import (
    IGNORE,
    INPUT_PLACES,
    LABEL_PLACES,
    PADDING_SEGMENT,
    Batch,
    Family,
    Fields,
    InPlaceObjective,
    Part,
)
from acclimate.objectives.predictions import TargetScores, model_inputs, predict_tokens
from acclimate.objectives.rows import NO_PLACE, Row, Rows
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.recipe import Section
from acclimate.tokens.packing import Plan, pack
from acclimate.tokens.store import JOINT, Isolate, TokenStore
from acclimate.tokens.tokenizers import Frame


class CausalLanguageModelingSettings(Section):
    """Options of `objective: {name: clm}`: there are none."""


@dataclasses.dataclass(frozen=True, eq=False)
class EndedPlan(Plan):
    """A plan whose texts end with a place for EOS.

    Attributes:
        ends: places in the token stream, ascending, that are EOS whatever stands there.
    """

    ends: NDArray[np.int64]


class CausalLanguageModeling(InPlaceObjective):
    """Predict each token from those before it. See the module's text for the rule."""

    name = "clm"
    summary = "each token predicted from those before it"
    paper = "Radford et al. 2018 (GPT)"
    Settings: ClassVar[type[Section]] = CausalLanguageModelingSettings
    families: ClassVar[tuple[Family, ...]] = ("decoder",)
    head = "causal-lm"
    needs = ("pad", "eos")
    parts = (Part("clm", bits_per_byte=True),)
    shift = 1

    def __init__(self, settings: Section, vocabulary: Vocabulary, *, max_length: int, seed: int) -> None:
        super().__init__(settings, vocabulary, max_length=max_length, seed=seed)
        if vocabulary.eos_id is None:
            raise ModelError(
                "`clm` ends texts with EOS, and this tokenizer has none; give the tokenizer an `eos_token`"
            )

    def plan(self, store: TokenStore, *, isolate: Isolate, packed: bool) -> Plan:
        spans, ends = ended_spans(store, isolate)
        plan = pack(spans, store.flags, row_length=self.max_length, frame_length=len(self.frame), packed=packed)
        return EndedPlan(plan.rows, plan.pieces, plan.row_length, plan.frame_length, ends)

    @property
    def frame(self) -> Frame:
        return Frame(self.vocabulary.frame.prefix, ())

    def read(self, store: TokenStore, plan: Plan, numbers: Sequence[int]) -> Rows:
        assert isinstance(plan, EndedPlan)
        return end_texts(super().read(store, plan, numbers), plan.ends, self.vocabulary)

    def corrupt_tokens(self, rows: Rows, rngs: Sequence[np.random.Generator]) -> Fields:
        row = rows.tokens
        # Of special tokens only those that end or join texts are predicted.
        targets = (row.places != NO_PLACE) & (row.position_ids > 0) & self.vocabulary.text_ids[row.input_ids]
        return {
            "input_ids": row.input_ids,
            "labels": np.where(targets, row.input_ids, IGNORE),
            "segment_ids": row.segment_ids,
            "position_ids": row.position_ids,
            INPUT_PLACES: row.places,
            LABEL_PLACES: np.where(targets, row.places, NO_PLACE),
        }

    def hide(self, row: Row, hidden: NDArray[np.bool_]) -> Fields | None:
        fields = CausalLanguageModeling.corrupt_tokens(self, Rows.of([row]), [])
        asked = hidden & row.candidates
        return {
            **fields,
            "labels": np.where(asked, fields["labels"], IGNORE),
            LABEL_PLACES: np.where(asked, fields[LABEL_PLACES], NO_PLACE),
        }

    def padding(self) -> Mapping[str, int]:
        return {
            "input_ids": self.vocabulary.pad_id or 0,
            "labels": IGNORE,
            "segment_ids": PADDING_SEGMENT,
            "position_ids": 0,
        }

    def scores(self, model: Any, batch: Batch) -> tuple[TargetScores, ...]:
        return (predict_tokens(model, model_inputs(batch, model=model), batch, shift=self.shift)[0],)


def ended_spans(store: TokenStore, isolate: Isolate) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The stretches of a store with one joint token more behind each, and the places of these, which become EOS.

    With `isolate: none` texts are joined already, by EOS where the tokenizer has one.
    """
    spans = store.spans(isolate)
    if isolate == "none" or len(spans) == 0:
        return spans, np.empty(0, dtype=np.int64)
    ends = spans[:, 1]
    has_joint = ends < len(store)
    has_joint[has_joint] = (store.flags[ends[has_joint]] & JOINT) != 0
    return np.stack([spans[:, 0], ends + has_joint], axis=1), ends[has_joint]


def end_texts(rows: Rows, ends: NDArray[np.int64], vocabulary: Vocabulary) -> Rows:
    """The rows with EOS at those of their places that are in `ends`. A piece crosses none: it can only end with one."""
    assert vocabulary.eos_id is not None
    if len(ends) == 0 or len(rows.tokens) == 0:
        return rows
    last = np.flatnonzero(np.diff(rows.piece_ids, append=-1))
    places = rows.tokens.places[last]
    # `ends` is ascending and may be long, the rows are short.
    nearest = ends[np.minimum(np.searchsorted(ends, places), len(ends) - 1)]
    input_ids = rows.tokens.input_ids.copy()
    input_ids[last[nearest == places]] = vocabulary.eos_id
    return dataclasses.replace(rows, tokens=dataclasses.replace(rows.tokens, input_ids=input_ids))
