"""Where the token stores of a corpus lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from acclimate.progress import Silent
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


def test_a_corpus_that_cannot_be_written_to_has_its_stores_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    corpus = TextCorpus(documents("a"), folder=tmp_path / "corpus")
    store = corpus_tokens(corpus, "train", word_piece("a"), fallback=tmp_path / "run", listener=Silent())  # type: ignore[arg-type]
    assert store.folder.parent == tmp_path / "run" / "tokens"
