"""Examples of an objective as a plain torch data set, for any training loop."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel  # type: ignore[import-untyped]
from numpy.typing import NDArray

from acclimate.errors import ModelError
from acclimate.interop.loss import check_single_part, loss_of_outputs, objective_loss
from acclimate.interop.texts import StoredTexts
from acclimate.models.loading import prepare_for_packs
from acclimate.objectives.base import HEAD_POSITIONS, Batch, Fields, Objective
from acclimate.scoring.held_out import make_held_out
from acclimate.scoring.score import named_measures, score
from acclimate.tokens.packing import Plan
from acclimate.tokens.store import JOINT, Isolate, TokenStore
from acclimate.training.stream import ExampleDataset, Order, permutation


class Example(UserDict[str, NDArray[Any]]):
    """The fields of one example. Not a `dict`: out of one the stock `Trainer` takes what it does not find in the
    signature of a model's forward, such as `segment_ids`."""


@dataclass(frozen=True)
class ExamplesLedger:
    """What became of some texts.

    Attributes:
        num_texts, num_empty_texts: texts that were read, and those left out, having no character but blanks.
        num_characters: of the texts that were read.
        num_tokens: of the texts.
        num_joints: tokens between texts, which the tokenizer's newline or separator stands for.
        num_unknown: of the texts' tokens, those that are the unknown token.
        num_left_out: of the texts' tokens, those that are in no row.
        num_rows: examples of one pass.
        num_row_tokens: tokens in them, frames and joints included, padding not.
        padding_share: of the places in rows of `max_length` that nothing stands in.
        notes: what else the objective has to say of its rows.
    """

    num_texts: int
    num_empty_texts: int
    num_characters: int
    num_tokens: int
    num_joints: int
    num_unknown: int
    num_left_out: int
    num_rows: int
    num_row_tokens: int
    padding_share: float
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        empty = f" ({self.num_empty_texts:,} empty ones left out)" if self.num_empty_texts else ""
        return "\n".join(
            [
                f"{self.num_texts:,} texts{empty}, {self.num_characters:,} characters, {self.num_tokens:,} tokens",
                f"{self.num_rows:,} rows, {self.padding_share:.2%} padding, {self.num_left_out:,} tokens left out",
                *self.notes,
            ]
        )


