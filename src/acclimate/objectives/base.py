"""What an objective is: which model it needs, which examples it cuts, what it corrupts, and its loss.

    TokenStore ──plan──► rows of pieces ──read──► Rows ──corrupt──► fields ──collate──► batch ──sums──► loss

The rows of a batch are read together, and corrupted together where the rule allows it (`examples`). An example's number
in the endless stream of epochs is its *key*: `key = epoch * len(plan) + row`. What the model gets for a key is a pure
function of (seed, key): the same in any batch, for any number of workers, processes or restarts. Nothing here divides a
loss: an objective returns sums over targets, and how many targets there are (`counts`, known before the forward); the
Trainer divides by the global count, so that accumulation and several processes change nothing.

Shape suffixes: B rows, L tokens in a row, N targets, P parts of the loss, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.objectives.rows import Row, Rows, read_rows
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.randomness import Purpose, generator
from acclimate.recipe import Section
from acclimate.tokens.packing import Plan, pack
from acclimate.tokens.store import BREAK, WORD_START, Isolate, Layer, TokenStore
from acclimate.tokens.tokenizers import Frame

if TYPE_CHECKING:
    from acclimate.objectives.predictions import TargetScores

IGNORE = -100  # a label that is no target, as everywhere in transformers
PADDING_SEGMENT = -1

# The field `visibility`: by whom of its segment a token is seen (`acclimate.models.attention` has the same numbers).
BY_ALL, BY_LATER, BY_EARLIER = 0, 1, 2

Batch = dict[str, torch.Tensor]
Fields = dict[str, NDArray[Any]]
Family = Literal["encoder", "decoder", "encoder-decoder"]
Need = Literal["pad", "eos", "mask", "sentinels", "blanks", "modes"]

# Fields that say where in the token stream an example's inputs and targets are from. They are for ledgers and for
# counting bytes, and do not travel to the model.
INPUT_PLACES = "input_places"
LABEL_PLACES = "label_places"
# Where the head is asked for tokens: [N], places in the rows of a batch laid end to end.
HEAD_POSITIONS = "head_positions"


@dataclass(frozen=True)
class Part:
    """One part of an objective's loss.

    Attributes:
        name: as it is logged and reported.
        weight: in the loss, of this part's mean over its targets.
        labels: the field of a batch that holds its labels, `IGNORE` where there is no target.
        classes: what the labels 0, 1, … mean, where targets are not tokens of the text.
        bits_per_byte: whether bits per byte of its targets' text is the measure to look at.
    """

    name: str
    weight: float = 1.0
    labels: str = "labels"
    classes: tuple[str, ...] = ()
    bits_per_byte: bool = False


class Objective(ABC):
    """A self-supervised objective.

    A subclass is one file: it sets the class attributes, and implements `corrupt`, `padding` and `scores`; `plan`,
    `examples`, `collate`, `counts` and `sums` have defaults that fit most.

    Class attributes:
        name: as in recipes and in the table `OBJECTIVES`.
        summary: one line for people.
        paper: where the rule is from.
        Settings: the options under `objective:` in a recipe.
        families: the model families that it fits.
        model_types: of these only the ones named; empty for all.
        unfit: model types that it cannot train, with the reason.
        head: which head the model needs, a row of `acclimate.models.heads.HEADS`.
        needs: tokens without which it does not work; those that a tokenizer lacks are added.
        parts: of the loss; the first one is the headline.
        packs: whether several texts may share a row.
        directs: whether its batches say by `visibility` which tokens see which, so that only model types work that can
            be told (those of `PACKING`).
        shift: how many places before its target a token's logits stand: 1 in a causal decoder.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    paper: ClassVar[str]
    Settings: ClassVar[type[Section]]
    families: ClassVar[tuple[Family, ...]]
    model_types: ClassVar[tuple[str, ...]] = ()
    unfit: ClassVar[Mapping[str, str]] = {}
    head: ClassVar[str]
    needs: ClassVar[tuple[Need, ...]] = ()
    parts: ClassVar[tuple[Part, ...]]
    packs: ClassVar[bool] = True
    directs: ClassVar[bool] = False
    shift: ClassVar[int] = 0

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

    @classmethod
    def resolve(cls, family: Family, settings: Section) -> type[Objective]:
        """The class that carries the objective out for a family of models and its options: this one, but where a name
        stands for several rules."""
        return cls

    @classmethod
    def needed(cls, settings: Section) -> tuple[Need, ...]:
        """The tokens without which the objective does not work with these options."""
        return cls.needs

    @property
    def layers(self) -> frozenset[Layer]:
        """What it reads of a token store beside ids, joints and breaks: "words" or "sentences", if its options need
        them. A store without them is built faster."""
        return frozenset()

    @property
    def breaks(self) -> int:
        """The flag of tokens before which a row may break: where words start, if the objective reads them."""
        return WORD_START if "words" in self.layers else BREAK

    @property
    def weights(self) -> tuple[float, ...]:
        """[P] the weight of each part in the loss."""
        return tuple(part.weight for part in self.parts)

    def head_options(self) -> Mapping[str, Any]:
        """What the head must be told beside the model's name; see `acclimate.models.heads`."""
        return {}

    # ---- documents to examples ---------------------------------------------------------------------------------

    def plan(self, store: TokenStore, *, isolate: Isolate, packed: bool) -> Plan:
        """Cut the store into rows.

        Args:
            store: the tokens of a corpus.
            isolate: "document", "group" or "none": what a piece may not cross.
            packed: several pieces in a row; otherwise one.

        Raises:
            DataError: the corpus has not what the objective needs, such as a second document.
            ArtifactError: the store was built without one of the objective's `layers`.
        """
        store.require(self.layers)
        return pack(
            store.spans(isolate),
            store.flags,
            row_length=self.max_length,
            frame_length=len(self.frame),
            packed=packed,
            breaks=self.breaks,
        )

    def plan_notes(self, plan: Plan) -> list[str]:
        """What the user should know of a plan, such as tokens that it has no place for."""
        return []

    def row_lengths(self, plan: Plan, epoch: int) -> NDArray[np.int64]:
        """[R] how many tokens each row has in an epoch, frames included, padding not."""
        return plan.row_lengths

    @property
    def frame(self) -> Frame:
        """What stands around each piece of a row."""
        return self.vocabulary.frame

    def example(self, store: TokenStore, plan: Plan, key: int) -> Fields:
        """What the model gets for a key: a pure function of the seed, the key, the store and the plan."""
        return self.examples(store, plan, [key])[0]

    def examples(self, store: TokenStore, plan: Plan, keys: Sequence[int]) -> list[Fields]:
        """The examples of some keys, made together; each is what it is by itself."""
        rows = self.read(store, plan, [key % len(plan) for key in keys])
        return self.corrupt_rows(rows, self.rngs(keys))

    def read(self, store: TokenStore, plan: Plan, numbers: Sequence[int]) -> Rows:
        """The rows of a plan of some numbers."""
        return read_rows(store, plan, numbers, self.vocabulary, self.frame)

    def rng(self, key: int) -> np.random.Generator:
        """The only source of chance for the example of a key."""
        return generator(self.seed, Purpose.CORRUPTION, key)

    def rngs(self, keys: Sequence[int]) -> list[np.random.Generator]:
        """`rng` of each key."""
        return [self.rng(key) for key in keys]

    @abstractmethod
    def corrupt(self, row: Row, rng: np.random.Generator) -> Fields:
        """What the model gets and what it must predict, for one row; no other source of chance than `rng`.

        Beside the fields of `padding` there are `input_places` and `label_places` ([L], beside `labels`): where in the
        token stream the inputs and targets are from.
        """

    def corrupt_rows(self, rows: Rows, rngs: Sequence[np.random.Generator]) -> list[Fields]:
        """`corrupt` of each row of a batch, with its own generator."""
        return [self.corrupt(row, rng) for row, rng in zip(rows, rngs, strict=True)]

    @abstractmethod
    def padding(self) -> Mapping[str, int]:
        """The fields of a batch, and what fills each up."""

    def collate(self, examples: Sequence[Fields], *, multiple: int = 1) -> Batch:
        """Put examples into one batch, padded to the longest: {field: [B, L]}; and `head_positions` [N], where in the
        rows laid end to end the logits of the first part's targets stand.

        Args:
            multiple: rows are padded to a multiple of it.
        """
        batch = {
            name: pad([example[name] for example in examples], fill, multiple) for name, fill in self.padding().items()
        }
        is_target = batch[self.parts[0].labels].ne(IGNORE)
        return {**batch, HEAD_POSITIONS: is_target.flatten().nonzero()[:, 0] - self.shift}

    # ---- chosen questions --------------------------------------------------------------------------------------

    def hide(self, row: Row, hidden: NDArray[np.bool_]) -> Fields | None:
        """What the model gets where it is asked for chosen tokens instead of random ones: the fields of `corrupt`, its
        labels those of the hidden tokens. An objective that reads from left to right hides nothing, and asks for the
        tokens behind what is before them.

        Args:
            row: one piece of text (`Row.of_text`).
            hidden: [L] which of its tokens are asked for; only candidates of the row are.

        Returns:
            None where the objective cannot be asked so.
        """
        return None

    # ---- loss --------------------------------------------------------------------------------------------------

    def counts(self, batch: Batch) -> torch.Tensor:
        """Number of targets in a batch for each part of the loss: [P] float64. Needs no model."""
        return torch.stack([batch[part.labels].ne(IGNORE).sum().double() for part in self.parts])

    @abstractmethod
    def scores(self, model: Any, batch: Batch) -> tuple[TargetScores, ...]:
        """Loss (differentiable) and correctness of every target, for each part of the loss."""

    def sums(self, model: Any, batch: Batch) -> torch.Tensor:
        """Sum of the losses over the targets, for each part: [P] float32, differentiable."""
        return torch.stack([part.total for part in self.scores(model, batch)])

    def settle(self, model: Any, batch: Batch) -> Mapping[str, torch.Tensor]:
        """Fields, beside those of `padding`, that depend on a model and are to be the same for every model compared
        with it: {field: [B, L]}. None for most objectives."""
        return {}


