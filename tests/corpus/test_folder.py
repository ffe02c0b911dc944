"""A corpus on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from acclimate.corpus import open_corpus
from acclimate.errors import ArtifactError
from tests.corpus.conftest import Build, Write


def test_counts_and_order(build: Build, write: Write) -> None:
    corpus = build(write("a.json", str([f"text {number}" for number in range(40)]).replace("'", '"')), held_out=0.3)
    assert open_corpus(corpus.folder).manifest == corpus.manifest
    sides = {split: list(corpus.documents(split)) for split in ("train", "held_out")}
    for split, documents in sides.items():
        assert corpus.num_documents(split) == len(documents) > 0
        assert corpus.num_characters(split) == sum(len(document.text) for document in documents)
    assert [document.text for document in corpus.all_documents()] == [f"text {number}" for number in range(40)]
    assert corpus.head(2) == sides["train"][:2]
    assert corpus.ledger.characters_kept == corpus.num_characters("train") + corpus.num_characters("held_out")


def test_no_such_split(build: Build, write: Write) -> None:
    with pytest.raises(ValueError, match="'train' and 'held_out', not 'test'"):
        build(write("a.json", '["a"]')).documents("test")


def test_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is not a corpus"):
        open_corpus(tmp_path)
    with pytest.raises(ArtifactError, match="does not exist"):
        open_corpus(tmp_path / "missing")


def test_damaged_rows_are_named(build: Build, write: Write) -> None:
    corpus = build(write("a.json", '["a", "b"]'))
    path = corpus.folder / "train.parquet"
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(ArtifactError, match="train.parquet cannot be read"):
        list(corpus.documents())
