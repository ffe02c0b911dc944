"""Corpora: from sources (files, repositories, data sets) to a folder of documents with a ledger.

The names here are loaded when they are first used, so that settings can be read without pyarrow or a parser.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acclimate.corpus.build import build_corpus
    from acclimate.corpus.document import Document, Pair
    from acclimate.corpus.folder import Corpus, DroppedDocument, open_corpus
    from acclimate.corpus.ledger import Ledger
    from acclimate.corpus.settings import CorpusSettings, PairSettings, SourceSettings

_HOME = {
    "Corpus": "folder",
    "CorpusSettings": "settings",
    "Document": "document",
    "DroppedDocument": "folder",
    "Ledger": "ledger",
    "Pair": "document",
    "PairSettings": "settings",
    "SourceSettings": "settings",
    "build_corpus": "build",
    "open_corpus": "folder",
}

__all__ = [
    "Corpus",
    "CorpusSettings",
    "Document",
    "DroppedDocument",
    "Ledger",
    "Pair",
    "PairSettings",
    "SourceSettings",
    "build_corpus",
    "open_corpus",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
