"""Git repositories as sources, over file://."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from acclimate.corpus.pieces import Piece
from acclimate.corpus.settings import SourceSettings
from acclimate.corpus.sources.git import GitSource
from acclimate.errors import SourceError


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class Repository:
    """A bare repository with three commits: a branch ends in the first, a tag and a branch in the last."""

    def __init__(self, folder: Path) -> None:
        work = folder / "work"
        (work / "docs" / "~").mkdir(parents=True)
        (work / ".github").mkdir()
        git(work, "init", "--quiet", "--initial-branch=main")
        (work / "docs" / "a.md").write_text("old")
        self.first = self.commit(work)
        git(work, "branch", "stable")
        (work / "docs" / "a.md").write_text("between")
        self.between = self.commit(work)
        (work / "docs" / "a.md").write_text("new")
        (work / "docs" / "~" / "b.md").write_text("tilde")
        (work / ".github" / "issue.md").write_text("hidden")
        (work / "large.bin").write_bytes(bytes(range(256)) * 4000)
        (work / "link.md").symlink_to("/etc/hostname")
        (work / "caf\u00e9 #1.md").write_text("name")
        self.last = self.commit(work)
        git(work, "tag", "--annotate", "-m", "v1", "v1")
        self.path = folder / "docs.git"
        git(folder, "clone", "--quiet", "--bare", str(work), str(self.path))
        self.allow_filter(True)
        self.url = self.path.as_uri()

    def commit(self, work: Path) -> str:
        git(work, "add", "--all")
        git(work, "commit", "--quiet", "-m", "c")
        return git(work, "rev-parse", "HEAD")

    def allow_filter(self, allowed: bool) -> None:
        git(self.path, "config", "uploadpack.allowFilter", str(allowed).lower())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def repository(made: Repository) -> Repository:
    made.allow_filter(True)
    return made


def read(source: GitSource, scratch: Path) -> dict[str, str]:
    pieces: list[tuple[str, Piece]] = list(source.pieces(scratch, 1))
    return {name: piece.text for name, piece in pieces}


def source(url: str, **settings: Any) -> GitSource:
    return GitSource(SourceSettings(git=url, **settings))


def blobs_that_travelled(scratch: Path) -> int:
    listing = git(scratch / "repository", "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)")
    return listing.split().count("blob")


def test_only_wanted_files_of_the_head_travel(repository: Repository, tmp_path: Path) -> None:
    found = source(repository.url)
    assert read(found, tmp_path) == {"caf\u00e9 #1.md": "name", "docs/a.md": "new", "docs/~/b.md": "tilde"}
    assert blobs_that_travelled(tmp_path) == 3
    assert found.notes.skipped == {".bin": 1, "symbolic link": 1, ".md": 1}
    assert found.notes.messages == []
    assert (found.label, found.fingerprint()) == ("docs", repository.last)


def test_a_limit_applies_to_what_travels(repository: Repository, tmp_path: Path) -> None:
    assert len(read(source(repository.url, limit=1), tmp_path)) == 1
    assert blobs_that_travelled(tmp_path) == 1


def test_a_server_that_does_not_filter_is_told_of(repository: Repository, tmp_path: Path) -> None:
    repository.allow_filter(False)
    found = source(repository.url)
    assert len(read(found, tmp_path)) == 3
    assert found.notes.messages == [
        f"the server of {repository.url} does not filter, so all files of the commit were fetched"
    ]


@pytest.mark.parametrize("filtering", [True, False])
@pytest.mark.parametrize(
    ("revision", "text"), [("main", "new"), ("stable", "old"), ("v1", "new"), ("refs/heads/stable", "old")]
)
def test_branches_and_tags(repository: Repository, tmp_path: Path, revision: str, text: str, filtering: bool) -> None:
    repository.allow_filter(filtering)
    found = source(repository.url, revision=revision, glob="docs/*.md")
    assert read(found, tmp_path) == {"docs/a.md": text}
    assert found.fingerprint() == (repository.last if text == "new" else repository.first)


@pytest.mark.parametrize("length", [40, 8])
def test_commits(repository: Repository, tmp_path: Path, length: int) -> None:
    found = source(repository.url, revision=repository.first[:length], glob="*.md")
    assert read(found, tmp_path) == {"docs/a.md": "old"}


@pytest.fixture
def old_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first version of the protocol gives only what branches and tags end in."""
    for name, value in {"COUNT": "1", "KEY_0": "protocol.version", "VALUE_0": "0"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)


@pytest.mark.parametrize(("revision", "text"), [(None, "new"), ("v1", "new"), ("stable", "old")])
def test_an_old_server_gives_commits_whole(
    repository: Repository, tmp_path: Path, old_server: None, revision: str | None, text: str
) -> None:
    found = source(repository.url, revision=revision)
    assert read(found, tmp_path)["docs/a.md"] == text
    assert len(found.notes.messages) == 1


def test_a_commit_that_an_old_server_does_not_give_is_found_in_the_history(
    repository: Repository, tmp_path: Path, old_server: None
) -> None:
    found = source(repository.url, revision=repository.between, glob="*.md")
    assert read(found, tmp_path) == {"docs/a.md": "between"}
    assert "its whole history" in found.notes.messages[0]


def test_a_local_folder_is_a_repository_too(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.path.parent)
    found = source("work", glob="docs/a.md")
    assert read(found, tmp_path) == {"docs/a.md": "new"}
    assert found.label == "work"


def test_top_level_and_hidden_folders(repository: Repository, tmp_path: Path) -> None:
    assert set(read(source(repository.url, recursive=False), tmp_path / "a")) == {"caf\u00e9 #1.md"}
    assert set(read(source(repository.url, glob=".github/*"), tmp_path / "b")) == {".github/issue.md"}


@pytest.mark.parametrize(
    ("url", "settings", "message"),
    [
        ("{url}", {"revision": "mian"}, "no branch, tag or commit 'mian'; it has main"),
        ("{url}", {"revision": "deadbeef"}, "no branch, tag or commit 'deadbeef'"),
        ("{url}", {"revision": "0" * 40}, "no branch, tag or commit '0000"),
        ("{url}-missing", {}, "cannot be read.*not appear to be a git repository"),
        ("{url}", {"glob": "*.rst"}, r"no file that matches \*.rst; passed over: .*\.md"),
        ("no/such/folder", {}, "no such folder, and no URL"),
        ("ext::touch /tmp/x", {}, "transport 'ext' not allowed"),
        ("--upload-pack=x", {}, "no such folder, and no URL"),
    ],
)
def test_what_cannot_be_read(
    repository: Repository, tmp_path: Path, url: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        read(source(url.format(url=repository.url), **settings), tmp_path)


def test_an_empty_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "empty.git")
    with pytest.raises(SourceError, match="no commits at its HEAD"):
        source((tmp_path / "empty.git").as_uri())


def test_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SourceError, match="git is not installed"):
        source("https://example.org/a.git")


def test_passwords_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "protocol.http.allow")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "never")
    with pytest.raises(SourceError) as caught:
        source("http://user:secret@localhost:1/a.git")
    assert "http://localhost:1/a.git" in str(caught.value)
    assert "secret" not in str(caught.value)
