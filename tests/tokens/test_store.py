"""The token store: what is in it, when it is built again, and what it refuses."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acclimate.artifacts import MANIFEST
from acclimate.corpus import Document, build_corpus
from acclimate.corpus.settings import CorpusSettings, PairSettings, SourceSettings
from acclimate.errors import ArtifactError
from acclimate.tokens import (
    BREAK,
    IS_RANDOM,
    JOINT,
    SECOND_START,
    SENTENCE_START,
    WORD_START,
    TokenStore,
    build_token_store,
    encoding,
    open_token_store,
)
from acclimate.tokens.store import _FILES, FORMAT_VERSION

from .helpers import TextCorpus, byte_bpe, documents, word_piece

LINES = documents("ab c", "c", "", "ab", "c c c", groups="xxxyz")


def tokenizer() -> Any:
    return word_piece("a", "##b", "c")  # 5, 6, 7; [SEP] is 3


@pytest.fixture(params=[1, 1000], ids=["a document a chunk", "one chunk"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenStore:
    monkeypatch.setattr(encoding, "CHUNK_CHARACTERS", request.param)
    monkeypatch.setattr(encoding, "CHUNK_DOCUMENTS", request.param)
    return build_token_store(TextCorpus(LINES), "train", tokenizer(), tmp_path / "store", num_workers=1)


def test_the_stream_by_hand(store: TokenStore) -> None:
    #            ab c |  c |  |   ab |   c c c |
    # place      0 1 2 3 4 5 6 7 8 9 10 11 12 13
    assert store.ids.tolist() == [5, 6, 7, 3, 7, 3, 3, 5, 6, 3, 7, 7, 7, 3]
    assert store.ids.dtype == np.uint16
    assert np.flatnonzero(store.flags & JOINT).tolist() == [3, 5, 6, 9, 13]
    assert np.flatnonzero(store.flags & WORD_START == 0).tolist() == [1, 8]
    assert np.flatnonzero(store.flags & SENTENCE_START).tolist() == [0, 4, 7, 10]
    # `ab c` is 4 bytes: `a`, `##b` with the blank behind it, `c`
    assert store.num_bytes.tolist() == [1, 2, 1, 0, 1, 0, 0, 1, 1, 0, 2, 2, 1, 0]
    assert store.num_bytes.dtype == np.uint32
    assert store.documents.tolist() == [[0, 3], [4, 5], [6, 6], [7, 9], [10, 13]]
    assert store.groups.tolist() == [[0, 6], [7, 9], [10, 13]]
    assert store.document_groups.tolist() == [0, 0, 0, 1, 2]
    assert store.document_ids == ["d0", "d1", "d2", "d3", "d4"]
    assert len(store) == 14


def test_spans(store: TokenStore) -> None:
    assert store.spans("document").tolist() == store.documents.tolist()
    assert store.spans("group").tolist() == store.groups.tolist()
    assert store.spans("none").tolist() == [[0, 14]]
    with pytest.raises(ValueError, match="document, group or none, not 'file'"):
        store.spans("file")  # type: ignore[arg-type]


def test_the_ledger_of_tokens(store: TokenStore) -> None:
    manifest = store.manifest
    assert manifest["tokens"] == {"stream": 14, "text": 9, "joints": 5, "unknown": 0}
    assert (manifest["num_documents"], manifest["num_groups"], manifest["num_characters"]) == (5, 3, 12)
    assert manifest["num_bytes"] == 12
    assert store.has_words and store.has_sentences and not store.has_pairs


def test_a_corpus_of_pairs(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("sentence_a,sentence_b,label\nab,c,0\nc,ab c,1\n", encoding="utf-8")
    source = SourceSettings(path=str(tmp_path / "pairs.csv"), pair=PairSettings(one_means="random"))
    corpus = build_corpus(CorpusSettings(sources=[source], held_out=0.0), tmp_path / "corpus")
    store = build_token_store(corpus, "train", byte_bpe(), tmp_path / "store")
    assert store.has_pairs
    # `ab`, a line break and `c`, then the end token; `c`, a line break and `ab c`
    assert np.flatnonzero(store.flags & SECOND_START).tolist() == [3, 7]
    assert np.flatnonzero(store.flags & IS_RANDOM).tolist() == [7]
    assert np.flatnonzero(store.flags & JOINT).tolist() == [2, 4, 6, 11]
    assert store.documents.tolist() == [[0, 4], [5, 11]]
    # A line break between the texts of a pair is a joint, and no token of text.
    assert store.manifest["tokens"] == {"stream": 12, "text": 8, "joints": 4, "unknown": 0}
    assert store.manifest["num_pairs"] == 2


def test_every_document_decodes_to_its_text(tmp_path: Path) -> None:
    texts = ["naïve 龘", "a\nb", "<eos>", ""]
    made = byte_bpe()
    store = build_token_store(TextCorpus(documents(*texts)), "train", made, tmp_path / "store")
    assert [made.decode(store.ids[start:end]) for start, end in store.documents] == texts


def test_an_empty_part_is_a_store_of_nothing(tmp_path: Path) -> None:
    store = build_token_store(TextCorpus(LINES), "held_out", tokenizer(), tmp_path / "store")
    assert len(store) == 0
    assert [store.spans(isolate).shape for isolate in ("document", "group", "none")] == [(0, 2)] * 3
    assert store.document_ids == []
    assert store.manifest["tokens"] == {"stream": 0, "text": 0, "joints": 0, "unknown": 0}


def test_large_vocabularies_take_32_bits(tmp_path: Path) -> None:
    large = word_piece(*(f"w{number}" for number in range(70_000)))
    store = build_token_store(TextCorpus(documents("w69999")), "train", large, tmp_path / "store")
    assert store.ids.dtype == np.uint32
    assert store.ids.tolist() == [70_004, 3]


def test_an_unchanged_store_is_opened_without_reading_the_corpus(tmp_path: Path) -> None:
    corpus = TextCorpus(LINES)
    first = build_token_store(corpus, "train", tokenizer(), tmp_path / "store")
    inode = os.stat(tmp_path / "store").st_ino
    again = build_token_store(corpus, "train", tokenizer(), tmp_path / "store", num_workers=3)
    assert corpus.reads == 1
    assert os.stat(tmp_path / "store").st_ino == inode
    assert again.fingerprint == first.fingerprint
    assert again.ids.tolist() == first.ids.tolist()


def test_a_store_without_a_layer_says_so_and_gets_it_with_another_pass(tmp_path: Path) -> None:
    corpus = TextCorpus(LINES)
    full = build_token_store(corpus, "train", tokenizer(), tmp_path / "full")
    bare = build_token_store(corpus, "train", tokenizer(), tmp_path / "store", layers=())
    assert bare.layers == frozenset()
    assert not (bare.folder / "bytes.bin").exists()
    with pytest.raises(ArtifactError, match=r"without words; build it again with layers=\['words'\]"):
        _ = bare.has_words
    with pytest.raises(ArtifactError, match="without bytes"):
        _ = bare.num_bytes
    with pytest.raises(ArtifactError, match="without bytes and sentences"):
        bare.require(["sentences", "bytes"])
    # Rows break at the same places whatever layers there are.
    assert (bare.flags & BREAK).tolist() == (full.flags & BREAK).tolist()

    measured = build_token_store(corpus, "train", tokenizer(), tmp_path / "store", layers=["bytes"])
    assert measured.layers == {"bytes"}
    read = build_token_store(corpus, "train", tokenizer(), tmp_path / "store", layers=["sentences"])
    assert read.layers == {"bytes", "sentences", "words"}, "a sentence begins with a word; what was there stays"
    assert read.has_words and read.has_sentences
    assert (bare.fingerprint, measured.fingerprint) == (full.fingerprint, full.fingerprint)
    for name in _FILES:
        assert (read.folder / name).read_bytes() == (full.folder / name).read_bytes()
    assert corpus.reads == 4
    build_token_store(corpus, "train", tokenizer(), tmp_path / "store", layers=["words"])
    assert corpus.reads == 4, "it has more than that"
    with pytest.raises(ValueError, match="no layer 'lemmas'"):
        build_token_store(corpus, "train", tokenizer(), tmp_path / "store", layers=["lemmas"])  # type: ignore[list-item]


@pytest.mark.parametrize("change", ["corpus", "split", "tokenizer"])
def test_a_store_of_something_else_is_replaced(tmp_path: Path, change: str) -> None:
    old = build_token_store(TextCorpus(LINES, LINES[:2]), "train", tokenizer(), tmp_path / "store")
    corpus = TextCorpus(LINES[:3], LINES[:2], fingerprint="other" if change == "corpus" else "corpus")
    new = build_token_store(
        corpus,
        "held_out" if change == "split" else "train",
        word_piece("a", "##b", "##c") if change == "tokenizer" else tokenizer(),
        tmp_path / "store",
    )
    assert corpus.reads == 1
    assert new.fingerprint != old.fingerprint
    assert len(new.documents) == (2 if change == "split" else 3)
    assert os.listdir(tmp_path) == ["store"]


def test_a_damaged_store_is_built_again_and_not_opened(tmp_path: Path) -> None:
    corpus = TextCorpus(LINES)
    build_token_store(corpus, "train", tokenizer(), tmp_path / "store")
    with open(tmp_path / "store" / "ids.bin", "ab") as file:
        file.write(b"x")
    with pytest.raises(ArtifactError, match=r"damaged: ids\.bin"):
        open_token_store(tmp_path / "store")
    assert len(build_token_store(corpus, "train", tokenizer(), tmp_path / "store")) == 14


def test_another_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="holds no token store"):
        build_token_store(TextCorpus(LINES), "train", tokenizer(), tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    class Broken(TextCorpus):
        def documents(self, split: str) -> Any:
            yield LINES[0]
            raise RuntimeError("the corpus broke off")

    with pytest.raises(RuntimeError, match="broke off"):
        build_token_store(Broken(LINES), "train", tokenizer(), tmp_path / "store")
    assert os.listdir(tmp_path) == []


def test_what_is_no_store_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        open_token_store(tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match="not a tokens"):
        open_token_store(tmp_path)


def test_a_store_of_another_format_says_so(tmp_path: Path) -> None:
    build_token_store(TextCorpus(LINES), "train", tokenizer(), tmp_path)
    manifest = tmp_path / MANIFEST
    manifest.write_text(manifest.read_text().replace(f'"format_version": {FORMAT_VERSION}', '"format_version": 99'))
    with pytest.raises(ArtifactError, match=r"format 99.*build it again"):
        open_token_store(tmp_path)


def test_a_store_travels_by_its_folder(store: TokenStore) -> None:
    message = pickle.dumps(store)
    assert len(message) < 1000
    assert pickle.loads(message).ids.tolist() == store.ids.tolist()


def test_a_store_is_read_only(store: TokenStore) -> None:
    with pytest.raises(ValueError, match="read-only"):
        store.ids[0] = 1  # type: ignore[index]


def test_ids_of_documents_are_kept_whatever_they_hold(tmp_path: Path) -> None:
    names = ["~/a b\n.md", "使用.txt", 'q"uote', "\udcff.md"]
    corpus = TextCorpus([Document(name, "c", name) for name in names])
    assert build_token_store(corpus, "train", tokenizer(), tmp_path / "store").document_ids == names


def test_a_slow_tokenizer_says_that_it_has_no_words(tmp_path: Path) -> None:
    from transformers import ByT5Tokenizer

    store = build_token_store(TextCorpus(LINES), "train", ByT5Tokenizer(), tmp_path / "store")
    assert not store.has_words and not store.has_sentences
    assert np.flatnonzero(store.flags & SENTENCE_START).tolist() == store.documents[[0, 1, 3, 4], 0].tolist()
    assert store.manifest["offsets"] is False
    assert (store.flags & WORD_START).all()
    # ByT5 has a token a byte; `LINES` are 4, 1, 0, 2 and 5 bytes, the newlines and `</s>` between them joints.
    assert store.num_bytes.tolist() == [1] * 4 + [0, 1, 0] + [0] + [1] * 2 + [0] + [1] * 5 + [0]


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    build_token_store(
        TextCorpus(LINES), "train", tokenizer(), tmp_path / "store", progress=lambda *args: told.append(args)
    )
    assert told == [("encoding", 5, 5)]


def test_a_corpus_from_files(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("ab c\nc\nab\n", encoding="utf-8")
    settings = CorpusSettings(
        sources=[SourceSettings(path=str(tmp_path / "lines.txt"), unit="line")], held_out=0.0, path=None
    )
    corpus = build_corpus(settings, tmp_path / "corpus")
    store = build_token_store(corpus, "train", tokenizer(), tmp_path / "store")
    # Three lines of one file are one group.
    assert store.ids.tolist() == [5, 6, 7, 3, 7, 3, 5, 6, 3]
    assert store.groups.tolist() == [[0, 8]]


def test_workers_do_not_change_a_store_of_real_documents(tmp_path: Path, shared_data: Path) -> None:
    from acclimate.tokens import load_tokenizer

    bert = load_tokenizer(shared_data / "tokenizers" / "bert-base-uncased")
    pages = sorted((shared_data / "corpora" / "azure-docs" / "azure-security-docs").rglob("*.md"))[:120]
    corpus = TextCorpus([Document(page.name, page.read_text("utf-8-sig"), str(page)) for page in pages])
    assert sum(len(document.text) for document in corpus.train) > 2 * encoding.CHUNK_CHARACTERS
    one = build_token_store(corpus, "train", bert, tmp_path / "one", num_workers=1)
    two = build_token_store(corpus, "train", bert, tmp_path / "two", num_workers=2)
    for name in _FILES:
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()
    for document, (start, end) in zip(corpus.train, one.documents, strict=True):
        assert one.num_bytes[start:end].sum() == len(document.text.encode())
    start, end = one.documents[7]
    assert (
        one.ids[start:end].tolist() == bert(corpus.train[7].text, add_special_tokens=False, verbose=False)["input_ids"]
    )
