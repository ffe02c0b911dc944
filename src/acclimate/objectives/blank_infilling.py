"""`prefix_lm` with `variant: blank_infilling` (GLM, Du et al. 2022, arXiv:2103.10360), on any decoder.

Spans of Poisson(3) length, 15 % of a text's tokens, are cut out. Part A is the text with one mask token for each span,
seen in both directions. Part B holds the spans in shuffled order, each behind a start token, and is generated left to
right: behind the start token its first token, behind its last token the end token. A token of part B has the position
of its blank in part A. (The paper's second position, within the span, has no place in architectures with one.)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from acclimate.errors import ModelError
from acclimate.objectives.base import (
    BY_ALL,
    BY_LATER,
    IGNORE,
    INPUT_PLACES,
    LABEL_PLACES,
    PADDING_SEGMENT,
    Batch,
    Fields,
    Objective,
    Part,
    TargetScores,
    model_inputs,
    token_scores,
)
from acclimate.objectives.mntp import NO_BLOOM
from acclimate.objectives.prefix_lm import PrefixLanguageModelingSettings, check_options
from acclimate.objectives.rows import NO_PLACE, Row
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.recipe import Section
from acclimate.tokens.packing import Plan, pack
from acclimate.tokens.store import Isolate, TokenStore
from acclimate.tokens.tokenizers import Frame


class BlankInfilling(Objective):
    """Generate what was cut out of a text. See the module's text for the rule."""

    name = "prefix_lm"
    summary = "spans cut out of a text, generated behind it in shuffled order"
    paper = "Du et al. 2022 (GLM, arXiv:2103.10360)"
    Settings = PrefixLanguageModelingSettings
    families = ("decoder",)
    unfit = {"bloom": NO_BLOOM, "mpt": NO_BLOOM}
    head = "causal-lm"
    needs = ("pad", "mask", "blanks")
    parts = (Part("prefix_lm", bits_per_byte=True),)
    directs = True

    settings: PrefixLanguageModelingSettings

    def __init__(self, settings: Section, vocabulary: Vocabulary, *, max_length: int, seed: int) -> None:
        check_options(settings, ("variant", "noise_density", "poisson_lambda"), "`variant: blank_infilling`")
        super().__init__(settings, vocabulary, max_length=max_length, seed=seed)
        if vocabulary.mask_id is None or vocabulary.blank_ids is None:
            raise ModelError("`blank_infilling` needs a mask token and tokens for the start and end of a blank")
        # Each span costs two tokens, its mask and its start: so many spans a token of text are provided for.
        self._spans_per_token = 1.3 * self.settings.noise_density / max(1.0, self.settings.poisson_lambda)

    def plan(self, store: TokenStore, *, isolate: Isolate, packed: bool) -> Plan:
        # Two tokens of the frame stand for the one span that every text has at least.
        frame = len(self.frame) + 2
        room = int((self.max_length - frame) / (1 + 2 * self._spans_per_token)) + frame
        return pack(store.spans(isolate), store.flags, row_length=room, frame_length=frame, packed=packed)

    @property
    def frame(self) -> Frame:
        return Frame(self.vocabulary.frame.prefix, ())

    def corrupt(self, row: Row, rng: np.random.Generator) -> Fields:
        parts = [self._blank(row.piece(segment), rng) for segment in range(row.num_pieces)]
        fields = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        fields["segment_ids"] = np.repeat(np.arange(len(parts)), [len(part["input_ids"]) for part in parts])
        return fields

    def _blank(self, piece: Row, rng: np.random.Generator) -> Fields:
        """One text: part A, then part B."""
        assert self.vocabulary.mask_id is not None and self.vocabulary.blank_ids is not None
        start_id, end_id = self.vocabulary.blank_ids
        spans = self._spans(piece, rng)
        taken = np.zeros(len(piece), dtype=bool)
        first = np.zeros(len(piece), dtype=bool)
        for span in spans:
            taken[span] = True
            first[span[0]] = True
        kept = ~taken | first
        ids = np.where(first, self.vocabulary.mask_id, piece.input_ids)[kept]
        places = np.where(taken, NO_PLACE, piece.places)[kept]
        positions = np.cumsum(kept) - 1
        count = len(ids)
        part_b = [spans[index] for index in rng.permutation(len(spans))]
        behind = [np.concatenate([[start_id], piece.input_ids[span]]) for span in part_b]
        asked = [np.concatenate([piece.input_ids[span], [end_id]]) for span in part_b]
        asked_places = [np.concatenate([piece.places[span], [NO_PLACE]]) for span in part_b]
        at = [np.full(len(span) + 1, positions[span[0]]) for span in part_b]
        nothing = np.empty(0, dtype=np.int64)
        return {
            "input_ids": np.concatenate([ids, *behind, nothing]).astype(np.int64),
            "labels": np.concatenate([np.full(count, IGNORE), *asked, nothing]).astype(np.int64),
            "position_ids": np.concatenate([np.arange(count), *at, nothing]).astype(np.int64),
            "visibility": np.concatenate(
                [np.full(count, BY_ALL), *(np.full(len(ids), BY_LATER) for ids in behind), nothing]
            ).astype(np.int64),
            INPUT_PLACES: np.concatenate(
                [places, *(np.concatenate([[NO_PLACE], piece.places[span]]) for span in part_b), nothing]
            ).astype(np.int64),
            LABEL_PLACES: np.concatenate([np.full(count, NO_PLACE), *asked_places, nothing]).astype(np.int64),
        }

    def _spans(self, piece: Row, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """What is cut out: stretches of neighbouring candidates, at least one, in the order of the text."""
        candidates = np.flatnonzero(piece.candidates)
        length = len(candidates)
        if length < 2:
            return []
        budget = min(max(1, int(np.floor(self.settings.noise_density * length + rng.random()))), length - 1)
        # As many as the row has room for, and as can have a token between them.
        most = min(1 + int(length * self._spans_per_token), length - budget + 1)
        sizes: list[int] = []
        left = budget
        while left:
            drawn = max(1, int(rng.poisson(self.settings.poisson_lambda)))
            # The last one there may be takes what is left, so that the share of tokens holds.
            sizes.append(left if len(sizes) == most - 1 else min(drawn, left))
            left -= sizes[-1]
        # The spans in random order (the last one was cut) among the tokens that stay, with one of these at least
        # between two of them.
        sizes = rng.permutation(sizes).tolist()
        gaps = np.sort(rng.permutation(length - budget + 1)[: len(sizes)])
        starts = gaps + np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        spans = [candidates[begin : begin + size] for begin, size in zip(starts, sizes, strict=True)]
        # A joint or special token within a span divides it. Should there be more spans then than the row has room for,
        # some of them stay in the text.
        parts = [part for span in spans for part in np.split(span, np.flatnonzero(np.diff(span) > 1) + 1)]
        return [parts[index] for index in np.sort(rng.permutation(len(parts))[:most])]

    def padding(self) -> Mapping[str, int]:
        return {
            "input_ids": self.vocabulary.pad_id or 0,
            "labels": IGNORE,
            "segment_ids": PADDING_SEGMENT,
            "position_ids": 0,
            "visibility": BY_ALL,
        }

    def scores(self, model: object, batch: Batch) -> tuple[TargetScores, ...]:
        # The labels are beside what they follow already: nothing is shifted.
        return (token_scores(model(**model_inputs(batch)).logits, batch),)  # type: ignore[operator]
