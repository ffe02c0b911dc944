"""What an objective is: which model it needs, which examples it cuts, what it corrupts, and its loss.

    TokenStore ──plan──► rows of pieces ──read_row──► Row ──corrupt──► fields ──collate──► batch ──sums──► loss

An example's number in the endless stream of epochs is its *key*: `key = epoch * len(plan) + row`. What the model gets
for a key is a pure function of (seed, key): the same for any number of workers, processes or restarts. Nothing here
divides a loss: an objective returns sums over targets, and how many targets there are (`counts`, known before the
forward); the Trainer divides by the global count, so that accumulation and several processes change nothing.

Shape suffixes: B rows, L tokens in a row, N targets, P parts of the loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from acclimate.randomness import Purpose, generator
from acclimate.recipe import Section
from acclimate.tokens.packing import Plan, pack
from acclimate.tokens.store import JOINT, WORD_START, Isolate, TokenStore
from acclimate.tokens.tokenizers import Frame, text_frame

IGNORE = -100  # a label that is no target, as everywhere in transformers
PADDING_SEGMENT = -1

Batch = dict[str, torch.Tensor]
Fields = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Vocabulary:
    """What an objective must know of a tokenizer: plain data, so that it travels to loader workers.

    Attributes:
        size: number of ids.
        special: [size] bool; control tokens, which are never chosen, predicted or produced.
        regular_ids: the ids that are not special.
        pad_id, mask_id: None where the tokenizer has none.
        frame: what the tokenizer puts before and after one text.
    """

    size: int
    special: NDArray[np.bool_]
    regular_ids: NDArray[np.int64]
    pad_id: int | None
    mask_id: int | None
    frame: Frame

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
        size = len(tokenizer)
        special = np.zeros(size, dtype=bool)
        special[[i for i in tokenizer.all_special_ids if i < size]] = True
        control = [i for i, token in tokenizer.added_tokens_decoder.items() if token.special]
        special[control] = True
        return cls(
            size=size,
            special=special,
            regular_ids=np.flatnonzero(~special),
            pad_id=tokenizer.pad_token_id,
            mask_id=tokenizer.mask_token_id,
            frame=text_frame(tokenizer),
        )


@dataclass(frozen=True)
class Row:
    """One row before corruption, without padding.

    Attributes:
        input_ids: [L] int64, each piece framed as the tokenizer frames a text.
        candidates: [L] bool; tokens of the text itself: no frame, no joint, no special token.
        word_starts: [L] bool; where a word begins. The first token of a piece begins one.
        segment_ids: [L] int64; which piece of the row a token belongs to, from 0.
        position_ids: [L] int64; position within the piece, frame included, from 0.
    """

    input_ids: NDArray[np.int64]
    candidates: NDArray[np.bool_]
    word_starts: NDArray[np.bool_]
    segment_ids: NDArray[np.int64]
    position_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True)
class TargetScores:
    """How well a model met the targets of one part of an objective in a batch; each [N].

    `rows` and `segments` say where in the batch a target lies: which row, and which piece of it.
    """

    losses: torch.Tensor
    correct: torch.Tensor
    rows: torch.Tensor
    segments: torch.Tensor


class Objective(ABC):
    """A self-supervised objective.

    A subclass is one file: it sets the class attributes, and implements `corrupt`, `padding`, `counts` and `scores`;
    `sums`, `plan` and `collate` have defaults that fit most.

    Class attributes:
        name: as in recipes and in the table `OBJECTIVES`.
        summary: one line for people.
        paper: where the rule is from.
        Settings: the options under `objective:` in a recipe.
        families: the model families that it fits.
        auto_class: the `transformers` class with the right head.
        parts: names of the loss's parts; `weights` their weights.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    paper: ClassVar[str]
    Settings: ClassVar[type[Section]]
    families: ClassVar[tuple[str, ...]]
    auto_class: ClassVar[str]
    parts: ClassVar[tuple[str, ...]]
    weights: ClassVar[tuple[float, ...]] = (1.0,)

    def __init__(self, settings: Section, vocabulary: Vocabulary, *, max_length: int, seed: int) -> None:
        """
        Args:
            settings: the objective's options.
            vocabulary: of the model's tokenizer.
            max_length: tokens in a row, frames included.
            seed: of every choice that the objective makes.

        Raises:
            ModelError: the tokenizer lacks a token that the objective needs.
        """
        self.settings = settings
        self.vocabulary = vocabulary
        self.max_length = max_length
        self.seed = seed

    def plan(self, store: TokenStore, *, isolate: Isolate, packed: bool) -> Plan:
        """Cut the store into rows.

        Args:
            store: the tokens of a corpus.
            isolate: "document", "group" or "none": what a piece may not cross.
            packed: several pieces in a row; otherwise one.
        """
        return pack(
            store.spans(isolate),
            store.flags,
            row_length=self.max_length,
            frame_length=len(self.vocabulary.frame),
            packed=packed,
        )

    def example(self, store: TokenStore, plan: Plan, key: int) -> Fields:
        """What the model gets for a key: a pure function of the seed, the key, the store and the plan."""
        row = self.read_row(store, plan.row(key % len(plan)))
        return self.corrupt(row, generator(self.seed, Purpose.CORRUPTION, key))

    def read_row(self, store: TokenStore, pieces: NDArray[np.int64]) -> Row:
        """The tokens of some pieces ([k, 2] token ranges of the store), each framed."""
        frame = self.vocabulary.frame
        prefix = np.array(frame.prefix, dtype=np.int64)
        suffix = np.array(frame.suffix, dtype=np.int64)
        ids, inside, starts, segments, positions = [], [], [], [], []
        # Joints are ours, not the text's: nobody should learn to predict them.
        for segment, (start, end) in enumerate(pieces):
            ids += [prefix, store.ids[start:end].astype(np.int64), suffix]
            within = np.zeros(len(prefix) + int(end - start) + len(suffix), dtype=bool)
            within[len(prefix) : len(within) - len(suffix)] = (store.flags[start:end] & JOINT) == 0
            word_starts = np.zeros(len(within), dtype=bool)
            word_starts[len(prefix) : len(within) - len(suffix)] = store.flags[start:end] & WORD_START
            word_starts[len(prefix)] = True
            inside.append(within)
            starts.append(word_starts)
            segments.append(np.full(len(within), segment, dtype=np.int64))
            positions.append(np.arange(len(within), dtype=np.int64))
        input_ids = np.concatenate(ids)
        return Row(
            input_ids=input_ids,
            candidates=np.concatenate(inside) & ~self.vocabulary.special[input_ids],
            word_starts=np.concatenate(starts),
            segment_ids=np.concatenate(segments),
            position_ids=np.concatenate(positions),
        )

    @abstractmethod
    def corrupt(self, row: Row, rng: np.random.Generator) -> Fields:
        """What the model gets and what it must predict, for one row; no other source of chance than `rng`."""

    @abstractmethod
    def padding(self) -> Mapping[str, int]:
        """What fills up each field of an example in a batch."""

    def collate(self, examples: Sequence[Fields]) -> Batch:
        """Put examples into one batch, padded to the longest: {field: [B, L]}."""
        padding = self.padding()
        batch: Batch = {}
        for name, fill in padding.items():
            length = max(len(example[name]) for example in examples)
            padded = np.full((len(examples), length), fill, dtype=np.int64)
            for index, example in enumerate(examples):
                padded[index, : len(example[name])] = example[name]
            batch[name] = torch.from_numpy(padded)
        return batch

    @abstractmethod
    def counts(self, batch: Batch) -> torch.Tensor:
        """Number of targets in a batch for each part of the loss: [P] float64. Needs no model."""

    @abstractmethod
    def scores(self, model: Any, batch: Batch) -> tuple[TargetScores, ...]:
        """Loss (differentiable) and correctness of every target, for each part of the loss."""

    def sums(self, model: Any, batch: Batch) -> torch.Tensor:
        """Sum of the losses over the targets, for each part: [P] float32, differentiable."""
        return torch.stack([part.losses.sum() for part in self.scores(model, batch)])


def model_inputs(batch: Batch, *names: str) -> Batch:
    """The fields of a batch that the model's forward takes.

    Packed rows carry `segment_ids` and `position_ids`; rows of one text are told apart from padding by an
    `attention_mask`, which every architecture understands.
    """
    inputs = {name: batch[name] for name in ("input_ids", *names) if name in batch}
    segments = batch["segment_ids"]
    if bool((segments > 0).any()):
        return {**inputs, "segment_ids": segments, "position_ids": batch["position_ids"]}
    return {**inputs, "attention_mask": segments.ne(PADDING_SEGMENT).long()}
