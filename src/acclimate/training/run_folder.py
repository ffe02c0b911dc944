"""The run folder: a Hugging Face checkpoint folder with a manifest that says how far the run has come.

RUN/
  config.json, model.safetensors, tokenizer…   the trained model, as `from_pretrained` takes it
  README.md          the model card; the user's own once it is there
  manifest.json      what made it, and whether it is running, interrupted or finished
  recipe.yaml        the full recipe as run
  metrics.jsonl      one line for each log of the Trainer
  checkpoint-500/    what training goes on from
  base/              the model before training, where it is not simply the one that the recipe names
  evaluation/        stored masks and figures
"""

from __future__ import annotations

import datetime
import os
import platform
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import acclimate
from acclimate.artifacts import find_manifest, staged_folder, write_json, write_manifest
from acclimate.errors import ArtifactError, CheckpointError, RecipeError, writing_to

KIND = "run"
CARD = "README.md"
Status = Literal["new", "running", "interrupted", "finished"]
_LIBRARIES = ("torch", "transformers", "tokenizers", "accelerate", "numpy")


class RunFolder:
    """A run on disk, by its folder. `manifest` is what was read last; `update` writes it."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.manifest: dict[str, Any] = {}

    @property
    def status(self) -> Status:
        status: Status = self.manifest.get("status", "new")
        return status

    def update(self, **changes: Any) -> None:
        """Change the manifest and write it."""
        self.manifest.update(changes)
        with writing_to(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        content = {key: value for key, value in self.manifest.items() if key not in ("kind", "files")}
        write_manifest(self.path, KIND, content, names=self.manifest.get("files", {}))

    def save_model(self, save: Any) -> None:
        """Put the trained model into the folder: written aside by `save(folder)`, then moved in file by file.

        The manifest names these files as finished only afterwards.
        """
        with staged_folder(self.path / "model.partial", replace=True) as staging:
            save(staging)
        aside = self.path / "model.partial"
        names = sorted(path.relative_to(aside).as_posix() for path in aside.rglob("*") if path.is_file())
        with writing_to(self.path):
            for name in names:
                (self.path / name).parent.mkdir(exist_ok=True, parents=True)
                os.replace(aside / name, self.path / name)
            shutil.rmtree(aside)
        self.manifest["files"] = dict.fromkeys(names, 0)


def claim_run_folder(path: str | Path, identity: Mapping[str, Any]) -> RunFolder:
    """The run folder for a recipe: a new one, or that of the same recipe, to go on with.

    Args:
        path: the recipe's `output_dir`.
        identity: the settings that make this run what it is, as a flat mapping of dotted paths.

    Raises:
        RecipeError: the folder is not empty and is no run, or is the run of another recipe.
    """
    run = RunFolder(path)
    if not run.path.exists():
        return run
    if not run.path.is_dir():
        raise RecipeError(f"output_dir {run.path} is a file; choose a folder")
    manifest = find_manifest(run.path, KIND)
    if manifest is None:
        if any(run.path.iterdir()):
            raise RecipeError(
                f"output_dir {run.path} is not empty and holds no run of acclimate; choose another folder or remove it"
            )
        return run
    changed = [
        f"`{key}`: {_show(manifest['identity'].get(key))} there, {_show(identity.get(key))} now"
        for key in sorted({*manifest["identity"], *identity})
        if manifest["identity"].get(key) != identity.get(key)
    ]
    if changed:
        raise RecipeError(
            f"output_dir {run.path} holds the run of another recipe; choose another folder or remove it. What differs:",
            changed,
        )
    run.manifest = manifest
    return run


def _show(value: Any) -> str:
    return "not set" if value is None else str(value)


def open_run(path: str | Path) -> RunFolder:
    """A finished run.

    Raises:
        CheckpointError: the folder is no run, or its training has not finished.
    """
    run = RunFolder(path)
    if not run.path.exists():
        raise CheckpointError(f"there is no run in {path}: it does not exist")
    try:
        manifest = find_manifest(run.path, KIND)
    except ArtifactError as error:
        raise CheckpointError(f"run {path} cannot be read: {error}") from error
    if manifest is None:
        raise CheckpointError(f"{path} is no run of acclimate (it has no manifest.json of one)")
    if manifest.get("status") != "finished":
        raise CheckpointError(
            f"the run in {path} is {manifest.get('status')}, not finished; the command that started it goes on with it"
        )
    for name, size in manifest["files"].items():
        if name == CARD:  # to be completed by the user
            continue
        if not (run.path / name).is_file():
            raise CheckpointError(f"the run in {path} is damaged: {name} is missing")
        found = (run.path / name).stat().st_size
        if found != size:
            raise CheckpointError(f"the run in {path} is damaged: {name} has {found} bytes instead of {size}")
    run.manifest = manifest
    return run


def corpus_folder(run: Path, manifest: Mapping[str, Any]) -> Path:
    """Where a run's corpus is: as its manifest says, or within the run's folder, where that was moved with it."""
    named, own = Path(manifest["corpus"]["path"]), run / "corpus"
    return own if own.is_dir() and not named.exists() else named


def write_evaluation(run: RunFolder, figures: Mapping[str, Any], file: str = "evaluation.json") -> None:
    """Keep the figures of an evaluation with the run."""
    write_json(run.path / "evaluation" / file, figures)


def environment() -> dict[str, str]:
    """Versions of what a run depends on."""
    ours = {"python": platform.python_version(), "acclimate": acclimate.__version__}
    return {**ours, **{name: version(name) for name in _LIBRARIES}}


def now() -> str:
    """The time, for manifests."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
