"""Hugging Face data sets as sources: saved folders (a hub is not reached in tests)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from acclimate.corpus.settings import SourceSettings
from acclimate.corpus.sources.dataset import DatasetSource
from acclimate.errors import SourceError

datasets = pytest.importorskip("datasets")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Two splits of records, train with 10 rows and test with 4."""
    splits = {
        name: datasets.Dataset.from_dict(
            {
                "id": [f"{name}{n}" for n in range(count)],
                "text": [f"text {n}" for n in range(count)],
                "stars": list(range(count)),
            }
        )
        for name, count in (("train", 10), ("test", 4))
    }
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "reviews")
    return tmp_path / "reviews"


def read(settings: dict[str, Any]) -> list[tuple[str, str, str]]:
    pieces = DatasetSource(SourceSettings(**settings)).pieces(Path(), 1)
    return [(name, piece.anchor, piece.text) for name, piece in pieces]


@pytest.mark.parametrize("key", ["dataset", "path"])
def test_a_saved_folder_is_recognised(saved: Path, key: str) -> None:
    rows = read({key: str(saved)})
    assert len(rows) == 10
    assert rows[3] == ("train", "train3", "text 3")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"split": "test"}, ["test0", "test1", "test2", "test3"]),
        ({"split": "train[:2]"}, ["train0", "train1"]),
        ({"split": "train[90%:]+test[-1:]"}, ["train9", "test3"]),
        ({"split": "test", "limit": 1}, ["test0"]),
        ({"split": "train[8:]+test", "limit": 3}, ["train8", "train9", "test0"]),
    ],
)
def test_splits(saved: Path, settings: dict[str, Any], expected: list[str]) -> None:
    assert [anchor for _, anchor, _ in read({"dataset": str(saved), **settings})] == expected


def test_rows_without_ids_are_numbered_within_their_split(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict({"tokens": [["学", "而"], ["a", "b"]]})
    rows.save_to_disk(tmp_path / "one")
    assert read({"dataset": str(tmp_path / "one")}) == [("train", "1", "学而"), ("train", "2", "a b")]
    assert read({"dataset": str(tmp_path / "one"), "split": "train[1:]"}) == [("train", "2", "a b")]


def test_columns_of_pictures_are_left_alone(tmp_path: Path) -> None:
    picture = pa.array([{"bytes": b"no picture", "path": None}], datasets.Image().pa_type)
    rows = datasets.Dataset(pa.table({"text": ["a"], "picture": picture})).cast_column("picture", datasets.Image())
    rows.save_to_disk(tmp_path / "pictures")
    (row,) = DatasetSource(SourceSettings(dataset=str(tmp_path / "pictures"))).pieces(Path(), 1)
    assert (row[1].text, row[1].metadata) == ("a", {})


def test_the_fingerprint_depends_on_the_part(saved: Path) -> None:
    def of(**settings: Any) -> Any:
        return DatasetSource(SourceSettings(dataset=str(saved), **settings)).fingerprint()

    assert of() == of()
    assert of() != of(split="test")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "dev"}, "no split 'dev'; it has train, test"),
        ({"dataset": "/no/such/folder"}, "there is no such folder"),
    ],
)
def test_what_cannot_be_read(saved: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read({"dataset": str(saved), **settings})


def test_several_splits_and_none_called_train(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict({"text": ["a"]})
    datasets.DatasetDict({"en": rows, "zh": rows}).save_to_disk(tmp_path / "two")
    with pytest.raises(SourceError, match="splits en, zh; say which with split"):
        read({"dataset": str(tmp_path / "two")})


def test_a_hub_that_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: Any, **settings: Any) -> Any:
        raise ConnectionError("no route to huggingface.co")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(SourceError, match="no route to huggingface.co"):
        read({"dataset": "org/name"})


def test_the_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(SourceError, match=r'pip install "acclimate\[datasets\]"'):
        read({"dataset": "org/name"})
