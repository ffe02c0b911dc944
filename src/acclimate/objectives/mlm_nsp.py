"""Masked language modeling with next-sentence prediction (BERT, Devlin et al. 2019, arXiv:1810.04805).

Each row is `[CLS] A [SEP] B [SEP]` with token types 0 and 1; B follows A in its document half of the time, and is from
a different document otherwise. The loss is that of masked tokens plus that of the verdict. Label 0 means "is next" and
1 "random", as in the classes of transformers. `sentence_pairs.py` says how pairs are made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field

from acclimate.objectives.base import PADDING_SEGMENT, Batch, Fields, Part
from acclimate.objectives.mlm import MaskedLanguageModeling, MaskedLanguageModelingSettings
from acclimate.objectives.predictions import TargetScores, model_inputs, predict_tokens
from acclimate.objectives.rows import Row, Rows, ranges, read_pieces
from acclimate.objectives.sentence_pairs import PairPlan, check_contexts, exchange, plan_pairs
from acclimate.recipe import Section
from acclimate.tokens.packing import Plan
from acclimate.tokens.store import Isolate, Layer, TokenStore


class SentencePairSettings(Section):
    """Options of `mlm_nsp` and `mlm_sop`.

    Attributes:
        mlm_probability: share of the tokens that are chosen.
        unit: what is chosen together: "token", "word" or "span".
    """

    mlm_probability: float = Field(0.15, gt=0, lt=1)
    unit: Literal["token", "word", "span"] = "token"


class MaskedLanguageModelingWithNextSentence(MaskedLanguageModeling):
    """Predict chosen tokens, and whether B follows A. See the module's text for the rule."""

    name = "mlm_nsp"
    summary = "masked tokens, and whether the second segment follows the first"
    paper = "Devlin et al. 2019 (BERT, arXiv:1810.04805)"
    Settings = SentencePairSettings
    model_types: ClassVar[tuple[str, ...]] = ("bert", "ernie", "megatron-bert")
    head = "pretraining"
    parts: ClassVar[tuple[Part, ...]] = (
        Part("mlm"),
        Part("nsp", labels="next_sentence_label", classes=("next", "random")),
    )
    packs = False

    # The output of the model that holds the verdict's logits: [B, 2].
    _verdict = "seq_relationship_logits"

    def masking_settings(self, settings: Section) -> MaskedLanguageModelingSettings:
        assert isinstance(settings, SentencePairSettings)
        return MaskedLanguageModelingSettings(mlm_probability=settings.mlm_probability, unit=settings.unit)

    @property
    def _frame_length(self) -> int:
        """Tokens around two segments: `[CLS]`, `[SEP]` and `[SEP]`."""
        return len(self.vocabulary.frame.prefix) + 2 * len(self.vocabulary.frame.suffix)

    @property
    def layers(self) -> frozenset[Layer]:
        return super().layers | {"sentences"}

    def plan(self, store: TokenStore, *, isolate: Isolate, packed: bool) -> Plan:
        store.require(self.layers)
        self.check_words(store)
        plan = plan_pairs(store, isolate, row_length=self.max_length, frame_length=self._frame_length, seed=self.seed)
        self._check(plan)
        return plan

    def _check(self, plan: PairPlan) -> None:
        check_contexts(plan, self.name)

    def plan_notes(self, plan: Plan) -> list[str]:
        assert isinstance(plan, PairPlan)
        notes = []
        if plan.num_truncated:
            notes.append(
                f"{plan.num_truncated:,} tokens of labelled pairs do not fit into {self.max_length} and are cut"
            )
        if plan.num_left_out:
            notes.append(f"{plan.num_left_out:,} tokens stand alone in their document, which makes no pair: left out")
        return notes

    def row_lengths(self, plan: Plan, epoch: int) -> NDArray[np.int64]:
        assert isinstance(plan, PairPlan)
        lengths = (plan.pieces[:, 1] - plan.pieces[:, 0]).reshape(-1, 2)
        partners, _ = self._arrangement(plan, epoch)
        total: NDArray[np.int64] = lengths[:, 0] + lengths[partners, 1] + self._frame_length
        return total

    def examples(self, store: TokenStore, plan: Plan, keys: Sequence[int]) -> list[Fields]:
        assert isinstance(plan, PairPlan)
        rngs = self.rngs(keys)
        pairs = [self._pair(plan, *divmod(key, len(plan)), rng) for key, rng in zip(keys, rngs, strict=True)]
        rows, token_type_ids = self._read(store, [pieces for pieces, _ in pairs])
        made = rows.split({**self.corrupt_tokens(rows, rngs), "token_type_ids": token_type_ids})
        name = self.parts[1].labels
        return [{**fields, name: np.array([label])} for fields, (_, label) in zip(made, pairs, strict=True)]

    def _pair(self, plan: PairPlan, epoch: int, number: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], int]:
        """The two pieces of a row in an epoch, [2, 2], and its label."""
        partners, labels = self._arrangement(plan, epoch)
        return plan.pieces[[2 * number, 2 * partners[number] + 1]], int(labels[number])

    def _arrangement(self, plan: PairPlan, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`exchange`, kept for the epoch at hand."""
        kept = getattr(self, "_kept", None)
        if kept is None or kept[0] is not plan or kept[1] != epoch:
            kept = (plan, epoch, exchange(plan, epoch, self.seed))
            self._kept = kept
        arrangement: tuple[NDArray[np.int64], NDArray[np.int64]] = kept[2]
        return arrangement

    def _read(self, store: TokenStore, pairs: Sequence[NDArray[np.int64]]) -> tuple[Rows, NDArray[np.int64]]:
        """`[CLS] A [SEP] B [SEP]` of each pair as a row of one text, and its token types: [T]."""
        rows = read_pieces(store, np.concatenate(pairs), np.full(len(pairs), 2), self.vocabulary, self.frame)
        # B has no beginning of its own.
        kept = (rows.tokens.segment_ids == 0) | (rows.tokens.position_ids >= len(self.frame.prefix))
        types = rows.tokens.segment_ids[kept]
        lengths = np.bincount(rows.row_ids[kept])
        tokens = dataclasses.replace(
            rows.tokens.only(kept),
            segment_ids=np.zeros(len(types), dtype=np.int64),
            position_ids=ranges(np.zeros_like(lengths), lengths),
        )
        return Rows(tokens, lengths), types

    def hide(self, row: Row, hidden: NDArray[np.bool_]) -> Fields | None:
        # One segment without a second one; what is said of a pair does not matter.
        fields = super().hide(row, hidden)
        nothing = {
            "token_type_ids": np.zeros(len(row), dtype=np.int64),
            self.parts[1].labels: np.zeros(1, dtype=np.int64),
        }
        return None if fields is None else {**fields, **nothing}

    def padding(self) -> Mapping[str, int]:
        return {**super().padding(), "token_type_ids": 0, self.parts[1].labels: PADDING_SEGMENT}

    def scores(self, model: Any, batch: Batch) -> tuple[TargetScores, ...]:
        tokens, output = predict_tokens(model, model_inputs(batch, "token_type_ids", model=model), batch)
        logits_BC = output[self._verdict].float()
        labels_B = batch[self.parts[1].labels][:, 0]
        zeros_B = torch.zeros_like(labels_B)
        losses_B = F.cross_entropy(logits_BC, labels_B, reduction="none")
        verdicts = TargetScores(
            losses=losses_B,
            correct=logits_BC.argmax(-1).eq(labels_B),
            labels=labels_B,
            rows=torch.arange(len(labels_B), device=labels_B.device),
            columns=zeros_B,
            segments=zeros_B,
            total=losses_B.sum(),
        )
        return tokens, verdicts
