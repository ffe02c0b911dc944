"""A git repository as a source: of one commit, only the files that are wanted travel.

The commit comes shallow and without blobs (`--depth 1 --filter=blob:none`); its file names are matched here, and the
matching blobs are asked for by name, as git itself does for a sparse checkout. Nothing is checked out, so neither
hooks, nor attributes, nor links of the repository have any effect. The alternative, `git sparse-checkout`, has its own
rule for patterns and a working tree on top.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acclimate.corpus.pieces import Piece
from acclimate.corpus.readers.base import SourceFile
from acclimate.corpus.settings import SourceSettings, without_secrets
from acclimate.corpus.sources.base import Notes
from acclimate.corpus.sources.files import (
    are_units,
    is_wanted,
    kind_of,
    nothing_found,
    printable,
    read_files,
    select_files,
)
from acclimate.errors import SourceError

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_WHOLE_COMMIT_LENGTHS = (40, 64)
# Links and submodules have other modes; a link could lead anywhere.
_FILE_MODES = ("100644", "100755")
_MODE_NAMES = {"120000": "symbolic link", "160000": "submodule"}
_NOT_FILTERED = "filtering not recognized by server"


@dataclass(frozen=True, slots=True)
class _Blob:
    name: str
    digest: str


class GitSource:
    """The files of one commit.

    Raises:
        SourceError: git is missing, the repository cannot be reached, or has no such branch, tag or commit.
    """

    single = False

    def __init__(self, settings: SourceSettings, exclude: Path | None = None) -> None:
        self._settings = settings
        self._url = _url(settings.location)
        self._shown = without_secrets(self._url)
        self.label = re.sub(r"\.git$", "", re.split(r"[/:]", self._url.rstrip("/"))[-1]) or "repository"
        self.notes = Notes()
        self._filtered = True
        self._fetched: tuple[str, ...] = ()  # arguments of the fetch that brought the commit
        self._reference, self._commit = self._resolve(settings.revision)

    def fingerprint(self) -> Any:
        """The commit."""
        return self._commit

    def pieces(self, scratch: Path, num_workers: int) -> Iterator[tuple[str, Piece]]:
        """The pieces of the commit's files, in the order of their names."""
        repository, blobs = scratch / "repository", scratch / "blobs"
        self._git(["init", "--bare", "--quiet", "--template=", str(repository)])
        commit = self._fetch_commit(repository)
        wanted = self._wanted(repository, commit)
        self._fetch_blobs(repository, wanted)
        blobs.mkdir()
        self._write_blobs(repository, wanted, blobs)
        files = [SourceFile(blobs / blob.digest, printable(blob.name)) for blob in wanted]
        return read_files(files, self._settings, num_workers)

    def _resolve(self, revision: str | None) -> tuple[str | None, str]:
        """The full name of the branch or tag, and its commit; no name for a revision that is a commit itself."""
        patterns = ["HEAD"] if revision is None else [revision, f"{revision}^{{}}"]
        found = {}
        for line in self._git(["ls-remote", "--", self._url, *patterns]).splitlines():
            commit, _, name = line.partition("\t")
            found[name] = commit
        if revision is None:
            if "HEAD" not in found:
                raise SourceError(f"git repository {self._shown} has no commits at its HEAD; name a branch as revision")
            return "HEAD", found["HEAD"]
        for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if name in found:
                return name, found.get(f"{name}^{{}}", found[name])
        if _COMMIT.fullmatch(revision):
            return None, revision
        raise SourceError(
            f"git repository {self._shown} has no branch, tag or commit {revision!r}{self._nearest(revision)}"
        )

    def _nearest(self, revision: str) -> str:
        lines = self._git(["ls-remote", "--heads", "--tags", "--refs", "--", self._url]).splitlines()
        names = [re.sub(r"^refs/(heads|tags)/", "", line.partition("\t")[2]) for line in lines]
        near = difflib.get_close_matches(revision, names, n=3) or names[:5]
        return f"; it has {', '.join(near)}" if near else ""

    def _fetch_commit(self, repository: Path) -> str:
        """Fetch the commit's trees; returns its full name."""
        self._git(["remote", "add", "origin", self._url], repository)
        tries = [self._commit] if len(self._commit) in _WHOLE_COMMIT_LENGTHS else []
        if self._reference is not None:
            tries.append(self._reference)
        for wanted in tries:
            if self._fetch(repository, "--depth", "1", "origin", wanted) is None:
                return self._git(["rev-parse", "FETCH_HEAD^{commit}"], repository).strip()
        # A server may refuse to give a commit that no branch ends in, or know nothing of shallow fetches.
        self.notes.messages.append(
            f"{self._shown} does not give a single commit, so its whole history (without files) was fetched"
        )
        error = self._fetch(repository, "origin", "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        if error is not None:
            raise SourceError(self._failed(error))
        try:
            return self._git(["rev-parse", "--verify", "--quiet", f"{self._commit}^{{commit}}"], repository).strip()
        except SourceError as unknown:
            raise SourceError(
                f"git repository {self._shown} has no branch, tag or commit {self._settings.revision!r}"
            ) from unknown

    def _fetch(self, repository: Path, *arguments: str) -> str | None:
        """Fetch without blobs; returns what git said if it failed."""
        result = _run(["fetch", "--no-tags", "--filter=blob:none", *arguments], repository)
        self._fetched = arguments
        if _NOT_FILTERED in result.stderr:
            self._tell_not_filtered()
        return result.stderr if result.returncode else None

    def _tell_not_filtered(self) -> None:
        message = f"the server of {self._shown} does not filter, so all files of the commit were fetched"
        if self._filtered:
            self.notes.messages.append(message)
        self._filtered = False

    def _wanted(self, repository: Path, commit: str) -> list[_Blob]:
        """The files to read; counts the others."""
        blobs = []
        listing = self._git(["ls-tree", "-r", "-z", "--full-tree", commit], repository)
        for entry in filter(None, listing.split("\0")):
            information, _, name = entry.partition("\t")
            mode, _, digest = information.split(" ")
            if mode not in _FILE_MODES:
                self.notes.skipped[_MODE_NAMES.get(mode, "no regular file")] += 1
            elif is_wanted(name, self._settings):
                blobs.append(_Blob(name, digest))
            else:
                self.notes.skipped[kind_of(name)] += 1
        if not blobs:
            raise SourceError(nothing_found(self._shown, self._settings, self.notes))
        blobs.sort(key=lambda blob: printable(blob.name))
        files = [SourceFile(Path(), printable(blob.name)) for blob in blobs]
        if are_units(files, self._settings):  # then files that are not going to be read need not travel either
            chosen = {file.name for file in select_files(files, self._settings)}
            return [blob for blob in blobs if printable(blob.name) in chosen]
        return blobs

    def _fetch_blobs(self, repository: Path, blobs: list[_Blob]) -> None:
        """Fetch all the files at once, as git does for a sparse checkout."""
        if not self._filtered:  # then they came with the commit
            return
        digests = "".join(f"{digest}\n" for digest in sorted({blob.digest for blob in blobs}))
        fetch = ["fetch", "--no-tags", "--no-write-fetch-head"]
        result = _run(
            ["-c", "fetch.negotiationAlgorithm=noop", *fetch, "--filter=blob:none", "origin", "--stdin"],
            repository,
            digests,
        )
        if result.returncode:  # a server may filter, and yet not give single files: then the commit comes whole
            result = _run([*fetch, "--refetch", "--no-filter", *self._fetched], repository)
            self._tell_not_filtered()
        if result.returncode:
            raise SourceError(self._failed(result.stderr))

    def _write_blobs(self, repository: Path, blobs: list[_Blob], folder: Path) -> None:
        """Write each blob to a file of its own, named by its digest."""
        digests = sorted({blob.digest for blob in blobs})
        with subprocess.Popen(
            ["git", *_OPTIONS, "cat-file", "--batch"],
            cwd=repository,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            for digest in digests:
                process.stdin.write(f"{digest}\n".encode())
                process.stdin.flush()
                header = process.stdout.readline().split()
                if len(header) != 3:
                    raise SourceError(self._failed(f"the file with digest {digest} did not arrive"))
                (folder / digest).write_bytes(process.stdout.read(int(header[2])))
                process.stdout.read(1)
            process.stdin.close()

    def _git(self, arguments: list[str], repository: Path | None = None) -> str:
        result = _run(arguments, repository)
        if result.returncode:
            raise SourceError(self._failed(result.stderr))
        return result.stdout

    def _failed(self, said: str) -> str:
        said = said.replace(self._url, self._shown)
        lines = [line for line in said.splitlines() if line.strip() and not line.startswith(("warning:", "hint:"))]
        reason = "; ".join(lines[:3]) or "it did not say why"
        return f"git repository {self._shown} cannot be read: {reason}{_hint(said)}"


def _hint(said: str) -> str:
    if "terminal prompts disabled" in said or "Permission denied" in said or "Authentication failed" in said:
        return "\n  It is private, or does not exist; set up a credential helper or an SSH key for it."
    if "resolve host" in said or "unable to connect" in said or "Failed to connect" in said:
        return "\n  Check the address and the connection."
    if "does not appear to be a git repository" in said or "does not exist" in said or "not found" in said:
        return "\n  Check the address."
    return ""


def _url(location: str) -> str:
    """The address as git takes it; local folders as file:// URLs, since git ignores filters for plain paths."""
    if os.path.isdir(location):
        return Path(location).absolute().as_uri()
    if "://" not in location and not re.match(r"[\w.-]+@?[\w.-]*:", location):
        raise SourceError(f"there is no git repository {location}: no such folder, and no URL")
    return location


# No hooks, no program of the repository's choosing, no question to a user who may not be there.
_OPTIONS = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false", "-c", "gc.auto=0")


def _environment() -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in _OF_A_REPOSITORY}
    environment.update(
        GIT_TERMINAL_PROMPT="0",
        GIT_ALLOW_PROTOCOL="file:git:http:https:ssh",  # `ext::` would run any command
        LC_ALL="C",
    )
    environment.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    return environment


# What git sets when it runs a hook; it would send our commands to that repository.
_OF_A_REPOSITORY = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
    "GIT_PREFIX",
)


def _run(arguments: list[str], repository: Path | None = None, given: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", *_OPTIONS, *arguments],
            cwd=repository,
            env=_environment(),
            input=given,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
    except FileNotFoundError as error:
        raise SourceError("git is not installed; install it, or give the repository's files as a folder") from error
