"""Files as a source: one file, a folder, or all that a glob matches."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, groupby
from pathlib import Path, PurePosixPath
from typing import Any, overload

from acclimate.artifacts import file_digest
from acclimate.corpus.parallel import map_in_order
from acclimate.corpus.pieces import Piece
from acclimate.corpus.readers import SUFFIXES, content_suffix, read_file, reader_for
from acclimate.corpus.readers.base import SourceFile
from acclimate.corpus.settings import SourceSettings
from acclimate.corpus.slices import Part, parse_split
from acclimate.corpus.sources.base import Notes
from acclimate.corpus.sources.globs import compile_globs, has_magic, split_base
from acclimate.errors import SourceError

_BATCH_BYTES = 1 << 20
_STREAM_BYTES = 1 << 20
_WORTH_WORKERS = 4 << 20  # bytes of files below which starting processes costs more than it gains


class FilesSource:
    """Documents in files.

    Args:
        settings: of the source; `path` is a file, a folder or a glob.
        exclude: a folder that is not searched, since the corpus is going to be there.

    Raises:
        SourceError: there is no such file or folder, or no file in it that could be read.
    """

    def __init__(self, settings: SourceSettings, exclude: Path | None = None) -> None:
        self._settings = settings
        self.notes = Notes()
        path = settings.location
        self.single = os.path.isfile(path)
        if self.single:
            self.label = printable(os.path.basename(path))
            self._files: Sequence[SourceFile] = [SourceFile(Path(path), self.label, named=True)]
            return
        if os.path.isdir(path):
            base, patterns = path, settings.globs
        elif has_magic(path):
            base, pattern = split_base(path)
            patterns = [f"/{pattern}"]
            if settings.globs:
                raise SourceError(f"{path} is a pattern itself; give either a folder with glob, or a pattern")
        else:
            raise SourceError(f"there is no file or folder {path}" + _what_is_there(path))
        self.label = printable(os.path.basename(os.path.abspath(base))) or "files"
        self._files = find_files(Path(base), patterns, settings, self.notes, exclude)
        if not self._files:
            raise SourceError(nothing_found(path, settings, self.notes))

    def fingerprint(self) -> Any:
        """Names and content digests; a file that cannot be read has none."""
        return ([file.name, _digest(file.path)] for file in self._files)

    def pieces(self, scratch: Path, num_workers: int) -> Iterator[tuple[str, Piece]]:
        """The pieces of all files, in the order of their names."""
        return read_files(self._files, self._settings, num_workers)


def find_files(
    base: Path, patterns: list[str], settings: SourceSettings, notes: Notes, exclude: Path | None = None
) -> Sequence[SourceFile]:
    """The files below `base` that match a pattern, or without patterns those that a reader exists for, by name."""
    found = []
    for path in _walk(base, settings.recursive, _mean_hidden(patterns), notes, exclude):
        name = path.relative_to(base).as_posix()
        if _matches(name, patterns, settings):
            found.append(name)
        else:
            notes.skipped[kind_of(name)] += 1
    found.sort(key=printable)
    return _FilesBelow(base, found)


class _FilesBelow(Sequence[SourceFile]):
    """Files below a folder, made when they are asked for: names alone take a fifth of the memory."""

    def __init__(self, base: Path, names: Sequence[str]) -> None:
        self._base = base
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> SourceFile: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[SourceFile]: ...

    def __getitem__(self, index: int | slice) -> SourceFile | Sequence[SourceFile]:
        if isinstance(index, slice):
            return _FilesBelow(self._base, self._names[index])
        name = self._names[index]
        return SourceFile(self._base / name, printable(name))


def is_wanted(name: str, settings: SourceSettings) -> bool:
    """Whether a file with this path relative to its source is to be read, as far as `glob` and `recursive` say."""
    folders = name.split("/")[:-1]
    if folders and not settings.recursive:
        return False
    if any(folder.startswith(".") for folder in folders) and not _mean_hidden(settings.globs):
        return False
    return _matches(name, settings.globs, settings)


def _mean_hidden(patterns: list[str]) -> bool:
    return any(part.startswith(".") for pattern in patterns for part in pattern.split("/") if part.strip("."))


def _matches(name: str, patterns: list[str], settings: SourceSettings) -> bool:
    if patterns:
        return compile_globs(tuple(patterns)).fullmatch(name) is not None
    if PurePosixPath(name).name.startswith("."):
        return False
    return settings.format != "auto" or content_suffix(name) in SUFFIXES


def _walk(base: Path, recursive: bool, hidden: bool, notes: Notes, exclude: Path | None) -> Iterator[Path]:
    """Regular files, links followed; each folder once, however many links lead to it."""
    seen: set[tuple[int, int]] = set()
    folders = [base]
    while folders:
        folder = folders.pop()
        try:
            information = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if folder == base:
                raise SourceError(f"folder {folder} cannot be read: {error}") from error
            notes.skipped["folder that cannot be read"] += 1
            continue
        if (information.st_dev, information.st_ino) in seen:
            continue
        seen.add((information.st_dev, information.st_ino))
        for entry in entries:
            path = folder / entry.name
            if entry.is_dir():
                if entry.name.startswith(".") and not hidden:
                    notes.skipped["dot-folder"] += 1
                elif recursive and not (exclude is not None and os.path.realpath(path) == str(exclude)):
                    folders.append(path)
            elif entry.is_file() or (entry.is_symlink() and not path.exists()):
                yield path  # a dangling link is a file that cannot be read
            else:
                notes.skipped["no regular file"] += 1


def kind_of(name: str) -> str:
    """What a file that is passed over is counted as: its suffix."""
    return content_suffix(name) or "no suffix"


def printable(name: str) -> str:
    """A name as text; bytes that are not UTF-8 are written as `\\xe9`."""
    if name.isascii():
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _digest(path: Path) -> str | None:
    try:
        return file_digest(path)
    except OSError:
        return None


def _what_is_there(path: str) -> str:
    """Why a path leads nowhere: how far it can be followed."""
    if "://" in path:
        return "; a git repository's address ends in .git, or is written git+https://…"
    if path.startswith("~"):
        return "; ~ is not expanded here, write the whole path"
    if os.path.lexists(path):
        return " that could be read: it is a broken link, or no regular file"
    parent = os.path.dirname(os.path.abspath(path))
    while not os.path.isdir(parent):
        parent = os.path.dirname(parent)
    return f"; the path can be followed to {parent}"


def nothing_found(path: str, settings: SourceSettings, notes: Notes) -> str:
    """The sentence that tells of a source without a file to read."""
    if settings.globs:
        wanted = f"that matches {', '.join(settings.globs)}"
    elif settings.kind == "files" and has_magic(path) and not os.path.isdir(path):
        wanted = "that matches"
    else:
        wanted = f"with a suffix that a reader exists for ({', '.join(SUFFIXES)})"
    there = ", ".join(f"{count} × {kind}" for kind, count in notes.skipped.most_common(8))
    return f"{path}: no file {wanted}; passed over: {there or 'nothing'}. Other files can be read with glob or format"


# --- reading -----------------------------------------------------------------------------------------------------


def read_files(files: Sequence[SourceFile], settings: SourceSettings, num_workers: int) -> Iterator[tuple[str, Piece]]:
    """The pieces of the files, each with its file's name, cut to `split` and `limit`."""
    part = _part(settings)
    if are_units(files, settings):
        yield from _read_all(select_files(files, settings), settings, num_workers)
        return
    total = None
    if part.needs_total:
        total = sum(piece.documents for _, piece in _read_all(files, settings, num_workers))
    start, stop = part.bounds(total)
    if settings.limit is not None:
        stop = start + settings.limit if stop is None else min(stop, start + settings.limit)
    yield from _between(_read_all(files, settings, num_workers), start, stop)


