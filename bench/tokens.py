"""How fast a token store is built beside the Rust tokenizer alone, what its layers cost, and how well rows are packed.

    python bench/tokens.py [--runs 3] [--num-workers N]
    python bench/tokens.py PATH [--unit line] [--tokenizer NAME]

Without PATH: `corpora/azure-docs` with BERT's tokenizer and `corpora/zizhi-tongjian` by line with that of Chinese BERT,
from the test data (ACCLIMATE_TEST_DATA, or `../shared/data`). PATH is a folder or file that a corpus is built from.

The reference is `tokenizers.encode_batch` on the same texts in memory, with as many threads as the store has processes;
the store reads its corpus from disk and writes ids, flags and tables. Runs of all alternate, so that a busy machine is
busy for all; medians are told, and beside them the processor time, which other people's work changes less.
`encode_batch_fast` finds no offsets, which a store without layers needs none of either.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acclimate.corpus import Corpus, CorpusSettings, build_corpus
from acclimate.tokens import LAYERS, TokenStore, build_token_store, load_tokenizer, pack, text_frame
from acclimate.tokens.tokenizers import plain_backend

DATA = Path(os.environ.get("ACCLIMATE_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
DOCS = DATA / "corpora" / "azure-docs"
CHINESE = DATA / "corpora" / "zizhi-tongjian" / "vernacular.txt"
BATCH, FAST = "encode_batch", "encode_batch_fast"
# What is built: ids alone (`mlm` by token, `clm` and most others), with each layer, and with all of them.
BUILT: dict[str, Collection[str]] = {
    "ids": (),
    "ids, bytes": ("bytes",),
    "ids, words": ("words",),
    "ids, words, sentences": ("words", "sentences"),
    "all layers": LAYERS,
}


@dataclass
class Times:
    """Seconds of one action, run by run: on the wall, and of all processors."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def add(self, action: Callable[[], Any]) -> None:
        processor, wall = processor_seconds(), time.perf_counter()
        action()
        self.wall.append(time.perf_counter() - wall)
        self.processor.append(processor_seconds() - processor)


def processor_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def results(quick: bool) -> list[dict[str, Any]]:
    """Rows of figures: MB of text a second, as medians of alternating runs.

    Args:
        quick: one run on a part of the documents.
    """
    return measure_both(runs=1 if quick else 3, quick=quick)


def measure_both(*, runs: int, quick: bool = False, num_workers: int | None = None) -> list[dict[str, Any]]:
    """The rows of azure-docs and of Chinese by line."""
    rows = []
    docs = {"path": str(DOCS / "azure-security-docs" if quick else DOCS)}
    chinese = {"path": str(CHINESE), "unit": "line", **({"limit": 20_000} if quick else {})}
    with tempfile.TemporaryDirectory() as folder:
        for name, source, tokenizer in (
            ("azure-docs", docs, "bert-base-uncased"),
            ("Chinese by line", chinese, "bert-base-chinese"),
        ):
            corpus = build_corpus(CorpusSettings(sources=[source]), Path(folder) / name)
            loaded = load_tokenizer(DATA / "tokenizers" / tokenizer)
            rows += measure(name, corpus, loaded, Path(folder), runs=runs, num_workers=num_workers)
    return rows


def measure(
    name: str, corpus: Corpus, tokenizer: Any, folder: Path, *, runs: int, num_workers: int | None = None
) -> list[dict[str, Any]]:
    """The rows of one corpus and tokenizer."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"  # `encode_batch` has all CPUs, too
    backend = plain_backend(tokenizer)
    texts = [document.text for document in corpus.documents("train")]
    size = sum(len(text.encode()) for text in texts) / 1e6
    times = {kind: Times() for kind in (BATCH, FAST, *BUILT)}
    for run in range(runs):
        times[BATCH].add(lambda: backend.encode_batch(texts, add_special_tokens=False))
        times[FAST].add(lambda: backend.encode_batch_fast(texts, add_special_tokens=False))
        for built, layers in BUILT.items():
            target = folder / f"{name}-{run}-{built}"
            times[built].add(
                lambda target=target, layers=layers: build_token_store(
                    corpus, "train", tokenizer, target, layers=layers, num_workers=num_workers
                )
            )
    return [row(f"tokens: {name}, {built}", size, times, built) for built in BUILT]


def row(name: str, size: float, times: dict[str, Times], built: str) -> dict[str, Any]:
    """A row of figures; the ratio is that of the speeds."""
    median = {kind: statistics.median(taken.wall) for kind, taken in times.items()}
    processor = {kind: statistics.median(taken.processor) for kind, taken in times.items()}
    speeds = sorted(size / seconds for seconds in times[built].wall)
    return {
        "name": name,
        "peer": size / median[BATCH],
        "ours": size / median[built],
        "ratio": median[BATCH] / median[built],
        "unit": "MB/s",
        "spread": [speeds[0], speeds[-1]],
        "note": f"peer: {BATCH}; by processor time {processor[BATCH] / processor[built]:.2f} of it; of {FAST} "
        f"{median[FAST] / median[built]:.2f}, by processor time {processor[FAST] / processor[built]:.2f}",
    }


def show_packing(store: TokenStore, tokenizer: Any) -> None:
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


def show(rows: list[dict[str, Any]]) -> None:
    for one in rows:
        spread = "–".join(f"{value:.2f}" for value in one["spread"])
        print(
            f"{one['name']:46} {one['ours']:6.2f} {one['unit']} ({spread})  {one['ratio']:5.2f} of {one['peer']:.2f}  "
            f"{one['note']}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?")
    parser.add_argument("--unit", default="auto")
    parser.add_argument("--tokenizer", default=str(DATA / "tokenizers" / "bert-base-uncased"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--num-workers", type=int)
    arguments = parser.parse_args()
    if arguments.path is None:
        show(measure_both(runs=arguments.runs, num_workers=arguments.num_workers))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = {"path": arguments.path, "unit": arguments.unit}
        corpus = build_corpus(CorpusSettings(sources=[source]), folder / "corpus", num_workers=arguments.num_workers)
        tokenizer = load_tokenizer(arguments.tokenizer)
        options = {"runs": arguments.runs, "num_workers": arguments.num_workers}
        show(measure(Path(arguments.path).name, corpus, tokenizer, folder, **options))
        store = build_token_store(corpus, "train", tokenizer, folder / "store", layers=())
        print(store.manifest["tokens"], file=sys.stderr)
        show_packing(store, tokenizer)


if __name__ == "__main__":
    main()
