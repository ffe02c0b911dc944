"""`prefix_lm` with `variant: blank_infilling` (GLM, Du et al. 2022, arXiv:2103.10360), on any decoder.

Spans of Poisson(3) length, 15 % of a text's tokens, are cut out. Part A is the text with one mask token for each span,
seen in both directions. Part B holds the spans in shuffled order, each behind a start token, and is generated left to
right: behind the start token its first token, behind its last token the end token. A token of part B has the position
of its blank in part A. (The paper's second position, within the span, has no place in architectures with one.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
)
from acclimate.objectives.mntp import NO_BLOOM
from acclimate.objectives.predictions import TargetScores, model_inputs, predict_tokens
from acclimate.objectives.prefix_lm import PrefixLanguageModelingSettings, check_options
from acclimate.objectives.rows import NO_PLACE, Row, begin_stretches, ranges
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
        firsts, sizes = self._spans(piece, rng)
        return self._cut_out(piece, firsts, sizes, rng.permutation(len(firsts)))

    def _cut_out(
        self, piece: Row, firsts: NDArray[np.int64], sizes: NDArray[np.int64], order: NDArray[np.int64]
    ) -> Fields:
        """`_blank` for the first tokens and lengths of what is cut out, and the order in which part B has it."""
        assert self.vocabulary.mask_id is not None and self.vocabulary.blank_ids is not None
        start_id, end_id = self.vocabulary.blank_ids
        taken = np.zeros(len(piece), dtype=bool)
        taken[ranges(firsts, sizes)] = True
        kept = ~taken
        kept[firsts] = True
        ids_a, places_a = piece.input_ids.copy(), piece.places.copy()
        ids_a[firsts], places_a[taken] = self.vocabulary.mask_id, NO_PLACE
        num_kept = int(np.count_nonzero(kept))

        firsts, sizes = firsts[order], sizes[order]
        tokens = ranges(firsts, sizes)
        # Where in part B a span's tokens are asked for: its end token is behind them, and its start token, which has
        # the place of the first one, is read for that.
        positions = (kept.cumsum() - 1)[firsts]
        asked = np.arange(len(tokens)) + np.arange(len(sizes)).repeat(sizes)
        behind, labels = (np.full(len(tokens) + len(sizes), token, dtype=np.int64) for token in (start_id, end_id))
        input_places, label_places = (np.full(len(behind), NO_PLACE, dtype=np.int64) for _ in range(2))
        behind[asked + 1] = labels[asked] = piece.input_ids[tokens]
        input_places[asked + 1] = label_places[asked] = piece.places[tokens]
        nothing = np.full(num_kept, NO_PLACE, dtype=np.int64)
        return {
            "input_ids": np.concatenate([ids_a[kept], behind]),
            "labels": np.concatenate([np.full(num_kept, IGNORE), labels]),
            "position_ids": np.concatenate([np.arange(num_kept), positions.repeat(sizes + 1)]),
            "visibility": np.repeat([BY_ALL, BY_LATER], [num_kept, len(behind)]),
            INPUT_PLACES: np.concatenate([places_a[kept], input_places]),
            LABEL_PLACES: np.concatenate([nothing, label_places]),
        }

    def hide(self, row: Row, hidden: NDArray[np.bool_]) -> Fields | None:
        tokens = np.flatnonzero(hidden & row.candidates)
        begins = begin_stretches(tokens).nonzero()[0]
        fields = self._cut_out(row, tokens[begins], np.diff(begins, append=len(tokens)), np.arange(len(begins)))
        labels = np.where(fields[LABEL_PLACES] == NO_PLACE, IGNORE, fields["labels"])
        return {**fields, "labels": labels, "segment_ids": np.zeros(len(labels), dtype=np.int64)}

    def _spans(self, piece: Row, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What is cut out, as the first token and the length of each stretch of neighbouring candidates: at least one,
        in the order of the text."""
        candidates = piece.candidates.nonzero()[0]
        length = len(candidates)
        if length < 2:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        budget = min(max(1, int(np.floor(self.settings.noise_density * length + rng.random()))), length - 1)
        # As many as the row has room for, and as can have a token between them.
        most = min(1 + int(length * self._spans_per_token), length - budget + 1)
        drawn: list[int] = []
        left = budget
        while left:
            size = max(1, int(rng.poisson(self.settings.poisson_lambda)))
            # The last one there may be takes what is left, so that the share of tokens holds.
            drawn.append(left if len(drawn) == most - 1 else min(size, left))
            left -= drawn[-1]
        # The spans in random order (the last one was cut) among the tokens that stay, with one of these at least
        # between two of them.
        sizes = rng.permutation(drawn)
        gaps = rng.permutation(length - budget + 1)[: len(sizes)]
        gaps.sort()
        numbers = ranges(gaps + sizes.cumsum() - sizes, sizes)
        # A joint or special token within a span divides it. Should there be more spans then than the row has room for,
        # some of them stay in the text.
        tokens = candidates[numbers]
        begins = begin_stretches(tokens).nonzero()[0]
        lengths = np.diff(begins, append=len(tokens))
        stay = rng.permutation(len(begins))[:most]
        stay.sort()
        return tokens[begins[stay]], lengths[stay]

    def padding(self) -> Mapping[str, int]:
        return {
            "input_ids": self.vocabulary.pad_id or 0,
            "labels": IGNORE,
            "segment_ids": PADDING_SEGMENT,
            "position_ids": 0,
            "visibility": BY_ALL,
        }

    def scores(self, model: Any, batch: Batch) -> tuple[TargetScores, ...]:
        # The labels are beside what they follow already: nothing is shifted.
        return (predict_tokens(model, model_inputs(batch, model=model), batch)[0],)
