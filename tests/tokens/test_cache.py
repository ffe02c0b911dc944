"""Where the token stores of a corpus lie."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from acclimate.artifacts import MANIFEST
from acclimate.progress import Silent
from acclimate.tokens import TokenStore, store
from acclimate.tokens.cache import corpus_tokens

from .helpers import TextCorpus, documents, word_piece


def test_stores_lie_beside_the_corpus_one_for_each_tokenizer_and_split(tmp_path: Path) -> None:
    corpus = TextCorpus(documents("a"), documents("a", "a"), folder=tmp_path)
    stores = [
        corpus_tokens(corpus, split, tokenizer, fallback=tmp_path / "run", listener=Silent())  # type: ignore[arg-type]
        for split in ("train", "held_out")
        for tokenizer in (word_piece("a"), word_piece("a", "b"))
    ]
    assert {store.folder.parent for store in stores} == {tmp_path / "tokens"}
    assert len({store.folder for store in stores}) == 4
    again = corpus_tokens(corpus, "train", word_piece("a"), fallback=tmp_path / "run", listener=Silent())  # type: ignore[arg-type]
    assert again.folder == stores[0].folder
    assert corpus.reads == 4


def test_a_store_of_an_older_format_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = TextCorpus(documents("a"), folder=tmp_path)

    def tokens() -> TokenStore:
        return corpus_tokens(corpus, "train", word_piece("a"), fallback=tmp_path / "run", listener=Silent())  # type: ignore[arg-type]

    monkeypatch.setattr(store, "FORMAT_VERSION", store.FORMAT_VERSION - 1)
    old = tokens()
    # Older formats had fewer files.
    manifest = json.loads((old.folder / MANIFEST).read_text())
    del manifest["files"]["bytes.bin"]
    (old.folder / "bytes.bin").unlink()
    (old.folder / MANIFEST).write_text(json.dumps(manifest))
    monkeypatch.undo()
    new = tokens()
    assert new.folder == old.folder
    assert new.manifest["format_version"] == store.FORMAT_VERSION
    assert new.num_bytes.tolist() == [1, 0]
    assert corpus.reads == 2


def test_a_corpus_that_cannot_be_written_to_has_its_stores_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    corpus = TextCorpus(documents("a"), folder=tmp_path / "corpus")
    store = corpus_tokens(corpus, "train", word_piece("a"), fallback=tmp_path / "run", listener=Silent())  # type: ignore[arg-type]
    assert store.folder.parent == tmp_path / "run" / "tokens"
