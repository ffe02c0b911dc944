"""How fast a corpus is built, and how much memory building, encoding and packing take as it grows.

    python bench/corpus.py [--runs 3] [--num-workers N]
    python bench/corpus.py --memory 0.1 1 4 [--tokens line] [--folder FOLDER]

The first line measures speed on `corpora/azure-docs` and `corpora/zizhi-tongjian` of the test data
(ACCLIMATE_TEST_DATA, or `../shared/data`). Its reference for Markdown is markdown-it-py alone in as many processes,
which reads and renders the files, keeps nothing and writes nothing.

The second one repeats the text of azure-docs, changed a little each time, up to so many GB, once as Markdown files in
folders and once as one file of JSON Lines; builds the corpus (Markdown as it is, so that 4 GB take minutes), the token
store (words or lines as tokens, for the same reason) and a plan, each in a process of its own; and samples the memory
of that process and its children five times a second: the sum of their resident sets (RSS, which counts pages that they
share several times) and of their proportional ones (PSS, which is what they take of the machine).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("ACCLIMATE_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
DOCS = DATA / "corpora" / "azure-docs"
LINES = DATA / "corpora" / "zizhi-tongjian" / "vernacular.txt"
MB = 1e6


def results(quick: bool) -> list[dict[str, Any]]:
    """Rows of figures: MB of source files a second, as medians of alternating runs.

    Args:
        quick: one run on a part of the documents.
    """
    runs, workers = (1 if quick else 3), None
    docs = DOCS / "azure-security-docs" if quick else DOCS
    return [markdown_row(docs, runs, workers), lines_row(LINES, runs, workers)]


def markdown_row(docs: Path, runs: int, num_workers: int | None) -> dict[str, Any]:
    """Markdown files, read into text, beside the parser alone."""
    size = sum(file.stat().st_size for file in docs.rglob("*.md"))
    peer, ours = alternate(
        runs, lambda: render_alone(docs, num_workers), lambda: build({"path": str(docs), "glob": "*.md"}, num_workers)
    )
    return row("corpus: Markdown files", size, ours, peer, "peer: markdown-it-py alone, same processes, writes nothing")


def lines_row(path: Path, runs: int, num_workers: int | None) -> dict[str, Any]:
    """Chinese text by line."""
    _, ours = alternate(runs, lambda: None, lambda: build({"path": str(path), "unit": "line"}, num_workers))
    return row("corpus: Chinese text by line", path.stat().st_size, ours, None, "one file, read by one process")


def row(name: str, size: int, ours: list[float], peer: list[float] | None, note: str) -> dict[str, Any]:
    """A row of figures from seconds."""
    speeds = sorted(size / MB / seconds for seconds in ours)
    reference = None if peer is None else size / MB / statistics.median(peer)
    median = statistics.median(speeds)
    return {
        "name": name,
        "peer": reference,
        "ours": median,
        "ratio": None if reference is None else median / reference,
        "unit": "MB/s",
        "spread": [speeds[0], speeds[-1]],
        "note": note,
    }


def alternate(runs: int, *actions: Callable[[], Any]) -> list[list[float]]:
    """Seconds of each action, in turns, so that a busy machine is busy for all."""
    taken: list[list[float]] = [[] for _ in actions]
    for _ in range(runs):
        for seconds, action in zip(taken, actions, strict=True):
            start = time.perf_counter()
            action()
            seconds.append(time.perf_counter() - start)
    return taken


def build(source: dict[str, Any], num_workers: int | None) -> None:
    from acclimate.corpus import CorpusSettings, build_corpus

    with tempfile.TemporaryDirectory() as folder:
        build_corpus(CorpusSettings(sources=[source]), Path(folder) / "corpus", num_workers=num_workers)


def render_alone(docs: Path, num_workers: int | None) -> None:
    from acclimate.corpus.parallel import default_workers

    with multiprocessing.get_context("fork").Pool(num_workers or default_workers()) as pool:
        for _ in pool.imap_unordered(render, sorted(docs.rglob("*.md")), chunksize=16):
            pass


def render(path: Path) -> int:
    from markdown_it import MarkdownIt

    return len(MarkdownIt("commonmark").enable("table").render(path.read_text("utf-8", "replace")))


# --- memory ------------------------------------------------------------------------------------------------------


def changed_texts(size: float) -> Iterator[str]:
    """The documents of azure-docs again and again, each time with another line, up to `size` bytes."""
    texts = [file.read_text("utf-8", "replace") for file in sorted(DOCS.rglob("*.md"))]
    written = number = 0
    while written < size:
        text = f"{texts[number % len(texts)]}\nPage {number} of this collection.\n"
        written += len(text.encode())
        number += 1
        yield text


def write_files(folder: Path, size: float) -> None:
    for number, text in enumerate(changed_texts(size)):
        path = folder / f"part-{number // 1000:04}" / f"page-{number:07}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def write_json_lines(path: Path, size: float) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for number, text in enumerate(changed_texts(size)):
            file.write(json.dumps({"id": f"page-{number}", "text": text}) + "\n")


def simple_tokenizer(unit: str) -> Any:
    """Words or lines as tokens: much faster than any subword model, so that gigabytes take minutes."""
    from collections import Counter

    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Counter(word for text in changed_texts(5e6) for word in text.split(None if unit == "word" else "\n"))
    names = ["[UNK]", "[SEP]", *(word for word, _ in words.most_common(30_000))]
    backend = Tokenizer(models.WordLevel({name: index for index, name in enumerate(names)}, unk_token="[UNK]"))
    splits = {"word": pre_tokenizers.WhitespaceSplit(), "line": pre_tokenizers.CharDelimiterSplit("\n")}
    backend.pre_tokenizer = splits[unit]
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", sep_token="[SEP]")


def run_stage(stage: str, unit: str, source: Path, folder: Path) -> None:
    """One stage, in the process that is measured."""
    from acclimate.corpus import CorpusSettings, build_corpus, open_corpus
    from acclimate.tokens import build_token_store, open_token_store, pack

    if stage == "corpus":
        chosen = {"path": str(source), **({"markdown": "source"} if source.is_dir() else {})}
        build_corpus(CorpusSettings(sources=[chosen]), folder / "corpus")
    elif stage == "tokens":
        build_token_store(open_corpus(folder / "corpus"), "train", simple_tokenizer(unit), folder / "tokens", layers=())
    else:
        store = open_token_store(folder / "tokens")
        plan = pack(store.spans("group"), store.flags, row_length=128, frame_length=2)
        print(len(plan), "rows", file=sys.stderr)


def memory_of(pid: int) -> dict[str, int]:
    """Bytes of a process's memory, as Linux sums them up."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
    return {"rss": kilobytes["Rss"] * 1024, "pss": kilobytes["Pss"] * 1024}


