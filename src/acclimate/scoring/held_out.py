"""Held-out examples with stored masks, so that before and after are asked the very same questions.

The masks are a pure function of the text, the tokenizer and the objective's settings (their seed is fixed, whatever
the run's seed is, so that runs can be compared); they are written to disk nevertheless, so that a later version of
this package, or of a library, asks what the first one asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acclimate.artifacts import fingerprint, staged_folder, whole_manifest, write_manifest
from acclimate.objectives.base import LABEL_PLACES, Fields, Objective
from acclimate.objectives.rows import NO_PLACE
from acclimate.randomness import Purpose, generator
from acclimate.tokens.packing import Plan
from acclimate.tokens.store import Isolate, TokenStore

MASK_SEED = 0
KIND = "held-out examples"
# The field that says how many bytes of text each label stands for.
LABEL_BYTES = "label_bytes"


@dataclass(frozen=True)
class HeldOut:
    """Examples to score a model on.

    Attributes:
        examples: corrupted rows, as the objective makes them, and `label_bytes`.
        units: for each example, the unit that each of its segments belongs to ([segments] int64). A unit is what the
            bootstrap draws: a document; for files read by line, a held-out block of lines.
        num_units: how many units the text has.
        num_tokens: tokens in the examples, frames included.
        fingerprint: of what made them.
        settled: for each example the fields that depend on a model and are the same for all (`Objective.settle`).
    """

    examples: tuple[Fields, ...]
    units: tuple[NDArray[np.int64], ...]
    num_units: int
    num_tokens: int
    fingerprint: str
    settled: tuple[Fields, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.examples)

    def with_settled(self, settled: tuple[Fields, ...]) -> HeldOut:
        return replace(self, settled=settled)


def make_held_out(
    objective: Objective, store: TokenStore, *, isolate: Isolate, packed: bool, max_tokens: int | None
) -> HeldOut:
    """Cut a store into rows, choose some at random where there are more than `max_tokens`, and mask them."""
    plan = objective.plan(store, isolate=isolate, packed=packed)
    rows = _sample_rows(objective.row_lengths(plan, 0), max_tokens)
    examples = tuple(_example(objective, store, plan, int(row)) for row in rows)
    group_starts = store.groups[:, 0]
    units = tuple(np.searchsorted(group_starts, plan.row(int(row))[:, 0], side="right") - 1 for row in rows)
    return HeldOut(
        examples=examples,
        units=units,
        num_units=len(np.unique(np.concatenate(units))) if units else 0,
        num_tokens=sum(len(example["input_ids"]) for example in examples),
        fingerprint=held_out_fingerprint(objective, store, isolate=isolate, packed=packed, max_tokens=max_tokens),
    )


def _example(objective: Objective, store: TokenStore, plan: Plan, row: int) -> Fields:
    """The fields that the model needs, and how many bytes each label stands for."""
    fields = objective.example(store, plan, row)
    places = fields[LABEL_PLACES]
    num_bytes = np.where(places == NO_PLACE, 0, store.num_bytes[np.maximum(places, 0)])
    return {**{name: fields[name] for name in objective.padding()}, LABEL_BYTES: num_bytes}


def held_out_fingerprint(
    objective: Objective, store: TokenStore, *, isolate: Isolate, packed: bool, max_tokens: int | None
) -> str:
    """What a set of held-out examples depends on."""
    return fingerprint(
        {
            "store": store.fingerprint,
            "objective": objective.name,
            "settings": objective.settings.model_dump(mode="json"),
            "max_length": objective.max_length,
            "seed": objective.seed,
            "isolate": isolate,
            "packed": packed,
            "max_tokens": max_tokens,
        }
    )


def _sample_rows(row_lengths: NDArray[np.int64], max_tokens: int | None) -> NDArray[np.int64]:
    num_rows = len(row_lengths)
    if max_tokens is None or num_rows == 0:
        return np.arange(num_rows)
    order = generator(MASK_SEED, Purpose.SAMPLES).permutation(num_rows)
    within = np.cumsum(row_lengths[order]) <= max_tokens
    within[0] = True
    return np.sort(order[within])


def stored_held_out(
    folder: Path, objective: Objective, store: TokenStore, *, isolate: Isolate, packed: bool, max_tokens: int | None
) -> HeldOut:
    """The held-out examples in `folder`, where they are what is asked for; otherwise they are made and stored."""
    options = {"isolate": isolate, "packed": packed, "max_tokens": max_tokens}
    manifest = whole_manifest(folder, KIND)
    if manifest is not None and manifest.get("fingerprint") == held_out_fingerprint(objective, store, **options):  # type: ignore[arg-type]
        return _load(folder, manifest["num_units"], manifest["num_tokens"], manifest["fingerprint"])
    made = make_held_out(objective, store, isolate=isolate, packed=packed, max_tokens=max_tokens)
    with staged_folder(folder, replace=True) as staging:
        names = list(made.examples[0]) if made.examples else []
        for name in names:
            _save_ragged(staging / f"{name}.npz", [example[name] for example in made.examples])
        _save_ragged(staging / "units.npz", made.units)
        write_manifest(
            staging,
            KIND,
            {
                "fingerprint": made.fingerprint,
                "fields": names,
                "num_units": made.num_units,
                "num_tokens": made.num_tokens,
            },
        )
    return made


def _save_ragged(path: Path, arrays: Sequence[NDArray[np.int64]]) -> None:
    lengths = np.array([len(array) for array in arrays], dtype=np.int64)
    values = np.concatenate(arrays) if len(arrays) else np.empty(0, dtype=np.int64)
    np.savez_compressed(path, values=values.astype(np.int32), lengths=lengths)


def _load_ragged(path: Path) -> list[NDArray[np.int64]]:
    with np.load(path) as file:
        return np.split(file["values"].astype(np.int64), np.cumsum(file["lengths"])[:-1])


def _load(folder: Path, num_units: int, num_tokens: int, print_: str) -> HeldOut:
    fields = {path.stem: _load_ragged(path) for path in folder.glob("*.npz")}
    units = fields.pop("units")
    examples = tuple(dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True))
    return HeldOut(examples, tuple(units), num_units, num_tokens, print_)
