"""Files, folders and globs as sources."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from acclimate.corpus.settings import SourceSettings
from acclimate.corpus.sources.files import FilesSource, printable
from acclimate.errors import SourceError
from tests.corpus.conftest import Write


def source(path: Path | str, exclude: Path | None = None, **settings: Any) -> FilesSource:
    return FilesSource(SourceSettings(path=str(path), **settings), exclude)


def names(found: FilesSource, num_workers: int = 1) -> list[str]:
    return [name for name, piece in found.pieces(Path(), num_workers) if piece.documents]


def texts(found: FilesSource) -> list[str]:
    return [piece.text for _, piece in found.pieces(Path(), 1) if piece.documents]


@pytest.fixture
def docs(write: Write) -> Path:
    for name in ("b.md", "a/z.TXT", "a/~/c.md", "image.png", "LICENSE", ".git/config.txt", ".hidden.md", "a-b.md"):
        write(name, name)
    return write("a.md", "a.md").parent


def test_a_folder_is_read_in_the_order_of_names(docs: Path) -> None:
    found = source(docs)
    assert names(found) == ["a-b.md", "a.md", "a/z.TXT", "a/~/c.md", "b.md"]
    assert found.notes.skipped == {".png": 1, "no suffix": 1, "dot-folder": 1, ".md": 1}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"recursive": False}, ["a-b.md", "a.md", "b.md"]),
        ({"glob": "*.md", "recursive": False}, [".hidden.md", "a-b.md", "a.md", "b.md"]),
        ({"glob": "a/"}, ["a/z.TXT", "a/~/c.md"]),
        ({"glob": ["LICENSE", "b.*"]}, ["LICENSE", "b.md"]),
        ({"glob": ".git/*"}, [".git/config.txt"]),
        ({"limit": 2}, ["a-b.md", "a.md"]),
        ({"split": "train[1:3]"}, ["a.md", "a/z.TXT"]),
        ({"split": "train[-1:]"}, ["b.md"]),
        ({"split": "[50%:]", "limit": 1}, ["a/z.TXT"]),  # half of 5 is 2.5, rounded to 2
    ],
)
def test_which_files(docs: Path, settings: dict[str, Any], expected: list[str]) -> None:
    assert names(source(docs, **settings)) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"), [("*.md", ["a-b.md", "a.md", "b.md"]), ("**/*.md", ["a-b.md", "a.md", "a/~/c.md", "b.md"])]
)
def test_globs_are_those_of_a_shell(docs: Path, pattern: str, expected: list[str]) -> None:
    assert [name for name in names(source(docs / pattern)) if not name.startswith(".")] == expected


def test_a_named_file_needs_no_suffix(docs: Path) -> None:
    found = source(docs / "LICENSE")
    assert (found.label, found.single, texts(found)) == ("LICENSE", True, ["LICENSE"])


def test_the_corpus_itself_is_not_read(docs: Path, write: Write) -> None:
    write("out/manifest.json", '["no"]')
    assert "out/manifest.json" not in names(source(docs, docs / "out"))


def test_links(docs: Path, tmp_path: Path) -> None:
    (docs / "link.md").symlink_to(docs / "b.md")
    (docs / "loop").symlink_to(docs)
    (docs / "nowhere.md").symlink_to(tmp_path / "nothing")
    pieces = {name: piece for name, piece in source(docs).pieces(Path(), 1)}
    assert pieces["link.md"].text == "b.md"
    assert pieces["nowhere.md"].dropped == "unreadable_file"
    assert not any(name.startswith("loop/") for name in pieces)


def test_names_that_are_not_unicode(docs: Path) -> None:
    try:
        (docs / os.fsdecode(b"caf\xe9.md")).write_text("x")
    except OSError:
        pytest.skip("this file system has Unicode names only")
    assert r"caf\xe9.md" in names(source(docs))
    assert printable("plain/字.md") == "plain/字.md"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing/x.md", "the path can be followed to"),
        ("https://example.org/docs", r"is written git\+https"),
        ("~/docs", "~ is not expanded"),
        ("b.md/x", "there is no file or folder"),
        ("*.rst", "no file that matches; passed over: .*1 × .png"),
        ("empty", "no file with a suffix that a reader exists for"),
    ],
)
def test_missing_sources(docs: Path, monkeypatch: pytest.MonkeyPatch, path: str, message: str) -> None:
    monkeypatch.chdir(docs)
    (docs / "empty").mkdir()
    with pytest.raises(SourceError, match=message):
        source(path)


def test_no_file_matches_the_pattern_of_a_folder(docs: Path) -> None:
    with pytest.raises(SourceError, match=r"no file that matches \*.rst"):
        source(docs, glob="*.rst")


def test_files_have_one_part(docs: Path) -> None:
    with pytest.raises(SourceError, match="single part, train"):
        names(source(docs, split="test"))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"limit": 3}, ["0", "1", "2"]),
        ({"split": "train[2:4]"}, ["2", "3"]),
        ({"split": "train[-2:]"}, ["8", "9"]),
        ({"split": "train[:25%]"}, ["0", "1"]),  # a quarter of 10 is 2.5, rounded to 2
        ({"split": "train[5:5]"}, []),
    ],
)
def test_parts_of_lines_and_records(write: Write, settings: dict[str, Any], expected: list[str]) -> None:
    lines = write("lines.txt", "\n\n".join(map(str, range(10))))
    assert texts(source(lines, unit="line", **settings)) == expected
    records = write("records.jsonl", "\n".join(f'{{"text": "{number}"}}' for number in range(10)))
    assert texts(source(records, **settings)) == expected


def test_the_fingerprint_knows_names_and_contents_and_no_place(docs: Path, tmp_path: Path) -> None:
    before = list(source(docs).fingerprint())
    docs.rename(tmp_path / "elsewhere")
    moved = tmp_path / "elsewhere"
    assert list(source(moved).fingerprint()) == before
    (moved / "b.md").write_text("changed")
    assert list(source(moved).fingerprint()) != before


def test_large_streamed_files_and_small_ones_keep_their_order(write: Write) -> None:
    write("a.txt", "a\n")
    write("b.txt", "b\n" * 600_000)  # above the size from which lines are streamed
    folder = write("c.txt", "c\n").parent
    found = [name for name, _ in source(folder, unit="line").pieces(Path(), 2)]
    assert (found[0], found[1], found[-2], found[-1], len(found)) == ("a.txt", "b.txt", "b.txt", "c.txt", 600_002)
