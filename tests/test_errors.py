"""Errors for users: what they say, and which of the system's they stand for."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from acclimate import errors
from acclimate.errors import AcclimateError, ArtifactError, DataError, Interrupted, RecipeError, writing_to

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AcclimateError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_is_one_that_a_user_can_mend(kind: type[AcclimateError]) -> None:
    error = kind("what, where", signal.SIGTERM) if kind is Interrupted else kind("what, where")
    assert str(error) == "what, where"
    assert error.exit_code == (143 if kind is Interrupted else 2)  # 128 + 15, as a shell has it
    assert kind.__doc__


def test_a_recipe_error_lists_its_problems() -> None:
    error = RecipeError("recipe x.yaml has 2 mistakes:", ["`a` is missing", "`b`: too large"])
    assert error.problems == ("`a` is missing", "`b`: too large")
    assert str(error) == "recipe x.yaml has 2 mistakes:\n  - `a` is missing\n  - `b`: too large"
    assert RecipeError("no more than this").problems == ()


@pytest.mark.parametrize("number", errors._DISK_ERRORS, ids=lambda number: errno.errorcode[number])
def test_a_refusal_of_the_system_names_the_folder_and_the_way_out(number: int) -> None:
    with pytest.raises(ArtifactError) as caught, writing_to("runs/a b"):
        raise OSError(number, os.strerror(number))
    assert str(caught.value).startswith(f"cannot write to runs/a b: {errors._DISK_ERRORS[number]} (")
    assert isinstance(caught.value.__cause__, OSError)


def test_real_refusals_are_recognised(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="a part of the path is a file"), writing_to(tmp_path):
        (tmp_path / "file" / "x").write_text("")
    with pytest.raises(ArtifactError, match="a part of the path is a file"), writing_to(tmp_path):
        (tmp_path / "file").mkdir(exist_ok=True)
    with pytest.raises(ArtifactError, match="a folder lies where"), writing_to(tmp_path):
        tmp_path.write_text("")
    with pytest.raises(ArtifactError, match="the disk is full"), writing_to("/dev"), open("/dev/full", "w") as file:
        file.write("x")


@pytest.mark.parametrize(
    "message",
    [
        "Error while serializing: I/O error: No space left on device (os error 28)",  # safetensors
        "[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device",  # pyarrow
    ],
)
def test_refusals_that_native_code_wraps_are_recognised(message: str) -> None:
    class SafetensorError(Exception):
        pass

    with pytest.raises(ArtifactError, match="the disk is full"), writing_to("runs/a"):
        raise SafetensorError(message)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        OSError("no number"),
        FileNotFoundError(errno.ENOENT, "No such file"),
        RuntimeError("os error 2"),
        RuntimeError("os error 280"),
    ],
    ids=repr,
)
def test_bugs_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, writing_to("runs/a"):
        raise error
    assert caught.value is error


def test_errors_of_ours_pass_through() -> None:
    error = DataError("nothing is left (os error 28)")
    with pytest.raises(DataError) as caught, writing_to("runs/a"):
        raise error
    assert caught.value is error
