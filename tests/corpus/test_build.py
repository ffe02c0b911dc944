"""Building a corpus: what is kept, how it is split, when it is built again, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from acclimate.artifacts import MANIFEST
from acclimate.corpus import Corpus, CorpusSettings, Document, build_corpus, open_corpus
from acclimate.corpus.build import _shown
from acclimate.corpus.sources import files
from acclimate.errors import ArtifactError, DataError, RecipeError, SourceError
from tests.corpus.conftest import Build, Write

LONG = "word " * 50  # 250 characters


def texts(corpus: Corpus) -> list[str]:
    return [document.text for document in corpus.all_documents()]


def test_files_need_more_than_200_characters_and_records_none(build: Build, write: Write) -> None:
    write("short.txt", "x" * 200)
    write("long.txt", "x" * 201)
    write("records.jsonl", '{"text": "r"}\n')
    folder = write("empty.txt", " \n").parent
    corpus = build(folder)
    assert {document.id for document in corpus.all_documents()} == {"long.txt", "records.jsonl#L1"}
    assert corpus.ledger.as_dict()["reasons"] == {
        "empty": {"documents": 1, "characters": 2},
        "too_short": {"documents": 1, "characters": 200},
    }
    assert [(dropped.id, dropped.reason) for dropped in corpus.dropped()] == [
        ("empty.txt", "empty"),
        ("short.txt", "too_short"),
    ]


def test_min_chars_overrides(build: Build, write: Write) -> None:
    write("a.txt", "four")
    folder = write("b.jsonl", '"five5"\n"abc"\n').parent
    assert texts(build(folder, min_chars=4)) == ["four", "five5"]
    assert texts(build(folder, min_chars=5)) == ["five5"]


def test_duplicates_of_files_and_records_go_and_lines_stay(build: Build, write: Write) -> None:
    folder = write("a.txt", LONG).parent
    write("b.txt", "\ufeff" + LONG.replace(" ", " "))
    write("c.jsonl", '{"text": "same"}\n{"text": "same"}\n')
    corpus = build(folder)
    assert [document.id for document in corpus.all_documents()] == ["a.txt", "c.jsonl#L1"]
    assert corpus.ledger.as_dict()["reasons"]["exact_duplicate"]["documents"] == 2
    assert len(texts(build(folder, deduplicate=False))) == 4
    lines = write("lines/1.txt", "yes\nno\nyes\n").parent
    write("lines/2.txt", "yes\r\nno\r\nyes\r\n")
    corpus = build({"path": str(lines), "unit": "line"}, output="lines")
    assert texts(corpus) == ["yes", "no", "yes"]
    assert corpus.ledger.as_dict()["reasons"]["exact_duplicate"] == {"documents": 3, "characters": 8}


def test_ids_and_groups_of_documents(build: Build, write: Write) -> None:
    write("d/a.jsonl", '{"id": "x", "text": "one"}\n{"id": "x", "text": "two"}\n{"text": "three", "stars": 5}\n')
    folder = write("d/b.txt", LONG).parent
    assert list(build(folder).all_documents()) == [
        Document("a.jsonl#x", "one", "a.jsonl#x", {"id": "x"}),
        Document("a.jsonl#x~2", "two", "a.jsonl#x~2", {"id": "x"}),
        Document("a.jsonl#L3", "three", "a.jsonl#L3", {"stars": 5}),
        Document("b.txt", LONG, "b.txt", {}),
    ]


def test_names_of_several_sources(build: Build, write: Write) -> None:
    one = write("one/docs/a.txt", LONG + "1").parent
    two = write("two/docs/a.txt", LONG + "2").parent
    three, four = write("three/b.txt", LONG + "3"), write("four/b.txt", LONG + "4")
    corpus = build(one, two, three, four)
    assert [document.id for document in corpus.all_documents()] == ["docs/a.txt", "docs-2/a.txt", "b.txt", "b.txt-2"]


def numbered_lines(count: int) -> str:
    return "".join(f"line {number}\n" for number in range(count))


def test_lines_are_held_out_by_blocks_and_groups_are_neighbours(build: Build, write: Write) -> None:
    path = write("book.txt", numbered_lines(1000))
    corpus = build({"path": str(path), "unit": "line"}, held_out=0.3)
    lines = {
        split: [int(d.id.removeprefix("book.txt#L")) for d in corpus.documents(split)]
        for split in ("train", "held_out")
    }
    assert sorted(lines["train"] + lines["held_out"]) == list(range(1, 1001))
    # 20 blocks of 50 lines: each is on one side as a whole
    blocks = {split: {(line - 1) // 50 for line in numbers} for split, numbers in lines.items()}
    assert blocks["train"] & blocks["held_out"] == set()
    assert 1 <= len(blocks["held_out"]) <= 19
    for split in ("train", "held_out"):
        documents = list(corpus.documents(split))
        for one, two in zip(documents, documents[1:], strict=False):
            neighbours = int(two.id.removeprefix("book.txt#L")) - int(one.id.removeprefix("book.txt#L")) == 1
            assert (one.group == two.group) == neighbours
    assert {d.group for d in corpus.documents("train")} & {d.group for d in corpus.documents("held_out")} == set()


@pytest.mark.parametrize(("lines", "held_out"), [(3, 0), (50, 0), (51, 1)])
def test_one_block_is_not_held_out(build: Build, write: Write, lines: int, held_out: int) -> None:
    corpus = build({"path": str(write("a.txt", numbered_lines(lines))), "unit": "line"}, held_out=0.0001)
    assert (corpus.num_documents("held_out") > 0) == bool(held_out)
    assert corpus.num_documents("train") + corpus.num_documents("held_out") == lines


def test_an_edited_document_keeps_its_side(build: Build, write: Write) -> None:
    folder = write("0.txt", LONG).parent
    for number in range(40):
        write(f"{number}.txt", LONG + str(number))
    before = {document.id for document in build(folder, held_out=0.3).documents("held_out")}
    for number in range(0, 40, 2):
        write(f"{number}.txt", f"{number} edited {LONG}")
    assert {document.id for document in build(folder, held_out=0.3).documents("held_out")} == before


@pytest.mark.parametrize("unit", ["file", "line", "paragraph"])
def test_the_number_of_workers_changes_nothing(
    build: Build, write: Write, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    monkeypatch.setattr(files, "_WORTH_WORKERS", 0)
    monkeypatch.setattr(files, "_BATCH_BYTES", 5000)
    for number in range(60):
        content = f"# {number}\n\n" + f"para *{number}* [x](y)\n\n" * 60
        folder = write(f"{number % 7}/{number}.md", content).parent.parent
    one = build({"path": str(folder), "unit": unit}, num_workers=1, output="one")
    three = build({"path": str(folder), "unit": unit}, num_workers=3, output="three")
    for name in ("train.parquet", "held_out.parquet", "dropped.parquet"):
        assert (one.folder / name).read_bytes() == (three.folder / name).read_bytes()
    assert one.fingerprint == three.fingerprint


# --- the folder --------------------------------------------------------------------------------------------------


def modified(corpus: Corpus) -> int:
    return os.stat(corpus.folder / MANIFEST).st_mtime_ns


def test_it_is_built_again_only_when_something_changed(build: Build, write: Write) -> None:
    path = write("a.txt", LONG)
    first = build(path)
    written = modified(first)
    assert modified(build(path)) == written
    other_settings = build(path, min_chars=5)
    assert modified(other_settings) > written
    assert other_settings.fingerprint != first.fingerprint
    write("a.txt", LONG + "!")
    other_text = build(path, min_chars=5)
    assert texts(other_text) == [LONG + "!"]
    assert other_text.fingerprint != other_settings.fingerprint


def test_passwords_are_not_written_down(build: Build, write: Write) -> None:
    settings = CorpusSettings(sources=["https://user:secret@example.org/a.git"])
    assert "secret" not in json.dumps(_shown(settings))


def test_the_fingerprint_does_not_know_where_sources_lie(build: Build, write: Write, tmp_path: Path) -> None:
    folder = write("a.txt", LONG).parent
    first = build(folder)
    moved = tmp_path / "moved" / "docs"
    moved.parent.mkdir()
    folder.rename(moved)
    assert build(moved, output="other").fingerprint == first.fingerprint


def test_other_programs_can_read_it(build: Build, write: Write) -> None:
    datasets = pytest.importorskip("datasets")
    folder = build(write("a.jsonl", '{"text": "a", "n": 1}\n{"text": "b", "n": "two"}\n')).folder
    rows = datasets.Dataset.from_parquet(str(folder / "train.parquet"), cache_dir=str(folder.parent / "cache"))
    assert set(rows.column_names) == {"id", "text", "group", "metadata", "index"}


def test_a_folder_that_is_no_corpus_is_left_alone(build: Build, write: Write, tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "thesis.txt").write_text("precious")
    with pytest.raises(ArtifactError, match="holds no corpus"):
        build(write("a.txt", LONG))
    assert (tmp_path / "corpus" / "thesis.txt").read_text() == "precious"
    with pytest.raises(ArtifactError, match="is a file"):
        build(write("a.txt", LONG), output="corpus/thesis.txt")


def test_an_empty_corpus_shows_the_reasons_and_writes_nothing(build: Build, write: Write, tmp_path: Path) -> None:
    folder = write("a.txt", "short").parent
    write("b.jsonl", '{"body": "x"}\n')
    with pytest.raises(DataError) as caught:
        build(folder)
    message = str(caught.value)
    assert "nothing is left of 2 documents" in message
    assert "fewer characters of kept text" in message
    assert "the fields there are `body`" in message
    assert [path.name for path in tmp_path.iterdir()] == ["docs"]


def test_a_failed_build_leaves_the_old_corpus(build: Build, write: Write) -> None:
    path = write("a.txt", LONG)
    build(path)
    write("a.txt", "short")
    with pytest.raises(DataError):
        build(path)
    assert texts(open_corpus(path.parent.parent / "corpus")) == [LONG]


def test_without_sources() -> None:
    with pytest.raises(RecipeError, match="needs sources"):
        build_corpus(CorpusSettings(), "somewhere")


def test_a_damaged_corpus_is_not_opened(build: Build, write: Write) -> None:
    corpus = build(write("a.txt", LONG))
    (corpus.folder / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match="train.parquet has 4 bytes"):
        open_corpus(corpus.folder)


# --- bad input ---------------------------------------------------------------------------------------------------


def test_oddities_are_booked_and_named(build: Build, oddities: Path) -> None:
    corpus = build(oddities, min_chars=1)
    counts = corpus.ledger.as_dict()
    # 15 Markdown files and 3 of text, 4 lines of broken.jsonl, 2 records, 2 strings, 1 list of tokens
    assert counts["documents"]["in"] == 15 + 3 + 4 + 2 + 2 + 1
    dropped = {name: reason["documents"] for name, reason in counts["reasons"].items() if reason["documents"]}
    assert dropped == {"broken_json": 1, "empty": 1, "exact_duplicate": 1, "no_text": 1, "undecodable_file": 1}
    assert corpus.manifest["skipped_files"] == {".png": 1, "no suffix": 1}
    broken = corpus.manifest["broken"]
    assert broken["total"] == 2
    assert broken["first"][0] == "broken.jsonl: line 2: Unterminated string starting at column 21"
    assert broken["first"][2].startswith("cp1252.txt: not utf-8: ")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '"ok"\n{"text"\n', r"a.jsonl: line 2: .*column 8"),
        ("a.json", "[", r"a.json: .*line 1 column 2"),
        ("a.txt", b"caf\xe9", r"a.txt: not utf-8"),
        ("a.jsonl", b'"ok"\n"caf\xe9"\n', r"a.jsonl: line 2 is not utf-8"),
        ("a.txt.gz", b"no gzip", r"a.txt.gz: "),
    ],
)
def test_strict_refuses_what_is_broken(build: Build, write: Write, name: str, content: Any, message: str) -> None:
    write("good.txt", LONG)
    folder = write(name, content).parent
    assert LONG in texts(build(folder))
    for output in ("strict", "corpus"):  # a new one, and the one that was built leniently
        with pytest.raises(DataError, match=message):
            build(folder, output=output, strict=True)


def test_lines_of_markdown_leave_no_trace_of_an_empty_document(build: Build, write: Write) -> None:
    corpus = build({"path": str(write("a.md", "# a\n\n*b*\n")), "unit": "line"})
    assert set(corpus.ledger.reasons) == {"markdown_markup", "line_break", "blank_line"}
    assert list(corpus.dropped()) == []


def test_a_missing_source_is_told_before_anything_is_written(build: Build, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no file or folder"):
        build(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


def test_metadata_of_any_kind(build: Build, write: Write) -> None:
    records = [{"text": "a", "m": {"x": [1, None, "\ud800"]}}, {"text": "b", "m": 3.5}, {"text": "c", "m": "字"}]
    corpus = build(write("a.jsonl", "".join(json.dumps(record) + "\n" for record in records)))
    assert [document.metadata["m"] for document in corpus.all_documents()] == [{"x": [1, None, "\ud800"]}, 3.5, "字"]


# --- real data ---------------------------------------------------------------------------------------------------


def test_azure_docs(build: Build, shared_data: Path) -> None:
    corpus = build({"path": str(shared_data / "corpora" / "azure-docs"), "markdown": "source"})
    counts = corpus.ledger.as_dict()
    # 1,835 files, one of them empty and one of 175 characters; four repeat another one
    assert counts["documents"] == {"in": 1835, "kept": 1829, "dropped": 6}
    assert counts["reasons"]["byte_order_mark"]["characters"] == 6
    assert counts["characters"]["added"] == 12  # lone CRs of one file


def test_the_comprehensive_mirror_by_line(build: Build, shared_data: Path) -> None:
    path = shared_data / "corpora" / "zizhi-tongjian" / "classical.txt"
    corpus = build({"path": str(path), "unit": "line"})
    counts = corpus.ledger.as_dict()
    assert counts["documents"] == {"in": 120_753, "kept": 120_753, "dropped": 0}
    # every character but the line ends is kept
    assert counts["reasons"] == {"line_break": {"documents": 0, "characters": 120_753}}
    assert counts["characters"]["in"] == len(path.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_azure_docs_as_text(build: Build, shared_data: Path) -> None:
    corpus = build(shared_data / "corpora" / "azure-docs")
    counts = corpus.ledger.as_dict()
    assert counts["documents"]["in"] == 1835
    assert counts["documents"]["kept"] == 1814
    # all the text that a reader sees is about four fifths of the characters
    assert 0.75 < counts["characters"]["kept"] / counts["characters"]["in"] < 0.85