def measured(command: list[str]) -> dict[str, float]:
    """Run a command; its seconds, and the peaks in MB of the memory of its processes."""
    import psutil

    start = time.perf_counter()
    process = subprocess.Popen(command)
    peaks = {"rss": 0.0, "pss": 0.0}
    while process.poll() is None:
        sums = {"rss": 0, "pss": 0}
        try:
            root = psutil.Process(process.pid)
            for one in [root, *root.children(recursive=True)]:
                for name, value in memory_of(one.pid).items():
                    sums[name] += value
        except (psutil.Error, OSError):  # it has just ended
            continue
        peaks = {name: max(peaks[name], sums[name] / MB) for name in peaks}
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return {"seconds": time.perf_counter() - start, **peaks}


def measure_memory(sizes: list[float], unit: str, where: Path | None) -> None:
    print(f"{'GB':>5} {'as':6} {'stage':7} {'s':>7} {'MB/s':>6} {'RSS MB':>7} {'PSS MB':>7}", flush=True)
    for size in sizes:
        for form in ("files", "lines"):
            folder = Path(tempfile.mkdtemp(prefix="acclimate-bench-", dir=where))
            try:
                source = folder / ("files" if form == "files" else "lines.jsonl")
                (write_files if form == "files" else write_json_lines)(source, size * 1e9)
                for stage in ("corpus", "tokens", "plan"):
                    found = measured([sys.executable, __file__, "--stage", stage, unit, str(source), str(folder)])
                    speed = size * 1e3 / found["seconds"]
                    print(
                        f"{size:5} {form:6} {stage:7} {found['seconds']:7.1f} {speed:6.1f} {found['rss']:7.0f} "
                        f"{found['pss']:7.0f}",
                        flush=True,
                    )
            finally:
                shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--num-workers", type=int)
    parser.add_argument("--memory", type=float, nargs="+", metavar="GB")
    parser.add_argument("--tokens", choices=["word", "line"], default="word", help="with --memory; lines are faster")
    parser.add_argument("--folder", type=Path, help="where to put what is made; default the system's")
    parser.add_argument("--stage", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        stage, unit, source, folder = arguments.stage
        run_stage(stage, unit, Path(source), Path(folder))
    elif arguments.memory:
        measure_memory(arguments.memory, arguments.tokens, arguments.folder)
    else:
        rows = [
            markdown_row(DOCS, arguments.runs, arguments.num_workers),
            lines_row(LINES, arguments.runs, arguments.num_workers),
        ]
        for one in rows:
            peer = "" if one["peer"] is None else f"  peer {one['peer']:.2f}  ratio {one['ratio']:.2f}"
            spread = "–".join(f"{value:.2f}" for value in one["spread"])
            print(f"{one['name']:30} {one['ours']:6.2f} {one['unit']} ({spread}){peer}  {one['note']}")


if __name__ == "__main__":
    main()
