"""How long training waits for its data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

# From this share on, waiting is shown, and what helps is said.
NOTICEABLE = 0.05


class WaitingClock:
    """Takes the time of a training loop that goes by in waiting; it runs from the first wait on."""

    def __init__(self) -> None:
        self._start: float | None = None
        self._last_asked = 0.0
        self._waited = 0.0
        self._waited_before = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """What happens within counts as waiting."""
        start = time.perf_counter()
        if self._start is None:
            self._start = self._last_asked = start
        try:
            yield
        finally:
            self._waited += time.perf_counter() - start

    def share(self) -> float:
        """Of the time since this was asked last; 0 before the first wait."""
        if self._start is None:
            return 0.0
        now = time.perf_counter()
        share = (self._waited - self._waited_before) / (now - self._last_asked)
        self._last_asked, self._waited_before = now, self._waited
        return share

    def overall_share(self) -> float:
        """Of all the time since the first wait; 0 before it."""
        return 0.0 if self._start is None else self._waited / (time.perf_counter() - self._start)


def advice(num_workers: int) -> str:
    """What to change where training waits for data, made by so many loader workers."""
    if num_workers == 0:
        return "`training.dataloader_num_workers: 2` makes examples in other processes, while the model computes"
    return f"more than {num_workers} `training.dataloader_num_workers` may help, where the machine has cores to spare"
