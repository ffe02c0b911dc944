"""Fixtures that tests of several packages use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real test data (corpora, tokenizers, checkpoints); tests that need it are skipped without one.

    It is named by the environment variable ACCLIMATE_TEST_DATA, or lies beside the repository in `shared/data`.
    """
    root = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("ACCLIMATE_TEST_DATA") or root.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}; set ACCLIMATE_TEST_DATA to its folder")
    return folder
