"""How fast examples are made: rows of each objective a second, by one process, in batches.

    python bench/data.py [--quick] [--length 128] [--batch-size 16] [--profile OBJECTIVE]

The texts are synthetic: words of a Zipf distribution, some of several pieces, in sentences and documents of uneven
length. `mlm` is measured beside `DataCollatorForLanguageModeling` of transformers, which is given rows of the same
length that are tokenized and framed already, as tensors; ours are read from the token store first. Seconds are those
of the processor, on one thread. Runs of both alternate, so that a busy machine is busy for both; medians are shown, and
as the spread half the range of the runs.
"""

from __future__ import annotations

import argparse
import cProfile
import itertools
import pstats
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from acclimate.corpus import Document
from acclimate.objectives import make_objective
from acclimate.objectives.base import Objective
from acclimate.tokens import TokenStore, add_missing_tokens, build_token_store
from acclimate.tokens.packing import Plan
from acclimate.training.stream import ExampleDataset, Order, StreamSampler

# What is measured, by what it is called: the objective's name, its options, the family of the model.
SUBJECTS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "mlm": ("mlm", {}, "encoder"),
    "mlm by word": ("mlm", {"unit": "word"}, "encoder"),
    "mlm by span": ("mlm", {"unit": "span"}, "encoder"),
    "mlm_nsp": ("mlm_nsp", {}, "encoder"),
    "mlm_sop": ("mlm_sop", {}, "encoder"),
    "rtd": ("rtd", {}, "encoder"),
    "clm": ("clm", {}, "decoder"),
    "prefix_lm": ("prefix_lm", {}, "decoder"),
    "prefix_lm on an encoder": ("prefix_lm", {}, "encoder"),
    "prefix_lm, blanks": ("prefix_lm", {"variant": "blank_infilling"}, "decoder"),
    "mntp": ("mntp", {}, "decoder"),
    "span_denoising": ("span_denoising", {}, "encoder-decoder"),
    "span_denoising, ul2": ("span_denoising", {"mixture": "ul2"}, "encoder-decoder"),
    "text_infilling": ("text_infilling", {}, "encoder-decoder"),
    "mass": ("mass", {}, "encoder-decoder"),
}
NUM_WORDS = 20_000
NUM_DOCUMENTS = 400
# Seconds that a run takes at least.
LONG, SHORT = 0.3, 0.05


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


def make_tokenizer() -> PreTrainedTokenizerBase:
    """Pieces `w0`, `w1`, … and, for the rest of a word, `##x0`, `##x1`, …; with all tokens that objectives need."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "."]
    names = [*special, *(f"w{n}" for n in range(NUM_WORDS)), *(f"##x{n}" for n in range(1_000))]
    backend = Tokenizer(models.WordPiece({name: number for number, name in enumerate(names)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    plain = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    return add_missing_tokens(plain, ["eos", "sentinels", "blanks", "modes"])[0]


def make_documents(number: int) -> list[Document]:
    """Documents of 20 to some thousands of words, sentences of 5 to 25; one word in four has a second piece."""
    rng = np.random.default_rng(0)
    documents = []
    for index in range(number):
        size = 20 + int(rng.lognormal(5.5, 1.0))
        words = [f"w{n}" for n in np.minimum(rng.zipf(1.3, size), NUM_WORDS) - 1]
        for place in np.flatnonzero(rng.random(size) < 0.25):
            words[place] += f"x{rng.integers(1_000)}"
        for place in np.cumsum(rng.integers(5, 26, size // 25)):
            words[min(place, size - 1)] += " ."
        documents.append(Document(str(index), " ".join(words), str(index)))
    return documents


def make_store(folder: Path) -> TokenStore:
    corpus: Any = Corpus(make_documents(NUM_DOCUMENTS))
    return build_token_store(corpus, "train", make_tokenizer(), folder, num_workers=1)


def subject(name: str, store: TokenStore, max_length: int) -> tuple[Objective, Plan]:
    """What is measured by a name, ready, and its rows."""
    objective, options, family = SUBJECTS[name]
    made = make_objective(
        objective, options, make_tokenizer(), max_length=max_length, seed=1, family=family, decoder_start_id=0
    )
    return made, made.plan(store, isolate="group", packed=made.packs)


def batches(objective: Objective, store: TokenStore, plan: Plan, batch_size: int) -> Iterator[Any]:
    """Batches of the stream as a loader makes them: keys, examples, tensors."""
    dataset = ExampleDataset(objective, store, plan)
    sampler = StreamSampler(Order.of(dataset, seed=1), batch_size)
    for epoch in itertools.count():
        sampler.set_epoch(epoch)
        keys = iter(sampler)
        while batch := list(itertools.islice(keys, batch_size)):
            yield objective.collate(dataset.__getitems__(batch))


def peer_batches(store: TokenStore, max_length: int, batch_size: int) -> Iterator[Any]:
    """Batches of `DataCollatorForLanguageModeling`, of whole framed rows in random order."""
    tokenizer = make_tokenizer()
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    room = max_length - 2
    text = np.asarray(store.ids[: len(store) // room * room]).astype(np.int64).reshape(-1, room)
    rows = torch.from_numpy(np.pad(text, ((0, 0), (1, 1)), constant_values=((0, 0), (2, 3))))
    mask = torch.ones(max_length, dtype=torch.int64)
    rng = np.random.default_rng(0)
    while True:
        chosen = rng.integers(len(rows), size=batch_size).tolist()
        yield collator([{"input_ids": rows[index], "attention_mask": mask} for index in chosen])


def rows_a_second(stream: Iterator[Any], batch_size: int, least: float) -> float:
    """Rows a second of processor time, of as many batches as take `least` seconds of it."""
    count, start = 0, time.process_time()
    while (took := time.process_time() - start) < least:
        next(stream)
        count += batch_size
    return count / took


def measure(
    ours: Iterator[Any], peer: Iterator[Any] | None, batch_size: int, runs: int, least: float
) -> tuple[list[float], list[float]]:
    """Rows a second of each run: ours, and the peer's."""
    found: tuple[list[float], list[float]] = [], []
    for stream in (ours, peer):  # warm
        if stream is not None:
            next(stream)
    for _ in range(runs):
        found[0].append(rows_a_second(ours, batch_size, least))
        if peer is not None:
            found[1].append(rows_a_second(peer, batch_size, least))
    return found


