"""Start-up: what a command and an import take before any work begins."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import figures
from measured import ROOT
from training import Setup

NAMES = ("AutoTokenizer", "BertForMaskedLM", "DataCollatorForLanguageModeling", "Trainer", "TrainingArguments")
PLAIN_IMPORTS = f"from transformers import {', '.join(NAMES)}"
# What is compared: the peer's command, and ours.
COMMANDS = {
    "startup: --help": (
        [str(Path(sys.executable).with_name("transformers")), "--help"],
        [sys.executable, "-m", "acclimate", "--help"],
    ),
    "startup: imports of a script": (
        [sys.executable, "-c", PLAIN_IMPORTS],
        [sys.executable, "-c", "import acclimate; acclimate.pretrain"],
    ),
}


def results(setup: Setup, only: Sequence[str]) -> list[figures.Row]:
    rounds = 3 if setup.quick else 7
    rows = []
    for name, (peer, ours) in COMMANDS.items():
        setup.tell(name)
        pairs = [(seconds(peer), seconds(ours)) for _ in range(rounds + 1)][1:]  # the first one reads the files
        note = f"peer: {' '.join([Path(peer[0]).name, *peer[1:]])}"
        rows.append(figures.row(name, [one for one, _ in pairs], [other for _, other in pairs], "s", note))
    return rows


def seconds(command: list[str]) -> float:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    start = time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start