def _part(settings: SourceSettings) -> Part:
    if settings.split is None:
        return Part()
    parts = parse_split(settings.split)
    if len(parts) > 1 or parts[0].name not in (None, "train"):
        raise SourceError(
            f"{settings.location}: files have a single part, train; split {settings.split!r} asks for others"
        )
    return parts[0]


def _between(pieces: Iterator[tuple[str, Piece]], start: int, stop: int | None) -> Iterator[tuple[str, Piece]]:
    """The units from `start` to `stop`, and what stands between them."""
    if stop is not None and stop <= start:
        return
    number = 0
    for name, piece in pieces:
        if number >= start and piece.documents <= (1 if stop is None or number < stop else 0):
            yield name, piece
        number += piece.documents
        if stop is not None and number >= stop:
            return


def are_units(files: Sequence[SourceFile], settings: SourceSettings) -> bool:
    """Whether each file is one document, so that parts of the source can be told without reading it."""
    return settings.unit in ("auto", "file") and all(reader_for(file, settings).whole for file in files)


def select_files(files: Sequence[SourceFile], settings: SourceSettings) -> Sequence[SourceFile]:
    """The files that `split` and `limit` leave, where each is one document."""
    start, stop = _part(settings).bounds(len(files))
    return files[start:stop][: settings.limit]


def _read_all(files: Sequence[SourceFile], settings: SourceSettings, num_workers: int) -> Iterator[tuple[str, Piece]]:
    """Small files in batches, by processes; large ones that can be streamed, here, piece by piece."""
    if not any(size >= _WORTH_WORKERS for size in accumulate(map(_size, files))):
        num_workers = 1
    for streamed, run in groupby(files, key=lambda file: _is_streamed(file, settings)):
        if streamed:
            for file in run:
                for piece in read_file(file, settings):
                    yield file.name, piece
        else:
            tasks = ((batch, settings) for batch in _batches(run))
            for result in map_in_order(_read_batch, tasks, num_workers):
                yield from result


def _is_streamed(file: SourceFile, settings: SourceSettings) -> bool:
    return settings.unit in reader_for(file, settings).streams and _size(file) > _STREAM_BYTES


def _batches(files: Iterable[SourceFile]) -> Iterator[list[SourceFile]]:
    batch: list[SourceFile] = []
    filled = 0
    for file in files:
        batch.append(file)
        filled += _size(file)
        if filled >= _BATCH_BYTES:
            yield batch
            batch, filled = [], 0
    if batch:
        yield batch


def _read_batch(task: tuple[list[SourceFile], SourceSettings]) -> list[tuple[str, Piece]]:
    files, settings = task
    return [(file.name, piece) for file in files for piece in read_file(file, settings)]


def _size(file: SourceFile) -> int:
    try:
        return file.path.stat().st_size
    except OSError:
        return 0