def results(quick: bool, *, max_length: int = 128, batch_size: int = 16) -> list[dict[str, Any]]:
    """A row for each of `SUBJECTS`: `name`, `peer` and `ours` (rows a second; the peer of `mlm` only), `ratio` (ours
    over the peer's), `unit`, `spread` (of ours: half the range of the runs, as a share) and `note`.

    Args:
        quick: fewer and shorter runs.
        max_length, batch_size: of the rows.
    """
    runs, least = (3, SHORT) if quick else (5, LONG)
    rows = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a loader worker
    try:
        with tempfile.TemporaryDirectory() as folder:
            store = make_store(Path(folder) / "tokens")
            for name in SUBJECTS:
                objective, plan = subject(name, store, max_length)
                peer = peer_batches(store, max_length, batch_size) if name == "mlm" else None
                ours, theirs = measure(batches(objective, store, plan, batch_size), peer, batch_size, runs, least)
                rows.append(_result(name, ours, theirs, f"{batch_size} x {max_length}"))
            del store
    finally:
        torch.set_num_threads(threads)
    return rows


def _result(name: str, ours: list[float], theirs: list[float], shape: str) -> dict[str, Any]:
    middle = statistics.median(ours)
    peer = statistics.median(theirs) if theirs else None
    return {
        "name": f"examples: {name}",
        "peer": peer,
        "ours": middle,
        "ratio": None if peer is None else middle / peer,
        "unit": "rows/s",
        "spread": (max(ours) - min(ours)) / 2 / middle,
        "note": f"{shape}, one process, {1e6 / middle:.0f} µs a row"
        + ("; peer: DataCollatorForLanguageModeling on rows in memory" if peer else ""),
    }


def profile(name: str, max_length: int, batch_size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder) / "tokens")
        objective, plan = subject(name, store, max_length)
        stream = batches(objective, store, plan, batch_size)
        next(stream)
        profiler = cProfile.Profile()
        profiler.runcall(lambda: [next(stream) for _ in range(4_000 // batch_size)])
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--profile", choices=SUBJECTS)
    arguments = parser.parse_args()
    if arguments.profile:
        profile(arguments.profile, arguments.length, arguments.batch_size)
        return
    for row in results(arguments.quick, max_length=arguments.length, batch_size=arguments.batch_size):
        peer = f"{row['peer']:9,.0f}  x {row['ratio']:.2f}" if row["peer"] else ""
        print(f"{row['name']:36} {row['ours']:9,.0f} {row['unit']} ± {row['spread']:.0%}  {peer}  {row['note']}")


if __name__ == "__main__":
    main()
