"""Texts from anywhere as a token store: a list, a data set, a corpus."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Collection, Iterable, Iterator, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from acclimate.artifacts import find_manifest
from acclimate.corpus import Corpus, Document, open_corpus
from acclimate.corpus.folder import SplitName
from acclimate.errors import DataError
from acclimate.progress import Silent
from acclimate.tokens.cache import corpus_tokens
from acclimate.tokens.store import LAYERS, Layer, TokenStore, build_token_store

Texts = str | Path | Corpus | Iterable[Any]


@dataclass(frozen=True)
class StoredTexts:
    """Texts as tokens.

    Attributes:
        store: the tokens. Those of a corpus lie beside it; others in a temporary folder that goes with the store.
        num_texts: texts that are in it.
        num_empty: texts that were left out, having no character but blanks.
    """

    store: TokenStore
    num_texts: int
    num_empty: int


def store_texts(
    texts: Texts,
    tokenizer: PreTrainedTokenizerBase,
    *,
    split: SplitName = "train",
    text_column: str = "text",
    num_workers: int | None = None,
    layers: Collection[Layer] = LAYERS,
) -> StoredTexts:
    """Encode texts, or open the tokens of a corpus that are there already.

    Args:
        texts: a corpus or its folder; or strings, `Document`s, or rows with a column of texts (a `datasets.Dataset`),
            gone through once.
        split: of a corpus.
        text_column: of rows.
        num_workers: processes that encode; default one per CPU, at most 8.
        layers: what an objective reads of the store beside ids, joints and breaks.

    Raises:
        DataError: what is given holds no texts.
    """
    if isinstance(texts, str | Path):
        texts = _corpus_in(Path(texts))
    folder = Path(tempfile.mkdtemp(prefix="acclimate-"))
    try:
        if isinstance(texts, Corpus):
            store = corpus_tokens(
                texts, split, tokenizer, fallback=folder, listener=Silent(), layers=layers, num_workers=num_workers
            )
            stored = StoredTexts(store, texts.num_documents(split), 0)
        else:
            source = _GivenTexts(texts, text_column)
            store = build_token_store(
                source, "train", tokenizer, folder / "tokens", layers=layers, num_workers=num_workers
            )
            stored = StoredTexts(store, source.num_texts, source.num_empty)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(store, _remove, folder, os.getpid())
    return stored


def _remove(folder: Path, process: int) -> None:
    # A loader worker drops its copy of the store when it ends; the folder is not its own.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _corpus_in(folder: Path) -> Corpus:
    if find_manifest(folder, "corpus") is None:
        raise DataError(
            f"{folder} is no corpus; give a list of texts, a data set, or a folder that `acclimate corpus build` made"
        )
    return open_corpus(folder)


class _GivenTexts(Corpus):
    """Texts that are at hand, read once, as the one split of a corpus that is nowhere on disk."""

    def __init__(self, texts: Iterable[Any], text_column: str) -> None:
        super().__init__(Path(os.devnull), {"fingerprint": f"texts-{uuid.uuid4().hex}"})
        self._texts = texts
        self._text_column = text_column
        self.num_texts = 0
        self.num_empty = 0

    def documents(self, split: SplitName = "train") -> Iterator[Document]:
        for number, item in enumerate(self._texts):
            document = self._document(number, item)
            if not document.text.strip():
                self.num_empty += 1
                continue
            self.num_texts += 1
            yield document

    def num_documents(self, split: SplitName = "train") -> int:
        return len(self._texts) if isinstance(self._texts, Sized) else 0

    def _document(self, number: int, item: Any) -> Document:
        if isinstance(item, Document):
            return item
        text = item.get(self._text_column, item) if hasattr(item, "get") else item
        if not isinstance(text, str):
            raise DataError(
                f"text number {number} is no string but {type(item).__name__}"
                + (f" with the keys {', '.join(item)}; say which by `text_column`" if isinstance(item, dict) else "")
            )
        return Document(str(number), text, str(number))
