"""Checkpoints of a run: whole or absent, and which one to go on from."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from acclimate.artifacts import read_manifest, sync_files, write_manifest
from acclimate.errors import ArtifactError, CheckpointError, writing_to

STAGING = ".checkpoint.partial"
_NAME = re.compile(r"checkpoint-(\d+)")


def staging_folder(run_folder: Path) -> Path:
    """Where a checkpoint is written before it is whole."""
    return run_folder / STAGING


def put_in_place(run_folder: Path, step: int) -> Path:
    """Give a completely written checkpoint its manifest and its name."""
    staged = staging_folder(run_folder) / f"checkpoint-{step}"
    target = run_folder / staged.name
    with writing_to(run_folder):
        sync_files(staged)
        write_manifest(staged, "checkpoint", {"step": step})
        if target.exists():
            shutil.rmtree(target)
        os.rename(staged, target)
        shutil.rmtree(staging_folder(run_folder), ignore_errors=True)
    return target


def find_checkpoints(run_folder: Path) -> list[tuple[int, Path]]:
    """Every folder that has a checkpoint's name, as (step, folder), newest first."""
    if not run_folder.is_dir():
        return []
    found = [
        (int(match[1]), path)
        for path in run_folder.iterdir()
        if path.is_dir() and (match := _NAME.fullmatch(path.name))
    ]
    return sorted(found, reverse=True)


def newest_whole_checkpoint(run_folder: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that is whole, or None; and why newer ones were passed over."""
    passed_over = []
    for _, path in find_checkpoints(run_folder):
        try:
            check_checkpoint(path)
        except CheckpointError as error:
            passed_over.append(str(error))
        else:
            return path, passed_over
    return None, passed_over


def checkpoint_step(path: Path) -> int:
    """The step at which a whole checkpoint was saved."""
    return int(read_manifest(path, "checkpoint")["step"])


def check_checkpoint(path: Path) -> None:
    """Raise a `CheckpointError` unless this is a whole checkpoint of ours that training can go on from."""
    try:
        read_manifest(path, "checkpoint")
    except ArtifactError as error:
        raise CheckpointError(f"checkpoint {path} cannot be used: {error}") from error
    if not (path / "optimizer.pt").is_file():
        raise CheckpointError(
            f"checkpoint {path} has no optimizer state (it was saved with `save_only_model`); training cannot go on "
            "from it"
        )
