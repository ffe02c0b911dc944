"""The run folder: whose it is, how far it has come, and that only a finished run is taken for one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from acclimate.artifacts import read_json, write_json, write_manifest
from acclimate.errors import ArtifactError, CheckpointError, RecipeError
from acclimate.training.run_folder import (
    RunFolder,
    claim_run_folder,
    environment,
    open_run,
    write_evaluation,
)

IDENTITY = {"model.name": "bert", "training.max_steps": 5, "corpus.sources": [], "seed": 3}


def begin(path: Path) -> RunFolder:
    run = claim_run_folder(path, IDENTITY)
    run.update(identity=IDENTITY, status="running")
    return run


def save(folder: Path) -> None:
    (folder / "model.safetensors").write_text("weights")
    (folder / "config.json").write_text("{}")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("{{ x }}")


def finish(path: Path) -> RunFolder:
    run = begin(path)
    run.save_model(save)
    run.update(status="finished", summary={"global_step": 5})
    return run


# ---- claiming -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", ["missing", "empty"])
def test_a_new_folder_is_a_new_run(tmp_path: Path, there: str) -> None:
    folder = tmp_path / "my runs" / "資治通鑑"
    if there == "empty":
        folder.mkdir(parents=True)
    run = claim_run_folder(folder, IDENTITY)
    assert run.status == "new"
    assert list(folder.iterdir() if folder.exists() else []) == []  # claiming alone writes nothing
    run.update(identity=IDENTITY, status="running")
    assert claim_run_folder(folder, IDENTITY).status == "running"


@pytest.mark.parametrize("status", ["running", "interrupted", "finished"])
def test_the_run_of_the_same_recipe_goes_on(tmp_path: Path, status: str) -> None:
    begin(tmp_path / "a").update(status=status)
    run = claim_run_folder(tmp_path / "a", dict(reversed(IDENTITY.items())))
    assert run.status == status
    assert run.manifest["identity"] == IDENTITY


def test_the_run_of_another_recipe_is_refused_with_what_differs(tmp_path: Path) -> None:
    begin(tmp_path / "a")
    other = {**IDENTITY, "training.max_steps": 6, "training.bf16": True}
    del other["seed"]
    with pytest.raises(RecipeError, match="holds the run of another recipe") as caught:
        claim_run_folder(tmp_path / "a", other)
    assert caught.value.problems == (
        "`seed`: 3 there, not set now",
        "`training.bf16`: not set there, True now",
        "`training.max_steps`: 5 there, 6 now",
    )
    assert claim_run_folder(tmp_path / "a", IDENTITY).status == "running"  # nothing was changed


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.tex").write_text("mine")
    write_manifest(tmp_path, "corpus", {}, names=[])
    for folder in (tmp_path, tmp_path / "a"):
        with pytest.raises(RecipeError, match="is not empty and holds no run of acclimate"):
            claim_run_folder(folder, IDENTITY)
    with pytest.raises(RecipeError, match=r"thesis\.tex is a file; choose a folder"):
        claim_run_folder(tmp_path / "a" / "thesis.tex", IDENTITY)
    assert (tmp_path / "a" / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("text", ["", '{"kind": "run", "ident'])
def test_a_run_whose_manifest_is_cut_short_is_refused(tmp_path: Path, text: str) -> None:
    begin(tmp_path / "a")
    (tmp_path / "a" / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"manifest\.json cannot be read"):
        claim_run_folder(tmp_path / "a", IDENTITY)


# ---- writing --------------------------------------------------------------------------------------------------------


def test_the_manifest_keeps_what_was_said_before(tmp_path: Path) -> None:
    run = begin(tmp_path / "a")
    created = read_json(tmp_path / "a" / "manifest.json")["created"]
    run.update(summary={"global_step": 5})
    manifest = read_json(tmp_path / "a" / "manifest.json")
    assert manifest["kind"] == "run"
    assert (manifest["status"], manifest["identity"]) == ("running", IDENTITY)
    assert (manifest["summary"], manifest["created"]) == ({"global_step": 5}, created)
    assert manifest["files"] == {}


def test_the_model_is_moved_in_as_a_whole(tmp_path: Path) -> None:
    run = finish(tmp_path / "a")
    assert sorted(path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()) == [
        "additional_chat_templates/rag.jinja",
        "config.json",
        "manifest.json",
        "model.safetensors",
    ]
    assert open_run(run.path).manifest["files"] == {
        "additional_chat_templates/rag.jinja": 7,
        "config.json": 2,
        "model.safetensors": 7,
    }


def test_a_model_saved_again_replaces_the_old_one(tmp_path: Path) -> None:
    run = finish(tmp_path / "a")
    (run.path / "model.safetensors").write_text("cut off in the middle of a move")
    run.save_model(save)
    run.update(status="finished")
    assert open_run(run.path).manifest["files"]["model.safetensors"] == 7


def test_a_save_that_fails_leaves_no_model(tmp_path: Path) -> None:
    def full(folder: Path) -> None:
        save(folder)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = begin(tmp_path / "a")
    with pytest.raises(ArtifactError, match="the disk is full"):
        run.save_model(full)
    assert sorted(path.name for path in run.path.iterdir()) == ["manifest.json"]
    with pytest.raises(CheckpointError, match="is running, not finished"):
        open_run(run.path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = RunFolder(tmp_path / "file" / "run")
    with pytest.raises(ArtifactError, match="a part of the path is a file"):
        run.update(status="running")


# ---- opening --------------------------------------------------------------------------------------------------------


def test_a_finished_run_is_opened(tmp_path: Path) -> None:
    finish(tmp_path / "a")
    run = open_run(str(tmp_path / "a"))
    assert (run.status, run.path) == ("finished", tmp_path / "a")


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_an_unfinished_run_is_told(tmp_path: Path, status: str) -> None:
    begin(tmp_path / "a").update(status=status)
    with pytest.raises(CheckpointError, match=f"is {status}, not finished; the command that started it goes on"):
        open_run(tmp_path / "a")


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no run in .*missing: it does not exist"):
        open_run(tmp_path / "missing")
    with pytest.raises(CheckpointError, match="is no run of acclimate"):
        open_run(tmp_path)
    write_json(tmp_path / "manifest.json", {"kind": "corpus"})
    with pytest.raises(CheckpointError, match="is no run of acclimate"):
        open_run(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"cannot be read: .*manifest\.json"):
        open_run(tmp_path)


def test_a_damaged_run_is_told(tmp_path: Path) -> None:
    finish(tmp_path / "a")
    weights = tmp_path / "a" / "model.safetensors"
    weights.write_text("weig")
    with pytest.raises(CheckpointError, match=r"damaged: model\.safetensors has 4 bytes instead of 7"):
        open_run(tmp_path / "a")
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"damaged: model\.safetensors is missing"):
        open_run(tmp_path / "a")


def test_figures_are_kept_with_the_run(tmp_path: Path) -> None:
    run = finish(tmp_path / "a")
    write_evaluation(run, {"domain": {"before": {"loss": 3.5}}})
    assert read_json(run.path / "evaluation" / "evaluation.json") == {"domain": {"before": {"loss": 3.5}}}
    open_run(run.path)  # still whole


def test_the_environment_names_what_figures_depend_on() -> None:
    found = environment()
    assert {"python", "acclimate", "torch", "transformers"} <= found.keys()
    assert all(found.values())
