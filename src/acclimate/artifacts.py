"""Artifacts: folders with a `manifest.json` that says what made them and what is in them.

An artifact is whole or absent. It is written aside, in a hidden folder beside its final place, and renamed when its
manifest, written last, is on disk. What a crash leaves behind is therefore never taken for an artifact; the next
writer to the same place removes it.
"""

from __future__ import annotations

import datetime
import errno
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
# Beside `NAME`, while process PID of machine HOST writes it: `.NAME.partial-HOST-PID`, and what it replaces,
# `.NAME.replaced-HOST-PID`.
_PARTIAL = "partial"
_REPLACED = "replaced"


def fingerprint(value: Any) -> str:
    """A short digest of plain data (numbers, strings, lists, mappings, None): equal data gives equal digests.

    An iterator counts as the list of its items, of which it needs one at a time in memory.
    """
    digest = hashlib.blake2b(digest_size=16)
    for text in _list_parts(value) if isinstance(value, Iterator) else (_canonical(value),):
        digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _list_parts(items: Iterator[Any]) -> Iterator[str]:
    """What `_canonical` would write for the list of the items, piece by piece."""
    yield "["
    for number, item in enumerate(items):
        yield ("," if number else "") + _canonical(item)
    yield "]"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_plain)


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
        aside = _aside(path, _PARTIAL)
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
    """Like `write_text`, for plain data: indented, non-ASCII characters as they are.

    Lone surrogates, which names of files that are not UTF-8 hold, are escaped as JSON does it.
    """
    text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    write_text(path, text.encode("utf-8", "backslashreplace").decode("utf-8"))


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
    any moment leaves the old or the new one); otherwise an existing one that is not empty is an error. Where `target`
    is a link to a folder, the folder that it points to is written.
    """
    target = Path(os.path.realpath(target))
    with writing_to(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(target)
        _check_free(target, replace)
        staging = _aside(target, _PARTIAL)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
    try:
        with writing_to(target):
            yield staging
            sync_files(staging)
            _move_into_place(staging, target, replace)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _aside(path: Path, role: str) -> Path:
    return path.with_name(f".{path.name}.{role}-{socket.gethostname()}-{os.getpid()}")


def _check_free(target: Path, replace: bool) -> None:
    """Refuse a target that cannot be written, before any work is done for it."""
    if target.exists() and not target.is_dir():
        raise ArtifactError(f"{target} is a file; choose a folder")
    if not replace and target.exists() and any(target.iterdir()):
        raise ArtifactError(f"{target} exists already and is not empty; choose another folder or remove it")


def _move_into_place(staging: Path, target: Path, replace: bool) -> None:
    _check_free(target, replace)
    replaced = _aside(target, _REPLACED)
    if target.exists():
        os.rename(target, replaced)
    try:
        os.rename(staging, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise ArtifactError(f"another process wrote {target} at the same time; run this again") from error
    finally:
        if target.exists():
            shutil.rmtree(replaced, ignore_errors=True)
        elif replaced.exists():
            os.rename(replaced, target)


def sync_files(folder: Path) -> None:
    """Ask the system to put a folder's files on disk, before a rename makes them visible."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())


def _remove_stale(target: Path) -> None:
    """Remove what writers on this machine that no longer run left beside `target`; bring back an old one cut off
    between the two renames."""
    host = socket.gethostname()
    leftovers = {role: f".{target.name}.{role}-{host}-" for role in (_REPLACED, _PARTIAL)}
    for path in sorted(target.parent.iterdir()):
        role = next((role for role, start in leftovers.items() if path.name.startswith(start)), None)
        if role is None or _runs(path.name.removeprefix(leftovers[role])):
            continue
        if role == _REPLACED and not target.exists():
            os.rename(path, target)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _runs(pid: str) -> bool:
    """Whether a process other than this one has this number; what is no number is no leftover of ours to remove."""
    if not pid.isdecimal():
        return True
    if int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
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


def whole_manifest(folder: str | Path, kind: str) -> dict[str, Any] | None:
    """The manifest of a whole artifact of this kind, or None where there is none or it is damaged: to be built anew."""
    try:
        return read_manifest(folder, kind)
    except ArtifactError:
        return None


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
