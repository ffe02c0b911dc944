"""How fast a token store is built beside `tokenizers.encode_batch` alone, and how well its rows are packed.

    python bench/tokens.py [PATH] [--tokenizer NAME] [--runs 3] [--num-workers N]

PATH is a folder of text, each file a document, or one file, each line a document and 400 lines a group. Default is
`corpora/azure-docs` of the test data (ACCLIMATE_TEST_DATA, or `../shared/data`) with its `bert-base-uncased`.
Runs of both alternate, so that a busy machine is busy for both; medians are printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.corpus import Document
from acclimate.tokens import TokenStore, build_token_store, load_tokenizer, pack, text_frame
from acclimate.tokens.encoding import make_chunks
from acclimate.tokens.tokenizers import plain_backend
from acclimate.tokens.words import batch_word_starts, token_bounds

GROUP_LINES = 400


@dataclass
class Corpus:
    """Documents in memory, as the store reads them from a corpus on disk."""

    content: list[Document]
    fingerprint: str = "bench"
    folder: Path = Path()

    def documents(self, split: str) -> Iterator[Document]:
        return iter(self.content)

    def num_documents(self, split: str) -> int:
        return len(self.content)


def read(path: Path) -> Corpus:
    if path.is_file():
        lines = path.read_text("utf-8", "replace").split("\n")
        return Corpus([Document(str(n), line, str(n // GROUP_LINES)) for n, line in enumerate(lines) if line])
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return Corpus([Document(str(file), file.read_text("utf-8", "replace"), str(file)) for file in files])


def seconds(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def build(corpus: Any, tokenizer: Any, folder: Path, num_workers: int | None) -> tuple[float, TokenStore]:
    start = time.perf_counter()
    store = build_token_store(corpus, "train", tokenizer, folder, num_workers=num_workers)
    return time.perf_counter() - start, store


def share_of_words(corpus: Corpus, tokenizer: Any) -> tuple[float, float]:
    """Seconds of one process for encoding, and for finding word starts from the offsets."""
    backend = plain_backend(tokenizer)
    encode = words = 0.0
    for chunk in make_chunks(corpus.documents("train")):
        start = time.perf_counter()
        encodings = [backend.encode(text, add_special_tokens=False) for text in chunk.texts]
        middle = time.perf_counter()
        starts, ends = token_bounds([encoding.offsets for encoding in encodings])
        counts = np.array([len(encoding.ids) for encoding in encodings], np.int64)
        batch_word_starts(chunk.texts, starts, ends, counts)
        encode += middle - start
        words += time.perf_counter() - middle
    return encode, words


def main() -> None:
    data = Path(os.environ.get("ACCLIMATE_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", type=Path, default=data / "corpora" / "azure-docs")
    parser.add_argument("--tokenizer", default=str(data / "tokenizers" / "bert-base-uncased"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--num-workers", type=int)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments, Path(folder))


def measure(arguments: argparse.Namespace, folder: Path) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "true"  # `encode_batch` has all CPUs too
    corpus: Any = read(arguments.path)
    tokenizer = load_tokenizer(arguments.tokenizer)
    backend = plain_backend(tokenizer)
    texts = [document.text for document in corpus.content]
    characters = sum(map(len, texts))
    print(f"{len(texts)} documents, {characters / 1e6:.2f} million characters, {os.cpu_count()} CPUs")

    stores, batches = [], []
    for run in range(arguments.runs):
        took, store = build(corpus, tokenizer, folder / str(run), arguments.num_workers)
        stores.append(took)
        batches.append(seconds(lambda: backend.encode_batch(texts, add_special_tokens=False)))
    ours, alone = statistics.median(stores), statistics.median(batches)
    print(
        f"token store   {ours:6.2f} s  {characters / ours / 1e6:5.2f} million characters/s  {store.manifest['tokens']}"
    )
    print(f"encode_batch  {alone:6.2f} s  {characters / alone / 1e6:5.2f} million characters/s")
    print(f"ratio         {ours / alone:6.2f}")
    print("tokens:", store.manifest["tokens"])
    encode, words = share_of_words(corpus, tokenizer)
    print(f"one process: encoding {encode:.2f} s, word starts {words:.2f} s ({words / (encode + words):.0%})")

    frame_length = len(text_frame(tokenizer))
    for row_length in (128, 512):
        for isolate in ("document", "group", "none"):
            start = time.perf_counter()
            plan = pack(store.spans(isolate), store.flags, row_length=row_length, frame_length=frame_length)
            took = time.perf_counter() - start
            print(
                f"{row_length} {isolate:8}  {len(plan):7} rows  {len(plan.pieces):7} pieces  "
                f"{plan.padding_share():.2%} padding  {took:.2f} s"
            )


if __name__ == "__main__":
    main()
