"""Plain text by file, by line and by passage."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.corpus.readers.text import split_units
from tests.corpus.conftest import Read

LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
LINES = st.text(st.sampled_from("ab \u0085\u2028\x0c\u3000字"), max_size=5)


def test_a_file_is_one_document_as_it_stands(read: Read) -> None:
    (piece,) = read("a.txt", "one\n\ntwo \n")
    assert (piece.text, piece.anchor, piece.removed) == ("one\n\ntwo \n", "", {})


def test_byte_order_mark_and_line_ends_are_mended(read: Read) -> None:
    (piece,) = read("a.txt", "\ufeffa\r\nb\rc\n")
    assert piece.text == "a\nb\nc\n"
    # 7 characters with the mark in; the mark and two CR out; the lone CR came back as a line feed
    assert (piece.characters, piece.added, piece.removed) == (8, 1, {"byte_order_mark": 1, "carriage_return": 2})


def test_lines_end_at_line_ends_only(read: Read, oddities: Path) -> None:
    pieces = read("separators.txt", (oddities / "separators.txt").read_bytes(), unit="line")
    assert [piece.text for piece in pieces] == ["form\x0cfeed", "next\u0085line", "line\u2028separator"]
    assert [piece.anchor for piece in pieces] == ["L1", "L2", "L3"]
    assert all(piece.removed == {"line_break": 1} for piece in pieces)


def test_every_kind_of_line_end_is_booked(read: Read) -> None:
    pieces = read("a.txt", "\ufeffa\r\nb\rc\n \nd", unit="line")
    assert [(piece.text, piece.documents, piece.anchor) for piece in pieces] == [
        ("a", 1, "L1"),
        ("b", 1, "L2"),
        ("c", 1, "L3"),
        (" \n", 0, "L4"),  # a line of white space is no document
        ("d", 1, "L5"),
    ]
    assert pieces[0].removed == {"byte_order_mark": 1, "carriage_return": 1, "line_break": 1}
    assert pieces[1].removed == {"carriage_return": 1}
    assert (pieces[3].dropped, pieces[4].removed) == ("blank_line", {})


def test_passages_end_at_blank_lines(read: Read) -> None:
    pieces = read("a.txt", "\n \na\r\nb\n\n\t\nc", unit="paragraph")
    kept = [piece for piece in pieces if piece.documents]
    assert [(piece.text, piece.anchor) for piece in kept] == [("a\nb", "L3"), ("c", "L7")]
    assert kept[0].removed == {"carriage_return": 1, "line_break": 1}
    assert sum(piece.characters for piece in pieces) == len("\n \na\r\nb\n\n\t\nc")


def test_units_of_one_file_know_the_same_digest_whatever_its_line_ends(read: Read) -> None:
    unix = read("a.txt", "a\nb\n", unit="line")
    dos = read("b.txt", "\ufeffa\r\nb\r\n", unit="line")
    other = read("c.txt", "a\nc\n", unit="line")
    assert len({piece.running for piece in [*unix, *dos]}) == 1
    assert other[0].running != unix[0].running


@given(st.lists(st.tuples(LINES, LINE_ENDS)), LINES, st.sampled_from(["line", "paragraph"]))
def test_no_character_is_lost_between_units(lines: list[tuple[str, str]], last: str, unit: str) -> None:
    whole = [line + end for line, end in lines] + ([last] if last else [])
    pieces = list(split_units(whole, unit, b""))
    for piece in pieces:
        assert piece.characters + piece.added == len(piece.text) + sum(piece.removed.values())
        assert bool(piece.documents) == bool(piece.text.strip())
    assert sum(piece.characters for piece in pieces) == sum(map(len, whole))


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt.zst"])
def test_compressed_files(read: Read, name: str) -> None:
    content = "汉字\n".encode()
    packed = gzip.compress(content) if name.endswith("gz") else pa.compress(content, codec="zstd", asbytes=True)
    assert [piece.text for piece in read(name, packed)] == ["汉字\n"]
    (broken,) = read(name, packed[:-5])
    assert (broken.dropped, broken.characters) == ("unreadable_file", 0)


@pytest.mark.parametrize("unit", ["file", "line"])
def test_bytes_of_another_encoding(read: Read, oddities: Path, unit: str) -> None:
    content = (oddities / "cp1252.txt").read_bytes()
    (broken,) = read("cp1252.txt", content, unit=unit)
    assert (broken.dropped, broken.characters, broken.documents) == ("undecodable_file", 0, 1)
    (piece,) = read("cp1252.txt", content, unit=unit, encoding="cp1252")
    assert piece.text.strip() == "café – 10 €"


def test_a_pointer_to_large_file_storage_is_no_text(read: Read) -> None:
    (piece,) = read("a.md", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    assert piece.dropped == "git_lfs_pointer"
