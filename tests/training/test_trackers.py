"""Trackers never ask for a key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from acclimate.training.trackers import check_trackers, never_ask


@pytest.fixture(autouse=True)
def no_wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_wandb_without_a_key_records_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "")
    said = never_ask(["wandb"])
    assert said is not None and "offline" in said
    assert os.environ["WANDB_MODE"] == "offline"


def test_wandb_with_a_key_or_a_mode_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k")
    assert never_ask("wandb") is None
    monkeypatch.delenv("WANDB_API_KEY")
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password k\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert never_ask("wandb") is None
    assert "WANDB_MODE" not in os.environ


def test_none_is_none() -> None:
    assert check_trackers("none") == [] and check_trackers(None) == []
    assert never_ask("none") is None
