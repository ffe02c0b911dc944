"""Labelled pairs: one document each, what labels mean, and which cannot be meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acclimate.corpus import CorpusSettings, Pair, PairSettings, SourceSettings
from acclimate.corpus.document import Document
from acclimate.errors import DataError, RecipeError
from tests.corpus.conftest import Build, Read, Write

WORDS = {"pair": {}}
ONE_IS_RANDOM = {"pair": {"one_means": "random"}}


def lines(*records: Any) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def record(label: Any, number: int = 0) -> dict[str, Any]:
    return {"sentence_a": f"A{number}", "sentence_b": f"B{number}", "label": label}


def test_a_pair_is_one_document(read: Read) -> None:
    (piece,) = read("a.jsonl", lines({"id": "x", **record("random"), "source": "web"}), **WORDS)
    assert piece.text == "A0\nB0"
    assert (piece.characters, piece.added, piece.anchor) == (4, 1, "x")
    assert piece.metadata == {"id": "x", "source": "web", "pair": {"second": 3, "is_random": True}}


def test_other_fields_and_a_csv(read: Read) -> None:
    settings = {"pair": {"first": "premise", "second": "next", "label": "y", "one_means": "consecutive"}}
    one, two = read("a.csv", "n,premise,next,y\n1,He came.,He saw.,1\n2,你好。,再见。,0\n", **settings)
    assert one.metadata == {"n": "1", "pair": {"second": 9, "is_random": False}}
    assert two.text[two.metadata["pair"]["second"] :] == "再见。"
    assert two.metadata["pair"]["is_random"] is True


def test_both_texts_are_mended_before_they_meet(read: Read) -> None:
    first, second = " \ufeffa\r\nb\t", "\ufeff\ufeff c\ud800 "
    (piece,) = read("a.jsonl", json.dumps({"sentence_a": first, "sentence_b": second, "label": "next"}), **WORDS)
    # The mark U+FEFF is one only at the very start of a text; `read` checks the sums of the account.
    assert piece.text == "\ufeffa\nb\n\ufeff c\ufffd"
    assert piece.text[piece.metadata["pair"]["second"] :] == "\ufeff c\ufffd"
    assert piece.removed == {
        "byte_order_mark": 1,
        "carriage_return": 1,
        "lone_surrogate": 1,
        "pair_white_space": 3,
    }
    assert piece.added == 2


@pytest.mark.parametrize(
    ("labels", "one_means", "is_random"),
    [
        ([0, 1], "random", [False, True]),
        ([0, 1], "consecutive", [True, False]),
        (["0", " 1 ", "1.0", 1.0], "random", [False, True, True, True]),
        ([1, 2], "consecutive", [False, True]),
        ([1, 1], "random", [True, True]),
        ([True, False], "random", [True, False]),
        (["true", "FALSE", False], "consecutive", [False, True, True]),
        (["next", "random", "is_next", "Not-Next", "consecutive", "isNext", "NotNext"], None, None),
    ],
)
def test_labels(read: Read, labels: list[Any], one_means: str | None, is_random: list[bool] | None) -> None:
    content = lines(*(record(label, number) for number, label in enumerate(labels)))
    pieces = read("a.jsonl", content, pair={"one_means": one_means})
    expected = is_random or [False, True, False, True, False, False, True]
    assert [piece.metadata["pair"]["is_random"] for piece in pieces] == expected


@pytest.mark.parametrize("label", [0, 1, "1", True, "false"])
def test_numbers_must_be_explained(read: Read, label: Any) -> None:
    for named in (True, False):
        with pytest.raises(RecipeError, match=rf"a.jsonl: label is {label!r} \(line 1\).*pair: {{one_means: …}}"):
            read("a.jsonl", lines(record(label)), named=named, **WORDS)


@pytest.mark.parametrize(
    ("one", "two"),
    [(0, 2), ("0", "2"), (1, "next"), (True, "1"), (True, 1), ("true", 0), (2, "random"), (1, "not_next")],
)
def test_labels_of_two_conventions_are_an_error(read: Read, one: Any, two: Any) -> None:
    content = lines(record(1 if one == 0 else one), {"id": "x", **record(one)}, record(two, 2))
    first = r"record x|line 1"
    message = rf"a.jsonl: the labels in label mix conventions: {one!r} \(({first})\) and {two!r} \(line 3\)"
    for named in (True, False):  # also where the file was merely found in a folder
        with pytest.raises(DataError, match=message):
            read("a.jsonl", content, named=named, **ONE_IS_RANDOM)


@pytest.mark.parametrize(
    ("broken", "reason", "detail"),
    [
        ({"sentence_b": "B", "label": "next"}, "pair_text", "no text in sentence_a"),
        ({"sentence_a": "A", "sentence_b": " \n", "label": "next"}, "pair_text", "no text in sentence_b"),
        ({"sentence_a": "A", "sentence_b": 5, "label": "next"}, "pair_text", "sentence_b is no text"),
        ({"sentence_a": "A", "sentence_b": "B"}, "pair_label", "label is None, which is no label"),
        (record("maybe"), "pair_label", "label is 'maybe', which is no label"),
        (record(3), "pair_label", "label is 3, which is no label"),
        (record("x" * 99), "pair_label", "label is 'xxx"),
        ("text", "pair_text", "str instead of a record"),
        (["A", "B"], "pair_text", "list instead of a record"),
    ],
)
def test_what_is_no_pair_is_counted(read: Read, broken: Any, reason: str, detail: str) -> None:
    good, bad = read("a.jsonl", lines(record("next"), broken), **WORDS)
    assert good.dropped is None
    assert bad.dropped == reason
    assert bad.detail.startswith(detail)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", "text_a,text_b,label\n"), ("a.jsonl", lines({"text_a": "A", "text_b": "B", "label": "next"}))],
)
def test_the_wrong_fields_are_told_with_those_that_are_there(read: Read, name: str, content: str) -> None:
    message = (
        rf"{name}: no record is a pair with `sentence_a`, `sentence_b`, `label`.*; the fields there are `text_a`, "
        r"`text_b`, `label`\. Name those to read with `pair: \{first"
    )
    with pytest.raises(DataError, match=message):
        read(name, content, **WORDS)


def test_labels_that_are_all_unknown_are_told(read: Read) -> None:
    with pytest.raises(DataError, match="label is 'entailment', which is no label"):
        read("a.jsonl", lines(record("entailment")), **WORDS)


def test_text_holds_no_pairs(read: Read) -> None:
    with pytest.raises(DataError, match="a.md holds no records"):
        read("a.md", "# a\n", **WORDS)
    (piece,) = read("a.md", "# a\n", named=False, **WORDS)
    assert piece.dropped == "no_text"


@pytest.mark.parametrize(
    "content", [lines(record("next")), json.dumps([record("next")]), json.dumps({"rows": [record("next")]})]
)
def test_json(read: Read, content: str) -> None:
    assert [piece.text for piece in read("a.json", content, **WORDS)] == ["A0\nB0"]


# ---- settings and corpora -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pair": {"first": "label"}}, "three different fields"),
        ({"pair": {"one_means": "next"}}, "random"),
        ({"pair": {}, "text_field": "a"}, "text_field has no meaning for pairs"),
        ({"pair": {}, "unit": "line"}, "unit has no meaning for pairs"),
        ({"pair": {}, "title": "prefix"}, "title has no meaning for pairs"),
        ({"pair": {}, "format": "markdown"}, "not from markdown"),
    ],
)
def test_settings_that_mean_nothing(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SourceSettings(path="a.csv", **settings)


def test_defaults() -> None:
    settings = CorpusSettings(sources=[{"path": "a.csv", "pair": {}}]).sources[0].pair
    assert settings == PairSettings(first="sentence_a", second="sentence_b", label="label", one_means=None)


def test_a_corpus_of_pairs(build: Build, write: Write) -> None:
    rows = [("Short.", "Text.", 0), ("Short.", "Text.", 0), ("Other", " ", 1), ("A", "B", 7), ("A", "B", 1)]
    path = write("a.csv", "sentence_a,sentence_b,label\n" + "".join(f"{a},{b},{label}\n" for a, b, label in rows))
    source = {"path": str(path), **ONE_IS_RANDOM}
    corpus = build(source)
    assert sorted(corpus.all_documents(), key=lambda document: document.id) == [
        Document("a.csv#L2", "Short.\nText.", "a.csv#L2", {"pair": {"second": 7, "is_random": False}}),
        Document("a.csv#L6", "A\nB", "a.csv#L6", {"pair": {"second": 2, "is_random": True}}),
    ]
    assert {document.pair for document in corpus.all_documents()} == {Pair(7, False), Pair(2, True)}
    reasons = corpus.ledger.as_dict()["reasons"]
    assert {name: reason["documents"] for name, reason in reasons.items() if reason["documents"]} == {
        "exact_duplicate": 1,
        "pair_label": 1,
        "pair_text": 1,
    }
    # `min_chars` holds where it is given: `A`, a line break and `B` are 3.
    assert [document.id for document in build(source, min_chars=4).all_documents()] == ["a.csv#L2"]


def test_a_single_pair_has_no_minimum_either(build: Build, write: Write) -> None:
    path = write("a.json", json.dumps(record("next")))
    assert [document.text for document in build({"path": str(path), **WORDS}).all_documents()] == ["A0\nB0"]


def test_a_folder_with_mixed_labels_is_not_built(build: Build, write: Write, tmp_path: Path) -> None:
    write("good.jsonl", lines(record("next")))
    folder = write("mixed.jsonl", lines(record(0), record(True))).parent
    with pytest.raises(DataError, match="mixed.jsonl: the labels in label mix conventions"):
        build({"path": str(folder), **ONE_IS_RANDOM})
    assert not (tmp_path / "corpus").exists()


def test_the_fields_decide_on_the_fingerprint(build: Build, write: Write) -> None:
    path = write("a.jsonl", lines(record(1)))
    one = build({"path": str(path), "pair": {"one_means": "random"}})
    two = build({"path": str(path), "pair": {"one_means": "consecutive"}})
    assert one.fingerprint != two.fingerprint


@pytest.mark.parametrize(
    "pair", [None, 3, "x", {}, {"second": 3}, {"second": 0, "is_random": True}, {"second": "3", "is_random": True}]
)
def test_a_field_called_pair_makes_no_pair(pair: Any) -> None:
    assert Document("a", "b\nc", "a", {"pair": pair}).pair is None


def test_rows_of_a_data_set(build: Build, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    labels = datasets.ClassLabel(names=["next", "random"])
    features = datasets.Features(
        {"sentence_a": datasets.Value("string"), "sentence_b": datasets.Value("string"), "label": labels}
    )
    rows = {"sentence_a": ["A", "C"], "sentence_b": ["B", "D"], "label": [0, 1]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "set"))
    corpus = build({"path": str(tmp_path / "set"), **ONE_IS_RANDOM})
    assert {document.text: document.pair.is_random for document in corpus.all_documents() if document.pair} == {
        "A\nB": False,
        "C\nD": True,
    }


def test_a_prompt_and_its_completion_have_no_label(read: Read) -> None:
    settings = {"pair": {"first": "prompt", "second": "completion", "labelled": False}}
    (piece,) = read("a.csv", "prompt,completion\nSay hello.,Hello!\n", **settings)
    assert piece.text == "Say hello.\nHello!"
    assert piece.metadata == {"pair": {"second": 11, "is_random": False}}
