"""One measured run, in a process of its own: `python bench/measured.py JOB`, where JOB is JSON; the last line that it
prints is its report, as JSON.

A process of its own, so that threads, allocator and peak memory of one run do not touch another's.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def measure(job: str, *, threads: int, **arguments: Any) -> dict[str, Any]:
    """Run a row of `JOBS` in a new process; its report, or {"failed": why}."""
    environment = {
        **os.environ,
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), str(threads)),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")])),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "true",
        "PYTHONWARNINGS": "ignore",
    }
    text = json.dumps({"job": job, "arguments": arguments, "started": time.time()})
    command = [sys.executable, __file__, text]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        return {"failed": lines[-1] if lines else f"exit code {done.returncode}", "stderr": done.stderr[-4000:]}
    report: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return report


# ---- jobs, each in the new process ----------------------------------------------------------------------------------


def has_gpu(started: float) -> Mapping[str, Any]:
    import torch

    return {"gpu": torch.cuda.is_available()}


def hardware(started: float, device: str) -> Mapping[str, Any]:
    return import_module("hardware").describe(device)


def prepare(started: float, model: str, corpus: str | None, tokenizer: str | None, limit: int | None) -> Mapping:
    from materials import Sources
    from materials import prepare as make

    sources = Sources(Path(corpus) if corpus else None, Path(tokenizer) if tokenizer else None)
    return make(model, sources, limit)


def results(started: float, module: str, quick: bool) -> Mapping[str, Any]:
    """The rows of another benchmark of this folder."""
    return {"rows": import_module(module).results(quick)}


def train_peer(started: float, script: str, settings: dict[str, Any], probe: dict[str, Any]) -> Mapping[str, Any]:
    import peers
    from acclimate.corpus import open_corpus
    from probe import Probe

    texts = [document.text for document in open_corpus(settings["corpus"]).documents("train")]
    with tempfile.TemporaryDirectory() as folder:
        watch = Probe(started=started, **probe).install()
        trainer, collator = getattr(peers, script)(texts, {**settings, "output_dir": folder})
        output = trainer.train()
        if settings.get("save_to"):
            trainer.save_model(settings["save_to"])
    counted = collator.tokens[: watch.num_steps]
    # Rows of worker processes are not counted here; they are of full length.
    # The median, as of the times: the last batch of an epoch may be smaller.
    tokens = statistics.median(counted) if counted else settings["batch"] * settings["length"]
    return {**watch.report(), "tokens_per_step": tokens, "train_loss": output.training_loss}


def train_ours(started: float, settings: dict[str, Any], overrides: dict[str, Any], probe: dict[str, Any]) -> Mapping:
    import ours
    from probe import Probe

    if missing := ours.missing_settings(overrides):
        return {"failed": f"this version has no setting {', '.join(missing)}"}
    with tempfile.TemporaryDirectory() as folder:
        watch = Probe(started=started, **probe).install()
        run = ours.train({**settings, "output_dir": f"{folder}/run"}, overrides)
    tokens = run.summary["tokens_seen"] / run.summary["global_step"]
    return {**watch.report(), "tokens_per_step": tokens, "train_loss": run.summary["train_loss"]}


def held_out_loss(started: float, **arguments: Any) -> Mapping[str, Any]:
    import time_to_loss

    return time_to_loss.held_out_loss(**arguments)


def shares(started: float, **arguments: Any) -> Mapping[str, Any]:
    import time_to_loss

    return time_to_loss.shares(**arguments)


JOBS = {
    job.__name__: job for job in (has_gpu, hardware, prepare, results, train_peer, train_ours, held_out_loss, shares)
}


def main() -> None:
    asked = json.loads(sys.argv[1])
    report = JOBS[asked["job"]](asked["started"], **asked["arguments"])
    print("\n" + json.dumps(report))


if __name__ == "__main__":
    main()
