"""Measure ours beside the scripts that people run today, on the same data, model, batch and thread count.

    python bench/run.py                    everything (`make bench`)
    python bench/run.py --quick            the main ratios within 10 minutes (`make bench QUICK=1`)
    python bench/run.py --only bert-small  some of it: a benchmark's or a case's name
    python bench/run.py --only ablation    what each idea gives
    python bench/run.py --device cuda      the same on a GPU; found by itself where there is one
    python bench/run.py --table            no measuring: the table of docs/performance.md from bench/results

Prints medians and ratios, and keeps each row in `bench/results/HARDWARE/NAME.json` (`bench/results-quick` with
`--quick`).
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import figures
import startup
import time_to_loss
import training
from cases import CPU_CASES, GPU_CASES
from hardware import cores, versions
from materials import find_sources
from measured import ROOT, measure
from training import Setup

QUICK_DOCUMENTS = 150

Benchmark = Callable[[Setup, Sequence[str]], list[figures.Row]]


def of_module(name: str) -> Benchmark:
    """A benchmark of a file of this folder that has `results(quick)`."""

    def results(setup: Setup, only: Sequence[str]) -> list[figures.Row]:
        if not (Path(__file__).parent / f"{name}.py").exists():
            setup.tell(f"bench/{name}.py is not there")
            return []
        report = setup.measure("results", module=name, quick=setup.quick)
        if "failed" in report:
            setup.tell(f"bench/{name}.py: {report['failed']}")
            return []
        return list(report["rows"])

    return results


# In the order in which they run. Training is on any device, the rest on the CPU.
BENCHMARKS: dict[str, Benchmark] = {
    "training": training.results,
    "time-to-loss": time_to_loss.results,
    "corpus": of_module("corpus"),
    "tokens": of_module("tokens"),
    "inference": of_module("inference"),
    "startup": startup.results,
}
ON_REQUEST: dict[str, Benchmark] = {"ablation": training.ablation}
ON_GPU = ("training", "ablation")
CASES = [case.name for case in (*CPU_CASES, *GPU_CASES)]


def chosen(only: Sequence[str], device: str) -> dict[str, Benchmark]:
    """The benchmarks to run. The name of a case picks a part of "training", or of "ablation" where that is named."""
    known = {**BENCHMARKS, **ON_REQUEST}
    unknown = [name for name in only if name not in known and name not in CASES]
    if unknown:
        raise SystemExit(f"there is no benchmark {', '.join(unknown)}; there are {', '.join([*known, *CASES])}")
    home = "ablation" if "ablation" in only else "training"
    names = [home if name in CASES else name for name in only] or list(BENCHMARKS)
    return {name: known[name] for name in dict.fromkeys(names) if device == "cpu" or name in ON_GPU}


def main() -> None:
    arguments = parse()
    if arguments.table:
        page = figures.PAGE.read_text(encoding="utf-8")
        rows = figures.read(figures.RESULTS)
        figures.PAGE.write_text(figures.with_table(page, figures.as_markdown(rows)), encoding="utf-8")
        return
    setup = prepare(arguments)
    about = {
        "hardware": dict(setup.hardware),
        "versions": versions(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "quick": setup.quick,
    }
    home = figures.RESULTS.with_name("results-quick") if setup.quick else figures.RESULTS
    folder = home / figures.hardware_folder(setup.hardware)
    rows: list[figures.Row] = []
    started = time.monotonic()
    for name, benchmark in chosen(arguments.only, setup.device).items():
        # Kept after each, so that a long run that is cut off has not been for nothing.
        try:
            found = benchmark(setup, [case for case in arguments.only if case in CASES])
        except RuntimeError as error:
            tell(f"{name}: {error}")
            continue
        figures.write(found, folder, about)
        rows += found
        setup.tell(f"{name}: done after {(time.monotonic() - started) / 60:.1f} minutes")
    print(f"\n{figures.hardware_name(about)}, {about['date']}\n\n{figures.as_text(rows)}")
    print(f"\nkept in {folder.relative_to(ROOT)}/")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--device", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=cores(), help="of each side; default: all cores")
    parser.add_argument("--corpus", help="folder of documents, or a corpus built before")
    parser.add_argument("--tokenizer", help="folder of a BERT tokenizer")
    parser.add_argument("--documents", type=int, help="of the corpus, at most")
    parser.add_argument("--rounds", type=int, help="how often each side runs, instead of what the case says")
    parser.add_argument("--steps", type=int, help="how many steps are timed, instead of what the case says")
    parser.add_argument("--table", action="store_true")
    return parser.parse_args()


def prepare(arguments: argparse.Namespace) -> Setup:
    sources = find_sources(arguments.corpus, arguments.tokenizer)
    device = arguments.device or ("cuda" if measure("has_gpu", threads=arguments.threads).get("gpu") else "cpu")
    found = measure("hardware", threads=arguments.threads, device=device)
    if "failed" in found:
        raise SystemExit(f"the hardware cannot be measured: {found['failed']}\n{found.get('stderr', '')}")
    if sources.corpus is None:
        tell("no documents found (ACCLIMATE_TEST_DATA, --corpus): texts are words drawn at random")
    return Setup(
        device,
        arguments.threads,
        arguments.quick,
        sources,
        found,
        tell,
        limit=arguments.documents or (QUICK_DOCUMENTS if arguments.quick else None),
        rounds=arguments.rounds,
        steps=arguments.steps,
    )


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
