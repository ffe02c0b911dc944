"""An example is the same whatever batch it is made in: every objective, every grouping of keys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from acclimate.models.families import family
from acclimate.objectives import resolve_objective
from acclimate.objectives.base import Fields, Objective
from acclimate.training.stream import ExampleDataset, ReplayDataset
from tests.golden.losses import MODELS, VARIANTS, known_vocabulary
from tests.models.tiny import tiny_config
from tests.objectives.checks import texts
from tests.objectives.tiny import memory_store

# What else changes how examples are made.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "mlm": [{"unit": "word"}, {"unit": "span"}, {"masks_per_text": 2}, {"unit": "span", "masks_per_text": 2}],
    "mlm_nsp": [{"unit": "span"}],
    "rtd": [{"unit": "word"}],
    "mntp": [{"unit": "span"}],
}
CASES = [(name, {**VARIANTS.get(name, {}), **options}) for name in MODELS for options in [{}, *OPTIONS.get(name, [])]]


def made(name: str, options: dict[str, Any]) -> tuple[Objective, Any, Any]:
    """An objective with a store of texts of 3 to 60 tokens, some of them unknown, and its plan of rows."""
    objective, settings = resolve_objective(name.split()[0], options, family(tiny_config(MODELS[name][0])))
    subject = objective(settings, known_vocabulary(name), max_length=32, seed=1)
    flags = [[int(number % 3 == 0) for number in range(len(text))] for text in texts(30)]
    store: Any = memory_store(texts(30, first=1), flags=flags)
    return subject, store, subject.plan(store, isolate="document", packed=subject.packs)


def check_equal(found: list[Fields], expected: list[Fields]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for field, values in one.items():
            assert values.dtype == other[field].dtype == np.int64, field
            assert np.array_equal(values, other[field]), field


@pytest.mark.parametrize(("name", "options"), CASES)
def test_an_example_is_the_same_in_any_batch(name: str, options: dict[str, Any]) -> None:
    subject, store, plan = made(name, options)
    # Three epochs in some order, in batches of 1 to 9; some keys twice.
    rng = np.random.default_rng(0)
    keys = rng.permutation(np.repeat(np.arange(3 * len(plan)), 2)).tolist()
    cuts = np.cumsum(rng.integers(1, 10, len(keys)))
    found: list[Fields] = []
    for start, end in zip([0, *cuts], cuts, strict=False):
        if start < len(keys):
            found += subject.examples(store, plan, keys[start:end])
    alone = made(name, options)[0]
    check_equal(found, [alone.example(store, plan, key) for key in keys])


def test_a_row_that_the_plan_has_not_is_refused() -> None:
    subject, store, plan = made("mlm", {})
    with pytest.raises(IndexError, match="of a plan of"):
        subject.read(store, plan, [0, len(plan)])


def test_replayed_examples_come_in_their_places() -> None:
    documents, general = (ExampleDataset(*made("mlm", {})) for _ in range(2))
    dataset = ReplayDataset(documents, general, 0.5)
    keys = [3, -1, 0, -4, -2, 7]
    check_equal(dataset.__getitems__(keys), [dataset[key] for key in keys])
    check_equal(dataset.__getitems__([-3]), [general[2]])


class _Spying(ExampleDataset):
    """Examples with what their process is like."""

    def __getitems__(self, keys: Any) -> list[Fields]:
        told = [torch.get_num_threads(), int(torch.cuda.is_initialized()), torch.utils.data.get_worker_info().id]
        return [{**fields, "position_ids": np.array(told)} for fields in super().__getitems__(keys)]


def test_workers_have_one_thread_each_and_leave_accelerators_alone() -> None:
    subject, store, plan = made("mlm", {})
    loader = torch.utils.data.DataLoader(
        _Spying(subject, store, plan), batch_size=2, num_workers=2, collate_fn=subject.collate
    )
    told = {tuple(row) for batch in loader for row in batch["position_ids"].tolist()}
    assert told == {(1, 0, 0), (1, 0, 1)}
