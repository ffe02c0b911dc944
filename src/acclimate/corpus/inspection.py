"""What there is to see of a corpus: counts, lengths, reasons, and samples of what was kept and dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from acclimate.corpus.document import Document
from acclimate.corpus.folder import HELD_OUT, TRAIN, Corpus

_QUANTILES = (("min", 0.0), ("5%", 0.05), ("25%", 0.25), ("median", 0.5), ("75%", 0.75), ("95%", 0.95), ("max", 1.0))


def inspect_corpus(corpus: Corpus, samples: int = 3) -> dict[str, Any]:
    """Plain data that describes a corpus; the form is documented in `docs/corpus.md`.

    Args:
        corpus: what to look at.
        samples: how many kept documents to show, evenly spread, and how many dropped ones of each reason.
    """
    manifest = corpus.manifest
    return {
        "folder": str(corpus.folder),
        "fingerprint": corpus.fingerprint,
        "created": manifest["created"],
        "sources": manifest["inputs"],
        "ledger": manifest["ledger"],
        "splits": manifest["splits"],
        "lengths": describe_lengths(corpus),
        "skipped_files": manifest["skipped_files"],
        "broken": manifest["broken"],
        "messages": manifest["messages"],
        "samples": {
            "kept": [
                {"id": document.id, "group": document.group, "text": document.text, "metadata": document.metadata}
                for document in sample_documents(corpus, samples)
            ],
            "dropped": sample_dropped(corpus, samples),
        },
    }


def describe_lengths(corpus: Corpus) -> dict[str, float]:
    """Mean and quantiles of the lengths of kept documents, in characters."""
    columns = [_lengths(corpus.folder / f"{name}.parquet") for name in (TRAIN, HELD_OUT)]
    lengths = np.concatenate(columns)
    values = np.quantile(lengths, [share for _, share in _QUANTILES], method="nearest")
    quantiles = {name: int(value) for (name, _), value in zip(_QUANTILES, values, strict=True)}
    return {"mean": round(float(lengths.mean()), 1), **quantiles}


def _lengths(path: Path) -> np.ndarray[Any, np.dtype[np.int64]]:
    with pq.ParquetFile(path) as file:
        groups = [
            pc.utf8_length(file.read_row_group(number, columns=["text"])["text"]).to_numpy()
            for number in range(file.num_row_groups)
        ]
    return np.concatenate([np.empty(0, np.int64), *groups])


def sample_documents(corpus: Corpus, number: int) -> list[Document]:
    """Documents of the train split, evenly spread over it, always the same ones."""
    total = corpus.num_documents(TRAIN)
    wanted = _spread(total, number)
    if not wanted:
        return []
    return [document for index, document in enumerate(corpus.documents(TRAIN)) if index in wanted]


def _spread(total: int, number: int) -> Sequence[int]:
    number = min(total, number)
    return range(0) if number == 0 else [(2 * index + 1) * total // (2 * number) for index in range(number)]


def sample_dropped(corpus: Corpus, number: int) -> list[dict[str, Any]]:
    """The first dropped documents of each reason."""
    seen: Counter[str] = Counter()
    chosen = []
    for document in corpus.dropped():
        seen[document.reason] += 1
        if seen[document.reason] <= number:
            chosen.append(
                {
                    "id": document.id,
                    "reason": document.reason,
                    "detail": document.detail,
                    "characters": document.characters,
                    "text": document.text,
                }
            )
    return chosen
