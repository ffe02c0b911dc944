"""Artifacts: folders with a `manifest.json` that says what made them and what is in them.

An artifact is whole or absent. It is written aside, in a hidden folder beside its final place, and renamed when its
manifest, written last, is on disk. What a crash leaves behind is therefore never taken for an artifact; the next
writer to the same place removes it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from acclimate import __version__
from acclimate.errors import ArtifactError, writing_to

MANIFEST = "manifest.json"
_PARTIAL = ".partial-"


def fingerprint(value: Any) -> str:
    """A short digest of plain data (numbers, strings, lists, mappings, None): equal data gives equal digests."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_plain)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be part of a fingerprint")


def file_digest(path: str | Path) -> str:
    """Digest of a file's bytes."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def writing_text(path: str | Path) -> Iterator[TextIO]:
    """A text file to write to that is, for everybody else, the old one until it is whole."""
    path = Path(path)
    with writing_to(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}{_PARTIAL}{os.getpid()}")
        try:
            with open(aside, "w", encoding="utf-8", newline="\n") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a file so that it is either the old one or the new one, never a part of it."""
    with writing_text(path) as file:
        file.write(text)


def write_json(path: str | Path, value: Any) -> None:
    """Like `write_text`, for plain data: indented, non-ASCII characters as they are."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file that this package wrote; a damaged one is an `ArtifactError`."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing") from error
    except (ValueError, OSError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error


@contextmanager
def staged_folder(target: str | Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside `target`; on a clean exit it becomes `target`, on an exception it is removed.

    With `replace`, an existing `target` is replaced (it is moved away first and removed last, so that a crash at
    any moment leaves the old or the new one); otherwise an existing one that is not empty is an error.
    """
    target = Path(os.path.abspath(target))
    with writing_to(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(target)
        staging = target.with_name(f".{target.name}{_PARTIAL}{socket.gethostname()}-{os.getpid()}")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
    try:
        with writing_to(target):
            yield staging
            _sync(staging)
            _move_into_place(staging, target, replace)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _move_into_place(staging: Path, target: Path, replace: bool) -> None:
    old = target.with_name(f".{target.name}.old{_PARTIAL}{socket.gethostname()}-{os.getpid()}")
    if target.exists():
        if any(target.iterdir()):
            if not replace:
                raise ArtifactError(f"{target} exists already and is not empty; choose another folder or remove it")
            os.rename(target, old)
        else:
            target.rmdir()
    os.rename(staging, target)
    shutil.rmtree(old, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Ask the system to put a folder's files on disk before the rename makes them visible."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())


def _remove_stale(target: Path) -> None:
    """Remove what writers on this machine that no longer run left beside `target`; bring back an old one cut off
    between the two renames."""
    host = socket.gethostname()
    for path in target.parent.glob(f".{target.name}*{_PARTIAL}{host}-*"):
        pid = path.name.rpartition("-")[2]
        if pid.isdigit() and _runs(int(pid)):
            continue
        if path.name.startswith(f".{target.name}.old{_PARTIAL}") and not target.exists():
            os.rename(path, target)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _runs(pid: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_manifest(folder: Path, kind: str, content: Mapping[str, Any], *, names: Iterable[str] | None = None) -> None:
    """Write `folder/manifest.json`: `kind`, versions, the time, the sizes of its files, and `content`.

    `names` are the files that belong to the artifact, relative to the folder; by default all that are there.
    """
    if names is None:
        names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    files = {name: (folder / name).stat().st_size for name in sorted(names) if name != MANIFEST}
    manifest = {
        "kind": kind,
        "acclimate_version": __version__,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **content,
        "files": files,
    }
    write_json(folder / MANIFEST, manifest)


def find_manifest(folder: str | Path, kind: str) -> dict[str, Any] | None:
    """The manifest of the artifact in `folder`, or None where there is no artifact of this kind."""
    path = Path(folder) / MANIFEST
    if not path.is_file():
        return None
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("kind") != kind:
        return None
    return manifest


def read_manifest(folder: str | Path, kind: str) -> dict[str, Any]:
    """The manifest of a whole artifact of this kind; anything else is an `ArtifactError` that says what is wrong.

    Every file that the manifest names must be there with the size that it had when it was written.
    """
    folder = Path(folder)
    if not folder.exists():
        raise ArtifactError(f"{folder} does not exist; expected a {kind} there")
    manifest = find_manifest(folder, kind)
    if manifest is None:
        raise ArtifactError(f"{folder} is not a {kind}: it has no {MANIFEST} of one")
    for name, size in manifest.get("files", {}).items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"the {kind} in {folder} is damaged: {name} is missing; build it again")
        if path.stat().st_size != size:
            raise ArtifactError(
                f"the {kind} in {folder} is damaged: {name} has {path.stat().st_size} bytes instead of {size}; "
                "build it again"
            )
    return manifest
