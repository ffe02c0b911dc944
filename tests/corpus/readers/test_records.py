"""Records: which field is the text, and what becomes of the others."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from acclimate.corpus.readers.records import RecordReader, join_tokens, plain
from acclimate.corpus.settings import SourceSettings
from acclimate.errors import DataError


def reader(**settings: Any) -> RecordReader:
    return RecordReader(SourceSettings(path="x", **settings), "x.jsonl")


@pytest.mark.parametrize(
    ("record", "settings", "text"),
    [
        ({"text": "a", "content": "b"}, {}, "a"),
        ({"title": "t", "content": "b"}, {}, "b"),
        ({"tokens": ["a", "b"]}, {}, "a b"),
        ({"text": None, "content": "b"}, {}, "b"),
        ({"text": "a", "body": "b"}, {"text_field": "body"}, "b"),
        ("plain", {}, "plain"),
        (["two", "words"], {}, "two words"),
    ],
)
def test_finding_the_text(record: Any, settings: dict[str, Any], text: str) -> None:
    assert reader(**settings).read(record, "1").text == text


def test_a_prefixed_title_counts_as_come_in_and_its_line_break_as_added() -> None:
    record = {"headline": "Gull", "text": "White."}
    piece = reader(title="prefix", title_field="headline").read(record, "1")
    assert piece.text == "Gull\nWhite."
    assert (piece.characters, piece.added) == (4 + 6, 1)
    assert piece.metadata == {"headline": "Gull"}


@pytest.mark.parametrize("record", [{"text": 3}, {"text": [1, 2]}, {"text": None}, 5, None])
def test_what_has_no_text(record: Any) -> None:
    piece = reader().read(record, "1")
    assert (piece.dropped, piece.characters, piece.documents) == ("no_text", 0, 1)


def test_the_wrong_field_is_told_with_those_that_are_there() -> None:
    records = reader()
    records.read({"instruction": "a", "output": "b"}, "1")
    with pytest.raises(DataError, match=r"x.jsonl.*`text`.*`instruction`, `output`.*text_field"):
        records.finish()


def test_the_wrong_field_is_told_early_in_a_long_file() -> None:
    records = reader(text_field="body")
    with pytest.raises(DataError, match="`body`"):
        for number in range(1000):
            records.read({"text": "a"}, str(number))
    assert number == 99


def test_some_records_without_text_are_no_mistake() -> None:
    records = reader()
    records.read({"text": "a"}, "1")
    for number in range(200):
        records.read({"other": "a"}, str(number))
    records.finish()


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (["time", "flies"], "time flies"),
        (["学", "而", "时", "习", "之"], "学而时习之"),
        (["学", "time", "。", "字"], "学 time 。字"),  # a full stop is set like a character
        (["한국", "어"], "한국 어"),  # Korean has blanks
        (["a", "", "b"], "a b"),
        ([], ""),
    ],
)
def test_joining_tokens(tokens: list[str], text: str) -> None:
    assert join_tokens(tokens) == text


def test_metadata_is_plain_data() -> None:
    value = {1: (datetime.date(2024, 5, 1), float("inf"), b"\x00"), "nested": {"set": {3}}, "object": 2j}
    assert plain(value) == {"1": ["2024-05-01", "inf", "AA=="], "nested": {"set": [3]}, "object": "2j"}
