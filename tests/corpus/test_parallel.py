"""Work spread over processes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from acclimate.corpus.parallel import default_workers, map_in_order
from acclimate.errors import DataError


def slower_first(number: int) -> tuple[int, int]:
    time.sleep(0.05 if number == 0 else 0)
    return number, os.getpid()


def refuse(number: int) -> int:
    if number == 3:
        raise DataError("three")
    return number


@pytest.mark.parametrize("num_workers", [1, 2])
def test_results_come_in_order(num_workers: int) -> None:
    results = list(map_in_order(slower_first, range(20), num_workers))
    assert [number for number, _ in results] == list(range(20))
    assert (os.getpid() in {process for _, process in results}) == (num_workers == 1)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_an_error_comes_through(num_workers: int) -> None:
    results = map_in_order(refuse, range(10), num_workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match="three"):
        next(results)


def test_no_more_tasks_are_taken_than_results_may_wait() -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = map_in_order(refuse, tasks(), 2, ahead=2)
    assert next(results) == 0
    assert len(taken) == 4  # two for each worker
    results.close()  # type: ignore[attr-defined]
    assert len(taken) == 4


def test_the_default_is_what_the_machine_has() -> None:
    assert 1 <= default_workers() <= 8
