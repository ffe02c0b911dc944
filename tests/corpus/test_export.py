"""Writing texts back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acclimate.errors import ArtifactError
from tests.corpus.conftest import Build, Write


def test_a_list_of_strings_as_people_write_it(build: Build, write: Write, tmp_path: Path) -> None:
    corpus = build(write("a.json", '["潮\\n水", "\\"海风\\"", "c"]'))
    assert corpus.export(tmp_path / "out.json", "json") == 3
    expected = '[\n  "潮\\n水",\n  "\\"海风\\"",\n  "c"\n]\n'
    assert (tmp_path / "out.json").read_text(encoding="utf-8") == expected
    assert json.loads(expected) == ["潮\n水", '"海风"', "c"]


def test_what_is_exported_can_be_read_again(build: Build, write: Write, tmp_path: Path) -> None:
    records = "".join(f'{{"id": "r{n}", "text": "text {n}", "stars": {n}}}\n' for n in range(100))
    corpus = build(write("a.jsonl", records))
    corpus.export(tmp_path / "out.jsonl", "jsonl")
    again = build(tmp_path / "out.jsonl", output="again")
    assert [document.text for document in again.all_documents()] == [f"text {n}" for n in range(100)]
    assert next(again.all_documents()).metadata == {"id": "a.jsonl#r0", "metadata": {"id": "r0", "stars": 0}}


def test_lines_come_back_as_the_file_they_were(build: Build, write: Write, tmp_path: Path) -> None:
    content = "".join(f"line {number}\n" for number in range(300))
    corpus = build({"path": str(write("a.txt", content)), "unit": "line"}, held_out=0.3)
    corpus.export(tmp_path / "out.txt", "txt")
    assert (tmp_path / "out.txt").read_text() == content
    number = corpus.export(tmp_path / "part.txt", "txt", "held_out")
    assert number == corpus.num_documents("held_out") > 0


def test_documents_are_apart_in_plain_text(build: Build, write: Write, tmp_path: Path) -> None:
    corpus = build(write("a.json", '["one\\n", "two"]'))
    corpus.export(tmp_path / "out.txt", "txt")
    assert (tmp_path / "out.txt").read_text() == "one\n\ntwo\n"


def test_a_place_that_cannot_be_written(build: Build, write: Write) -> None:
    path = write("a.json", '["one"]')
    with pytest.raises(ArtifactError, match="a part of the path is a file"):
        build(path).export(path / "out.json", "json")