class InPlaceObjective(Objective):
    """An objective whose examples have the tokens of their rows, one for one: some replaced, none moved, added or taken
    out. So it corrupts all rows of a batch at once: a subclass implements `corrupt_tokens` in place of `corrupt`."""

    @abstractmethod
    def corrupt_tokens(self, rows: Rows, rngs: Sequence[np.random.Generator]) -> Fields:
        """`corrupt` for the rows of a batch end to end: fields of [T] for all of their tokens.

        What a row gets depends on itself and its own one of `rngs` alone.
        """

    def corrupt(self, row: Row, rng: np.random.Generator) -> Fields:
        return self.corrupt_tokens(Rows.of([row]), [rng])

    def corrupt_rows(self, rows: Rows, rngs: Sequence[np.random.Generator]) -> list[Fields]:
        return rows.split(self.corrupt_tokens(rows, rngs))


def pad(arrays: Sequence[NDArray[Any]], fill: int, multiple: int = 1) -> torch.Tensor:
    """Arrays of unequal length as one tensor, [B, L] int64, L a multiple of `multiple` and at least 1: no model takes a
    row of nothing, such as the targets of a text of one token."""
    length = -(-max(1, *map(len, arrays)) // multiple) * multiple
    padded = np.full((len(arrays), length), fill, dtype=np.int64)
    for index, array in enumerate(arrays):
        padded[index, : len(array)] = array
    return torch.from_numpy(padded)
