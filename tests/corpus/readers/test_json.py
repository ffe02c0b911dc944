"""JSON and JSON Lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acclimate.errors import DataError
from tests.corpus.conftest import Read


def test_a_list_of_strings(read: Read) -> None:
    pieces = read("a.json", '\ufeff["潮水", "海风"]')
    assert [(piece.text, piece.anchor, piece.characters) for piece in pieces] == [("潮水", "1", 2), ("海风", "2", 2)]


def test_records_are_named_by_their_own_ids(read: Read, oddities: Path) -> None:
    pieces = read("records.json", (oddities / "records.json").read_bytes())
    assert [(piece.anchor, piece.text) for piece in pieces] == [("x", "A white bird."), ("y", "A swift one.")]
    assert pieces[0].metadata == {"id": "x", "title": "Gull"}


@pytest.mark.parametrize(
    "content", ['{"text": "a"}', '"a"', '{"data": [{"text": "a"}]}', '{"data": ["a"], "version": 1}']
)
def test_single_records_and_wrapped_lists(read: Read, content: str) -> None:
    assert [piece.text for piece in read("a.json", content)] == ["a"]


def test_an_object_with_several_lists_is_refused_where_it_was_named(read: Read) -> None:
    content = '{"a": [1], "b": [2]}'
    with pytest.raises(DataError, match="`a`, `b`"):
        read("a.json", content)
    (piece,) = read("a.json", content, named=False)
    assert (piece.dropped, piece.documents) == ("no_text", 1)


def test_a_broken_file_counts_its_characters(read: Read) -> None:
    (piece,) = read("a.json", '["a",')
    assert (piece.dropped, piece.characters) == ("broken_json", 5)
    assert "line 1" in piece.detail


def test_lines_in_a_file_called_json(read: Read) -> None:
    assert [piece.text for piece in read("a.json", '{"text": "a"}\n{"text": "b"}\n')] == ["a", "b"]


def test_a_broken_line_is_named_and_passed_over(read: Read, oddities: Path) -> None:
    content = (oddities / "broken.jsonl").read_text()
    pieces = read("broken.jsonl", content)
    assert [(piece.anchor, piece.text, piece.dropped) for piece in pieces] == [
        ("a", "first", None),
        ("L2", '{"id": "b", "text": "sec', "broken_json"),
        ("c", "third", None),
        ("d", "", "no_text"),
    ]
    assert pieces[1].detail == "line 2: Unterminated string starting at column 21"


def test_an_undecodable_line_is_named_and_passed_over(read: Read) -> None:
    pieces = read("a.jsonl", b'"ok"\n"caf\xe9"\n')
    assert [(piece.dropped, piece.characters) for piece in pieces] == [(None, 2), ("undecodable_line", 0)]
    assert "line 2" in pieces[1].detail


def test_lines_end_at_line_feeds_only(read: Read) -> None:
    text = "a\u2028b\u0085c\x0c"
    assert [piece.text for piece in read("a.ndjson", json.dumps(text, ensure_ascii=False) + "\r\n")] == [text]


def test_half_a_surrogate_pair_is_replaced(read: Read) -> None:
    (piece,) = read("a.jsonl", r'{"text": "a\ud800b", "note": "\udfff"}')
    assert piece.text == "a\ufffdb"
    assert (piece.added, piece.removed) == (1, {"lone_surrogate": 1})


@pytest.mark.parametrize("line", ["[" * 100_000, "1" * 5000, "NaN"])
def test_hostile_lines_are_passed_over(read: Read, line: str) -> None:
    pieces = read("a.jsonl", f'{line}\n"ok"\n')
    assert pieces[0].dropped in ("broken_json", "no_text")
    assert pieces[1].text == "ok"
