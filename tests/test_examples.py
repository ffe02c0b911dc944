"""The scripts in examples/ run offline, learn, and are short."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run(script: str, *arguments: object) -> str:
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / script), "--tiny", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PATH": ""},
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_they_are_short(script: Path) -> None:
    assert sum(bool(line.strip()) for line in script.read_text(encoding="utf-8").splitlines()) < 80


def test_the_plain_trainer_learns(tmp_path: Path) -> None:
    told = run("plain_trainer.py", "-o", tmp_path)
    losses = dict(re.findall(r"^(before|after): ([\d.]+)$", told, flags=re.MULTILINE))
    assert float(losses["after"]) < float(losses["before"]) - 0.1
    assert "0 tokens left out" in told
    assert AutoModelForMaskedLM.from_pretrained(tmp_path).config.vocab_size == 25


def test_the_loop_learns_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = run("accelerate_loop.py", "-o", tmp_path / "whole")
    (losses,) = re.findall(r"step 20 of (\d+): loss ([\d.]+)", whole)
    (last,) = re.findall(rf"step {losses[0]} of {losses[0]}: loss ([\d.]+)", whole)
    assert float(last) < float(losses[1]) - 0.3
    run("accelerate_loop.py", "-o", tmp_path / "cut", "--stop-at", 20)
    again = run("accelerate_loop.py", "-o", tmp_path / "cut")
    assert "step 20" not in again
    ends = [AutoModelForCausalLM.from_pretrained(tmp_path / name / "model").state_dict() for name in ("whole", "cut")]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