class Examples(torch.utils.data.Dataset[Example]):
    """The examples of an objective, as a data set of one pass over the texts. Made by `examples_for`.

    `examples[i]` is the example at place i of the current epoch, in the order of the seed; what it has masked depends
    on seed, epoch and row alone, not on workers. `set_epoch` says which epoch it is; the stock `Trainer` and
    `accelerate` call it. Without it every epoch is the first one.

    Attributes:
        objective: what they are examples of.
        ledger: what became of the texts.
        packed: whether rows hold several texts.
        seed: of order and masks.
        by_key: the same examples by their number in the endless stream of epochs, `epoch * len(examples) + row`; for a
            `StreamSampler`.
    """

    def __init__(
        self, objective: Objective, texts: StoredTexts, plan: Plan, *, isolate: Isolate, packed: bool, prepared: bool
    ) -> None:
        """
        Args:
            plan: the rows, at least one.
            isolate, packed: as the plan was made.
            prepared: whether the model that they are for takes packed rows.
        """
        self.objective = objective
        self.seed = objective.seed
        self.packed = packed
        self.by_key = _ByKey(objective, texts.store, plan)
        self.ledger = _ledger(objective, texts, plan)
        self._isolate = isolate
        self._prepared = prepared
        # In shared memory, so that persistent loader workers hear of a new epoch, too.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self._permutation: tuple[int, NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        return len(self.by_key)

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(f"example {index} of {len(self)}")
        epoch = int(self._epoch)
        if self._permutation is None or self._permutation[0] != epoch:
            self._permutation = epoch, permutation(len(self), epoch, self.seed)
        return cast(Example, self.by_key[epoch * len(self) + int(self._permutation[1][index])])

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch it is, from 0: each has an order and masks of its own."""
        self._epoch.fill_(epoch)

    def collate(self, examples: Sequence[Any]) -> Batch:
        """The `collate_fn` or `data_collator`: examples as one batch, {field: [B, L]}, padded to the longest."""
        # Every field is one that the forward of a plain model takes.
        batch = self.objective.collate(examples)
        return {name: values for name, values in batch.items() if name != HEAD_POSITIONS}

    # ---- loss --------------------------------------------------------------------------------------------------

    def counts(self, batches: Sequence[Batch]) -> torch.Tensor:
        """[P] float64: the targets of some batches, for each part of the loss. Summed over processes and accumulation
        steps they are what `loss` divides by."""
        return torch.stack([self.objective.counts(batch) for batch in batches]).sum(0)

    def loss(
        self, model: Any, batch: Batch, counts: torch.Tensor | None = None, *, num_processes: int = 1
    ) -> torch.Tensor:
        """The loss of a batch for any loop, a scalar with gradient; see `objective_loss`.

        Args:
            model: bare, with adapters or wrapped by `accelerate`; prepared for packed rows where it was not.
            batch: of `collate`, on the model's device.
            counts: of the whole optimizer step; default of this batch.
            num_processes: over which gradients are averaged.
        """
        if self.packed or self.objective.directs:
            prepare(model)
        return objective_loss(self.objective, model, batch, counts, num_processes=num_processes)

    @property
    def compute_loss(self) -> Any:
        """The `compute_loss_func` of the stock `Trainer`, exact under accumulation: (outputs, labels,
        num_items_in_batch) -> scalar.

        Raises:
            ModelError: it cannot be so for this objective or model; the mixin can.
        """
        check_single_part(self.objective)
        if not self._prepared:
            raise ModelError(
                "with `compute_loss_func` the Trainer runs the model by itself, on rows that it must be prepared for: "
                "give `model=` to `examples_for`, and where its type takes no packed rows, use "
                "`class MyTrainer(acclimate.ObjectiveTrainerMixin, Trainer)`"
            )
        return _OutputsLoss(self.objective)

    def score(self, model: Any, batch_size: int | None = None) -> dict[str, float]:
        """Exact measures of a model over one pass of the first epoch's examples, by name: `loss`, `accuracy`,
        `perplexity`, those of further parts with the part's name before them. The model's mode stays as it is."""
        if self.packed or self.objective.directs:
            prepare(model)
        store = self.by_key.store
        examples = make_held_out(self.objective, store, isolate=self._isolate, packed=self.packed, max_tokens=None)
        was_training = model.training
        try:
            return named_measures(score(model, self.objective, examples, batch_size=batch_size))
        finally:
            model.train(was_training)

    # ---- the stream of epochs ----------------------------------------------------------------------------------

    @property
    def order(self) -> Order:
        """Which key stands where in the stream; for a `StreamSampler`."""
        return Order.of(self.by_key, self.seed)

    def num_steps(self, num_epochs: float, examples_per_step: int) -> int:
        """Optimizer steps for some passes over the texts; the last one runs on into the next pass where it has to."""
        return max(1, -int(-len(self) * Fraction(num_epochs) // examples_per_step))

    def loader(
        self,
        batch_size: int,
        *,
        num_steps: int,
        first_step: int = 0,
        accumulation: int = 1,
        num_processes: int = 1,
        **options: Any,
    ) -> torch.utils.data.DataLoader[Any]:
        """The batches of some optimizer steps, of as many epochs as that takes.

        No example is dropped or repeated at the end of an epoch. What step s gets is a function of the seed and s: to
        resume is to begin with `first_step`.

        Args:
            batch_size: examples of a micro-batch on one process.
            num_steps: of the whole training; see `num_steps`.
            first_step: from 0; where to go on.
            accumulation: micro-batches in an optimizer step.
            num_processes: for a loader that `accelerator.prepare` will divide; every process gives the same number.
            options: of `torch.utils.data.DataLoader`, such as `num_workers`.
        """
        examples_per_step = batch_size * accumulation * num_processes
        sampler = _Stretch(self.order, first_step * examples_per_step, num_steps * examples_per_step)
        return torch.utils.data.DataLoader(self.by_key, batch_size, sampler=sampler, collate_fn=self.collate, **options)


class _ByKey(ExampleDataset):
    """`ExampleDataset` whose examples the stock `Trainer` leaves whole."""

    def __getitem__(self, key: int) -> Fields:
        return Example(super().__getitem__(key))  # type: ignore[return-value]

    def __getitems__(self, keys: Sequence[int]) -> list[Fields]:
        return [Example(fields) for fields in super().__getitems__(keys)]  # type: ignore[misc]


class _Stretch(torch.utils.data.Sampler[int]):
    """The keys at some positions of the stream."""

    # Keys that are worked out at a time.
    _CHUNK = 1 << 14

    def __init__(self, order: Order, start: int, end: int) -> None:
        self._order = order
        self._start = start
        self._end = end

    def __len__(self) -> int:
        return max(0, self._end - self._start)

    def __iter__(self) -> Iterator[int]:
        for start in range(self._start, self._end, self._CHUNK):
            yield from self._order.keys(start, min(start + self._CHUNK, self._end)).tolist()


class _OutputsLoss:
    """`loss_of_outputs` of an objective, with the names that the `Trainer` calls it by."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective

    def __call__(
        self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        return loss_of_outputs(self._objective, outputs, labels, num_items_in_batch)


def _ledger(objective: Objective, texts: StoredTexts, plan: Plan) -> ExamplesLedger:
    store = texts.store
    num_row_tokens = int(objective.row_lengths(plan, 0).sum())
    counts = store.manifest["tokens"]
    return ExamplesLedger(
        num_texts=texts.num_texts,
        num_empty_texts=texts.num_empty,
        num_characters=store.manifest["num_characters"],
        num_tokens=counts["text"],
        num_joints=counts["joints"],
        num_unknown=counts["unknown"],
        num_left_out=_num_left_out(store, plan),
        num_rows=len(plan),
        num_row_tokens=num_row_tokens,
        padding_share=1 - num_row_tokens / (len(plan) * objective.max_length),
        notes=tuple(objective.plan_notes(plan)),
    )


def _num_left_out(store: TokenStore, plan: Plan) -> int:
    """Tokens of texts that no piece of a plan covers."""
    edges = np.zeros(len(store) + 1, dtype=np.int64)
    np.add.at(edges, plan.pieces[:, 0], 1)
    np.add.at(edges, plan.pieces[:, 1], -1)
    covered = np.cumsum(edges[:-1]) > 0
    return int((~covered & ((store.flags[:] & JOINT) == 0)).sum())


def prepare(model: Any) -> Any:
    """Make a model keep the texts of a packed row apart: its forward takes `segment_ids` and `visibility` from then on.
    Without them it works as before. Once is enough; again does no harm.

    Args:
        model: a model of `transformers`, bare, with adapters, wrapped by `accelerate` or compiled; or a
            `GeneratorAndDiscriminator`.

    Returns:
        The same model.

    Raises:
        ModelError: models of its type do not take packed rows.
    """
    prepare_for_packs(unwrapped(model))
    return model


def unwrapped(model: Any) -> Any:
    """The model that DDP, FSDP or `torch.compile` have wrapped."""
    return extract_model_from_parallel(model, keep_torch_compile=False)
