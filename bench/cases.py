"""What is trained on both sides, and the table of ways in which it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from materials import MODELS

Side = Literal["plain", "tuned", "ours"]


@dataclass(frozen=True)
class Case:
    """A model and a size of batch.

    Attributes:
        name: of the case in results.
        model: a row of `MODELS`.
        batch, length: rows of a step, and tokens of a row.
        warmup, steps: steps before timing, and timed.
        rounds: how often each side runs, in alternation.
        lora: train an adapter on both sides.
    """

    name: str
    model: str
    batch: int
    length: int
    warmup: int
    steps: int
    rounds: int
    lora: bool = False

    def settings(self, folders: Mapping[str, str], device: str, training: Mapping[str, Any]) -> dict[str, Any]:
        """What both sides are told."""
        return {
            **folders,
            "objective": MODELS[self.model].objective,
            "batch": self.batch,
            "length": self.length,
            "device": device,
            "lora": self.lora,
            "config": {},
            "training": {"max_steps": self.warmup + self.steps, **training},
        }


CPU_CASES = (
    Case("bert-base", "bert-base", 16, 128, warmup=1, steps=5, rounds=3),
    Case("bert-small", "bert-small", 16, 128, warmup=5, steps=30, rounds=5),
    Case("llama-small", "llama-small", 16, 128, warmup=5, steps=20, rounds=5),
    Case("t5-small", "t5-small", 16, 128, warmup=5, steps=20, rounds=5),
)
GPU_CASES = (
    Case("gpu-bert-base-128", "bert-base", 512, 128, warmup=30, steps=60, rounds=3),
    Case("gpu-bert-base-512", "bert-base", 128, 512, warmup=30, steps=60, rounds=3),
    Case("gpu-modernbert-512", "modernbert", 128, 512, warmup=30, steps=60, rounds=3),
    Case("gpu-llama-1b-lora", "llama-1b", 8, 1024, warmup=15, steps=30, rounds=3, lora=True),
)
# The main ratios, within minutes.
QUICK_CPU = ("bert-base",)
QUICK_GPU = ("gpu-bert-base-128", "gpu-bert-base-512")


def cases(device: str, quick: bool) -> list[Case]:
    found = GPU_CASES if device == "cuda" else CPU_CASES
    if not quick:
        return list(found)
    main = QUICK_GPU if device == "cuda" else QUICK_CPU
    return [replace(case, steps=max(2, case.steps // 2), rounds=2) for case in found if case.name in main]


# Ours by another recipe, as overrides of its defaults. "ours" is what a user gets who sets nothing.
# Its dropout is the configuration's, as the peer's is.
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "ours": {},
    "no dropout": {"model.dropout": 0.0},
}

# Each idea switched off alone: what it gives is what is lost without it.
ABLATIONS: Mapping[str, Mapping[str, Any]] = {
    "sparse head": {"compute.sparse_head": False},
    "attention": {"compute.attention": "sdpa"},
    "byte dropout": {"compute.byte_dropout": False},
    "kept memory": {"compute.keep_memory": False},
    "dropout as configured": {"model.dropout": 0.0},
    "all of compute": {
        "compute.sparse_head": False,
        "compute.attention": "sdpa",
        "compute.byte_dropout": False,
        "compute.keep_memory": False,
    },
}


def workers(device: str) -> dict[str, Any]:
    """Processes that make batches ready for the tuned peer while a GPU computes, as ours has by default; on a CPU they
    would take its cores."""
    return {"dataloader_num_workers": 4} if device == "cuda" else {}


def ours_training(device: str) -> dict[str, Any]:
    """On a GPU ours compiles its layers, as it does by default in runs of some length; those here are short."""
    return {"torch_compile": True} if device == "cuda" else {}


def tuned_candidates(device: str) -> dict[str, dict[str, Any]]:
    """Settings of which the best-tuned peer takes the fastest."""
    if device == "cuda":
        settings = {"bf16": True, **workers(device)}
        return {"bf16": settings, "bf16 and torch.compile": {**settings, "torch_compile": True}}
    return {"fp32": {}, "bf16": {"bf16": True}}
