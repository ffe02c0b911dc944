"""Checkpoints: whole or absent, the newest whole one first."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from acclimate.artifacts import read_manifest
from acclimate.errors import ArtifactError, CheckpointError
from acclimate.training.checkpoints import (
    check_checkpoint,
    find_checkpoints,
    newest_whole_checkpoint,
    put_in_place,
    staging_folder,
)


def stage(run: Path, step: int, text: str = "state") -> None:
    """What the Trainer leaves in the staging folder."""
    folder = staging_folder(run) / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "optimizer.pt").write_text(text)
    (folder / "model.safetensors").write_text("weights")


def save(run: Path, step: int, text: str = "state") -> Path:
    stage(run, step, text)
    return put_in_place(run, step)


def test_a_checkpoint_appears_whole(tmp_path: Path) -> None:
    stage(tmp_path, 5)
    assert find_checkpoints(tmp_path) == []  # not yet
    folder = put_in_place(tmp_path, 5)
    assert folder == tmp_path / "checkpoint-5"
    assert not staging_folder(tmp_path).exists()
    manifest = read_manifest(folder, "checkpoint")
    assert manifest["step"] == 5
    assert manifest["files"] == {"model.safetensors": 7, "optimizer.pt": 5}
    check_checkpoint(folder)


def test_a_checkpoint_saved_again_replaces_the_old_one(tmp_path: Path) -> None:
    save(tmp_path, 5, "old state")
    save(tmp_path, 5, "new")
    assert (tmp_path / "checkpoint-5" / "optimizer.pt").read_text() == "new"
    check_checkpoint(tmp_path / "checkpoint-5")


def test_checkpoints_are_in_the_order_of_their_steps(tmp_path: Path) -> None:
    for step in (500, 1000, 90):
        save(tmp_path, step)
    for name in ("checkpoint-", "checkpoint-x", "checkpoint-5-old", "old-checkpoint-5", "checkpoint5"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint-7000").write_text("a file")
    assert [step for step, _ in find_checkpoints(tmp_path)] == [1000, 500, 90]
    assert newest_whole_checkpoint(tmp_path) == (tmp_path / "checkpoint-1000", [])


def test_without_checkpoints_there_is_none(tmp_path: Path) -> None:
    assert newest_whole_checkpoint(tmp_path) == (None, [])
    assert newest_whole_checkpoint(tmp_path / "missing") == (None, [])


def test_damaged_checkpoints_are_passed_over_and_told(tmp_path: Path) -> None:
    save(tmp_path, 10)
    cut, gone, foreign, weights_only, no_manifest = (save(tmp_path, step) for step in (20, 30, 40, 50, 60))
    (cut / "optimizer.pt").write_text("st")
    (gone / "model.safetensors").unlink()
    (foreign / "manifest.json").unlink()  # as transformers alone leaves it
    (weights_only / "optimizer.pt").unlink()
    stage(tmp_path, 50)
    (staging_folder(tmp_path) / "checkpoint-50" / "optimizer.pt").unlink()
    put_in_place(tmp_path, 50)
    (no_manifest / "manifest.json").write_text('{"kind": "checkpo')
    found, told = newest_whole_checkpoint(tmp_path)
    assert found == tmp_path / "checkpoint-10"
    assert [line.split()[1] for line in told] == [str(tmp_path / f"checkpoint-{step}") for step in (60, 50, 40, 30, 20)]
    for line, reason in zip(
        told,
        (
            "manifest.json cannot be read",
            "no optimizer state (it was saved with `save_only_model`)",
            "is not a checkpoint: it has no manifest.json of one",
            "model.safetensors is missing",
            "optimizer.pt has 2 bytes instead of 5",
        ),
        strict=True,
    ):
        assert reason in line


def test_a_writer_killed_before_the_rename_leaves_no_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, 10)
    stage(tmp_path, 20)  # and no more: the process was killed
    assert newest_whole_checkpoint(tmp_path) == (tmp_path / "checkpoint-10", [])


def test_a_full_disk_is_told_and_leaves_the_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 10)
    stage(tmp_path, 20)

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ArtifactError, match="the disk is full"):
        put_in_place(tmp_path, 20)
    assert newest_whole_checkpoint(tmp_path) == (tmp_path / "checkpoint-10", [])


def test_a_checkpoint_named_in_the_recipe_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="checkpoint .*nowhere cannot be used: .* does not exist"):
        check_checkpoint(tmp_path / "nowhere")
