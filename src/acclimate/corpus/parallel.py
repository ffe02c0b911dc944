"""Spread work over processes and take the results in order, with a bounded number of them in memory."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def default_workers() -> int:
    """As many processes as this process may use cores, at most 8."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 8)


def map_in_order(
    function: Callable[[Task], Result], tasks: Iterable[Task], num_workers: int, *, ahead: int = 3
) -> Iterator[Result]:
    """Like `map`, over `num_workers` processes; 1 or fewer: in this one. At most `ahead` results a worker wait."""
    if num_workers <= 1:
        yield from map(function, tasks)
        return
    # Forked workers start at once and need nothing imported again; they touch no library with threads of its own.
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    with ProcessPoolExecutor(num_workers, mp_context=multiprocessing.get_context(method)) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(function, task))
                if len(waiting) >= num_workers * ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
