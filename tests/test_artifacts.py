"""Artifacts are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import json
import math
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate import artifacts
from acclimate.artifacts import (
    MANIFEST,
    file_digest,
    find_manifest,
    fingerprint,
    read_json,
    read_manifest,
    staged_folder,
    write_json,
    write_manifest,
    write_text,
    writing_text,
)
from acclimate.errors import ArtifactError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
# No process has this number: Linux counts to 2**22 at most.
DEAD = 2**22 + 1


def make(target: Path, text: str = "new", *, replace: bool = False) -> None:
    """Write a small whole artifact."""
    with staged_folder(target, replace=replace) as staging:
        (staging / "data.txt").write_text(text, encoding="utf-8")
        write_manifest(staging, "thing", {"made_by": "test"})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- fingerprints ---------------------------------------------------------------------------------------------------


@given(PLAIN)
def test_equal_data_has_equal_fingerprints_however_it_is_ordered(value: Any) -> None:
    assert fingerprint(value) == fingerprint(json.loads(json.dumps(value)))
    if isinstance(value, dict):
        assert fingerprint(dict(reversed(value.items()))) == fingerprint(value)


@given(PLAIN, PLAIN)
def test_different_data_has_different_fingerprints(one: Any, other: Any) -> None:
    def same(a: Any, b: Any) -> bool:
        return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)

    assert (fingerprint(one) == fingerprint(other)) == same(one, other)


def test_fingerprints_do_not_change_between_versions_of_this_package() -> None:
    # Else every corpus and token store would be built again: blake2b-128 of {"a":[1,"é",null]}.
    assert fingerprint({"a": [1, "é", None]}) == "a5cc9b5392abc186dd929883842062f7"


@pytest.mark.parametrize("items", [[], [1], [["a", None], ["é", "b"]]])
def test_an_iterator_has_the_fingerprint_of_its_list(items: list[Any]) -> None:
    assert fingerprint(iter(items)) == fingerprint(items)


def test_paths_and_surrogates_have_fingerprints_and_objects_have_none() -> None:
    assert fingerprint(Path("a/b")) == fingerprint("a/b")
    assert fingerprint("caf\udce9") != fingerprint("caf\udcea")
    with pytest.raises(TypeError, match="object cannot be part of a fingerprint"):
        fingerprint({"a": object()})


def test_file_digest_is_of_the_bytes(tmp_path: Path) -> None:
    # More than one chunk of 1 MiB; the last byte counts.
    (tmp_path / "a").write_bytes(b"x" * (1 << 20) + b"y")
    (tmp_path / "b").write_bytes(b"x" * (1 << 20) + b"z")
    (tmp_path / "c").write_bytes(b"x" * (1 << 20) + b"y")
    assert file_digest(tmp_path / "a") == file_digest(tmp_path / "c") != file_digest(tmp_path / "b")


# ---- single files ---------------------------------------------------------------------------------------------------


@given(PLAIN)
def test_json_is_read_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.mktemp("json") / "value.json"
    write_json(path, value)
    assert read_json(path) == value


def test_json_keeps_unicode_readable_and_escapes_what_is_not_utf_8(tmp_path: Path) -> None:
    # A file name with the byte E9 (é in Latin-1) comes from the system as the lone surrogate DCE9.
    write_json(tmp_path / "a.json", {"資治通鑑": "caf\udce9 😀"})
    assert (tmp_path / "a.json").read_bytes() == '{\n  "資治通鑑": "caf\\udce9 😀"\n}\n'.encode()
    assert read_json(tmp_path / "a.json") == {"資治通鑑": "caf\udce9 😀"}


def test_write_text_makes_folders_and_keeps_newlines(tmp_path: Path) -> None:
    path = tmp_path / "a folder" / "名" / "file.txt"
    write_text(path, "one\r\ntwo\n")
    assert path.read_bytes() == b"one\r\ntwo\n"
    assert names(path.parent) == ["file.txt"]


def test_a_file_is_the_old_one_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), writing_text(path) as file:
        file.write("half of the n")
        file.flush()
        assert path.read_text() == "old"
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1', b"\xff\xfe", b"[1, 2"])
def test_a_damaged_json_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "value.json"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"value\.json cannot be read"):
        read_json(path)


def test_a_missing_json_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"value\.json is missing"):
        read_json(tmp_path / "value.json")


# ---- staged folders -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "two words", "a[1]*?", "資治通鑑", ".hidden", "-o", "with.dots.1"])
def test_a_folder_appears_whole(tmp_path: Path, name: str) -> None:
    target = tmp_path / "deep" / name
    with staged_folder(target) as staging:
        (staging / "data.txt").write_text("x")
        assert not target.exists()
        assert staging.parent == target.parent  # the same file system, so that a rename suffices
    assert names(target) == ["data.txt"]
    assert names(target.parent) == [name]


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), staged_folder(tmp_path / "a") as staging:
        (staging / "data.txt").write_text("x")
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_an_exception_leaves_the_old_folder(tmp_path: Path) -> None:
    make(tmp_path / "a", "old")
    with pytest.raises(ZeroDivisionError), staged_folder(tmp_path / "a", replace=True):
        raise ZeroDivisionError
    assert (tmp_path / "a" / "data.txt").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_folder_that_is_not_empty_is_refused_before_any_work(tmp_path: Path) -> None:
    make(tmp_path / "a", "old")
    with pytest.raises(ArtifactError, match="exists already and is not empty"), staged_folder(tmp_path / "a"):
        pytest.fail("the work was begun")
    assert (tmp_path / "a" / "data.txt").read_text() == "old"


@pytest.mark.parametrize("replace", [False, True])
def test_a_file_in_the_way_is_refused_before_any_work(tmp_path: Path, replace: bool) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(ArtifactError, match="a is a file"), staged_folder(tmp_path / "a", replace=replace):
        pytest.fail("the work was begun")
    assert (tmp_path / "a").read_text() == "mine"


def test_a_file_as_the_parent_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(ArtifactError, match="a part of the path is a file"), staged_folder(tmp_path / "a" / "b"):
        pytest.fail("the work was begun")


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    make(tmp_path / "a")
    assert names(tmp_path / "a") == ["data.txt", MANIFEST]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    make(tmp_path / "a", "old")
    (tmp_path / "a" / "more.txt").write_text("of the old one")
    make(tmp_path / "a", "new", replace=True)
    assert names(tmp_path / "a") == ["data.txt", MANIFEST]
    assert (tmp_path / "a" / "data.txt").read_text() == "new"
    assert names(tmp_path) == ["a"]


def test_what_a_link_points_to_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    make(tmp_path / "big disk" / "a", "old")
    (tmp_path / "a").symlink_to(tmp_path / "big disk" / "a", target_is_directory=True)
    make(tmp_path / "a", "new", replace=True)
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "big disk" / "a" / "data.txt").read_text() == "new"
    assert names(tmp_path / "big disk") == ["a"]


def test_of_two_writers_at_once_one_is_told(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with pytest.raises(ArtifactError, match="not empty"), staged_folder(target) as staging:
        (staging / "data.txt").write_text("slow")
        # Another process, which began later, is ready first.
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "data.txt").write_text("fast")
        os.rename(tmp_path / "other", target)
    assert (target / "data.txt").read_text() == "fast"
    assert names(tmp_path) == ["a"]


def test_a_writer_that_comes_between_the_renames_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a"
    make(target, "old")
    rename = os.rename

    def slow_rename(source: Path, destination: Path) -> None:
        if Path(destination) == target:
            (target / "b").mkdir(parents=True)  # another process has just put its folder there
        rename(source, destination)

    with pytest.raises(ArtifactError, match="another process wrote"), staged_folder(target, replace=True):
        monkeypatch.setattr(os, "rename", slow_rename)
    assert names(tmp_path) == ["a"]
    assert names(target) == ["b"]


def test_the_old_folder_comes_back_where_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a"
    make(target, "old")
    rename = os.rename

    def failing_rename(source: Path, destination: Path) -> None:
        if Path(destination) == target and ".partial-" in Path(source).name:
            raise OSError(errno.EIO, "Input/output error")
        rename(source, destination)

    with pytest.raises(ArtifactError, match="reports an error"), staged_folder(target, replace=True):
        monkeypatch.setattr(os, "rename", failing_rename)
    assert (target / "data.txt").read_text() == "old"
    assert names(tmp_path) == ["a"]


def killed(tmp_path: Path, body: str) -> None:
    """Run Python code in another process; it must kill itself by SIGKILL, at which nothing is cleaned up."""
    code = textwrap.dedent(
        """
        import os, signal
        from pathlib import Path
        from acclimate.artifacts import *
        target = Path("a")
        def die(*_): os.kill(os.getpid(), signal.SIGKILL)
        """
    ) + textwrap.dedent(body)
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == -9, result.stderr


def test_a_killed_writer_leaves_no_artifact_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    killed(
        tmp_path,
        """
        with staged_folder(target) as staging:
            (staging / "data.txt").write_text("half")
            write_manifest(staging, "thing", {})
            die()
        """,
    )
    assert not (tmp_path / "a").exists()
    assert len(names(tmp_path)) == 1  # what was written aside
    make(tmp_path / "a", "whole")
    assert (tmp_path / "a" / "data.txt").read_text() == "whole"
    assert names(tmp_path) == ["a"]


def test_a_writer_killed_between_the_renames_has_lost_nothing(tmp_path: Path) -> None:
    make(tmp_path / "a", "old")
    killed(
        tmp_path,
        """
        rename = os.rename
        def only_once(source, destination):
            rename(source, destination)
            die()
        os.rename = only_once
        with staged_folder(target, replace=True) as staging:
            (staging / "data.txt").write_text("new")
            write_manifest(staging, "thing", {})
        """,
    )
    assert not (tmp_path / "a").exists()
    with pytest.raises(ZeroDivisionError), staged_folder(tmp_path / "a", replace=True):
        assert (tmp_path / "a" / "data.txt").read_text() == "old"
        raise ZeroDivisionError
    assert (tmp_path / "a" / "data.txt").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_killed_writer_of_a_file_leaves_the_old_one(tmp_path: Path) -> None:
    write_text(tmp_path / "file.json", "old")
    killed(
        tmp_path,
        """
        os.fsync = die
        write_text("file.json", "new")
        """,
    )
    assert (tmp_path / "file.json").read_text() == "old"


def aside(name: str, role: str, pid: int = DEAD, host: str | None = None) -> str:
    return f".{name}.{role}-{host or socket.gethostname()}-{pid}"


def test_leftovers_of_others_stay(tmp_path: Path) -> None:
    """Only what a dead process of this machine left beside this very target is removed or brought back."""
    keep = [
        aside("a", "partial", pid=os.getppid()),  # its writer lives
        aside("a", "partial", host="elsewhere"),  # nobody here can tell whether its writer lives
        aside("a", "replaced", host="elsewhere"),
        aside("a-2", "partial"),  # of other targets
        aside("a-2", "replaced"),
        aside("a.replaced", "partial"),
        ".a.partial",
        f".a.partial-{socket.gethostname()}-notes",
    ]
    for name in [*keep, aside("a", "partial")]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.txt").write_text(name)
    make(tmp_path / "a")
    assert names(tmp_path) == sorted(["a", *keep])
    assert (tmp_path / "a" / "data.txt").read_text() == "new"


def test_what_was_replaced_does_not_come_back_over_its_successor(tmp_path: Path) -> None:
    make(tmp_path / "a", "new")
    old = tmp_path / aside("a", "replaced")
    old.mkdir()
    (old / "data.txt").write_text("old")
    make(tmp_path / "a", "newer", replace=True)
    assert (tmp_path / "a" / "data.txt").read_text() == "newer"
    assert names(tmp_path) == ["a"]


# ---- a full disk, a read-only folder --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission denied"),
    ],
)
def test_a_refusal_of_the_system_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, told: str
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    write_text(tmp_path / "old.txt", "old")
    monkeypatch.setattr(artifacts.os, "fsync", refuse)
    with pytest.raises(ArtifactError, match=told):
        make(tmp_path / "a")
    with pytest.raises(ArtifactError, match=told):
        write_text(tmp_path / "old.txt", "new")
    assert names(tmp_path) == ["old.txt"]
    assert (tmp_path / "old.txt").read_text() == "old"


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="the name is too long"):
        make(tmp_path / ("x" * 300))
    with pytest.raises(ArtifactError, match="the name is too long"):
        write_text(tmp_path / ("x" * 300), "text")


def test_a_folder_in_the_way_of_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").mkdir()
    with pytest.raises(ArtifactError, match="a folder lies where a file should be written"):
        write_text(tmp_path / "recipe.yaml", "text")


# ---- manifests ------------------------------------------------------------------------------------------------------


def test_a_manifest_says_what_is_there(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "a") as staging:
        (staging / "data.txt").write_text("abc")
        (staging / "sub").mkdir()
        (staging / "sub" / "名.txt").write_text("名")
        write_manifest(staging, "thing", {"answer": 42})
    manifest = read_manifest(tmp_path / "a", "thing")
    assert manifest["kind"] == "thing"
    assert manifest["answer"] == 42
    assert manifest["files"] == {"data.txt": 3, "sub/名.txt": 3}
    assert find_manifest(tmp_path / "a", "thing") == manifest


def test_a_manifest_of_chosen_files_leaves_the_others_be(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_text("abc")
    (tmp_path / "log.txt").write_text("grows")
    write_manifest(tmp_path, "thing", {}, names=["model.bin"])
    (tmp_path / "log.txt").write_text("has grown")
    assert read_manifest(tmp_path, "thing")["files"] == {"model.bin": 3}


def test_no_artifact_is_found_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    write_json(tmp_path / "list" / MANIFEST, [1, 2])
    make(tmp_path / "other")
    for name in ("missing", "file", "list"):
        assert find_manifest(tmp_path / name, "thing") is None
        with pytest.raises(ArtifactError, match=f"{name} (does not exist; expected a thing there|is not a thing)"):
            read_manifest(tmp_path / name, "thing")
    assert find_manifest(tmp_path / "other", "corpus") is None
    with pytest.raises(ArtifactError, match="is not a corpus"):
        read_manifest(tmp_path / "other", "corpus")


@pytest.mark.parametrize("kept_share", [0.0, 0.5, 0.99])
def test_a_manifest_cut_short_is_told(tmp_path: Path, kept_share: float) -> None:
    make(tmp_path / "a")
    manifest = tmp_path / "a" / MANIFEST
    content = manifest.read_bytes()
    manifest.write_bytes(content[: math.floor(kept_share * (len(content) - 2))])
    with pytest.raises(ArtifactError, match=r"manifest\.json cannot be read"):
        read_manifest(tmp_path / "a", "thing")


@pytest.mark.parametrize("text", ["ne", "newer", ""])
def test_a_file_of_another_size_is_told(tmp_path: Path, text: str) -> None:
    make(tmp_path / "a")
    (tmp_path / "a" / "data.txt").write_text(text)
    with pytest.raises(ArtifactError, match=rf"damaged: data\.txt has {len(text)} bytes instead of 3; build it again"):
        read_manifest(tmp_path / "a", "thing")


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    make(tmp_path / "a")
    (tmp_path / "a" / "data.txt").unlink()
    with pytest.raises(ArtifactError, match=r"damaged: data\.txt is missing; build it again"):
        read_manifest(tmp_path / "a", "thing")
