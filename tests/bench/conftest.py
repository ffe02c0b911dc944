"""The benchmarks are scripts, not a package: their folder is put on the path while these tests run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture(autouse=True)
def bench_on_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(BENCH)
    yield BENCH
