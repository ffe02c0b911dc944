"""A small run's facts, written by hand, in the form that a run folder has them."""

from __future__ import annotations

import copy
from typing import Any

from acclimate.reporting.evaluation_file import read_evaluation
from acclimate.reporting.facts import Batch, BatchPiece, BatchRow, BatchSpan, Facts

MANIFEST: dict[str, Any] = {
    "kind": "run",
    "status": "finished",
    "started": "2026-11-26T02:02:31+00:00",
    "finished": "2026-11-26T02:11:11+00:00",
    "environment": {"python": "3.11.7", "acclimate": "0.1.0", "torch": "2.13.0"},
    "recipe": {"model": {"name": "some/bert"}, "max_length": 128, "output_dir": "runs/docs", "seed": 42},
    "model": {"type": "bert", "parameters": 22_744_506, "from_scratch": False, "head_warmup": {"steps": 150}},
    "corpus": {"path": "corpora/docs", "fingerprint": "12ab"},
    "objective": {"name": "mlm", "options": {}, "family": "encoder", "decoder_start_id": None},
    "tokens": {
        "train": {"text": 150, "stream": 160},
        "held_out": {"text": 15, "stream": 16},
        "tokenizer": "75ef",
        "rows": 2,
        "padding_share": 0.0031,
    },
    "compute": {"precision": "fp32", "threads": 2},
    "summary": {
        "global_step": 200,
        "train_runtime": 396.9556,
        "total_flos": 2.6607653683e13,
        "tokens_seen": 408_316,
        "epoch": 0.181,
        "train_tokens_per_second": 1028.6,
    },
    "device": "cpu",
}


def ledger(came: int, added: int, kept: int, reasons: dict[str, tuple[int, int]]) -> dict[str, Any]:
    """A ledger in the form of a corpus's manifest; reasons are (documents, characters)."""
    dropped = sum(characters for _, characters in reasons.values())
    documents = sum(number for number, _ in reasons.values())
    assert came + added == kept + dropped
    return {
        "documents": {"in": 10, "kept": 10 - documents, "dropped": documents},
        "characters": {"in": came, "added": added, "kept": kept, "dropped": dropped},
        "reasons": {name: {"documents": number, "characters": size} for name, (number, size) in reasons.items()},
    }


CORPUS: dict[str, Any] = {
    "kind": "corpus",
    "fingerprint": "12ab",
    "settings": {"sources": [{"path": "some/where/handbook"}, {"git": "https://example.org/notes.git"}]},
    "ledger": ledger(1000, 10, 800, {"too_short": (2, 60), "markdown_markup": (0, 150)}),
    "ledger_by_source": {
        "handbook": ledger(700, 10, 600, {"too_short": (1, 10), "markdown_markup": (0, 100)}),
        "notes": ledger(300, 0, 200, {"too_short": (1, 50), "markdown_markup": (0, 50)}),
    },
    "splits": {"train": {"documents": 7, "characters": 720}, "held_out": {"documents": 1, "characters": 80}},
}


def difference(mean: float, half: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


def part(before: float, after: float, half: float) -> dict[str, Any]:
    return {
        "before": {"loss": before, "perplexity": 2.0**before, "accuracy": 0.1, "accuracy_at_5": 0.2},
        "after": {"loss": after, "perplexity": 2.0**after, "accuracy": 0.3, "accuracy_at_5": 0.5},
        "difference": difference(after - before, half),
        "targets": 1759,
    }


def group(name: str, change: float | None) -> dict[str, Any]:
    interval = None if change is None else difference(change, 0.2)
    return {"name": name, "targets": 90, "units": 12, "before": 4.0, "after": 3.5, "difference": interval}


def text(before: float, after: float, half: float) -> dict[str, Any]:
    groups = [group("handbook", -0.5), group("notes", 0.1), group("tiny", None)]
    return {
        "parts": {"mlm": part(before, after, half)},
        "tokens": 11_942,
        "units": 34,
        "unit": "document",
        "pseudo_log_likelihood": {
            "before": -7.4,
            "after": -3.6,
            "difference": difference(3.8, 0.2),
            "tokens": 99,
            "units": 9,
        },
        "breakdown": {"source": groups, "length": groups[:2], "document": groups},
    }


def blank(*words: str, expected: str | None = None) -> dict[str, Any]:
    guesses = [{"text": word, "probability": 0.5 / (number + 1)} for number, word in enumerate(words)]
    ranks = (None, None) if expected is None else (40, 1)
    return {
        "before": guesses[::-1],
        "after": guesses,
        "expected": expected,
        "rank_before": ranks[0],
        "rank_after": ranks[1],
    }


def passage(document: str) -> dict[str, Any]:
    tokens = [("A", 0.2, 0.1), (" node", 9.0, 0.6), (" pool", 4.0, 3.0), (".", None, None)]
    return {
        "document": document,
        "source": "handbook",
        "tokens": [{"text": text, "before": before, "after": after} for text, before, after in tokens],
    }


def judgement(outcome: str, before: float, after: float, half: float) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "measure": "loss",
        "before": before,
        "after": after,
        "difference": difference(after - before, half),
        "relative": (after - before) / before,
        "reasons": ["from_scratch"] if outcome == "no_claim" else [],
    }


def term(name: str, asked: int, before: int, after: int) -> dict[str, Any]:
    return {
        "term": name,
        "score": 12.5,
        "domain_count": 80,
        "general_count": 1,
        "pieces": 2.4,
        "asked": asked,
        "before": before,
        "after": after,
        "gain": (after - before) / asked if asked else None,
    }


EVALUATION: dict[str, Any] = {
    "version": 2,
    "run": "runs/docs",
    "objective": "mlm",
    "before": "some/bert",
    "claim": True,
    "notes": ["raise `evaluation.max_tokens`"],
    "domain": text(5.0, 3.0, 0.5),
    "general": text(4.0, 4.5, 0.25),
    "terms": {
        "terms": [term("node pool", 10, 1, 8), term("vault", 4, 2, 2), term("tenant", 6, 5, 2)],
        "asked": 20,
        "before": 0.4,
        "after": 0.6,
        "difference": difference(0.2, 0.1),
        "mean_pieces": 2.4,
        "general_pieces": 1.3,
    },
    "probes": [
        {
            "text": "Azure [MASK] service.",
            "source": "probes.txt:1",
            "expected": ["kubernetes"],
            "blanks": [blank("kubernetes", "the", expected="kubernetes")],
        },
        {"text": "[MASK] and [MASK]", "source": "probes.txt:2", "expected": None, "blanks": [blank("a"), blank("b")]},
    ],
    "examples": [
        {
            "text": "a [MASK] pool",
            "source": "handbook/a.md",
            "expected": ["node"],
            "blanks": [blank("node", expected="node")],
            "why": "gained",
        }
    ],
    "continuations": [
        {"prompt": "To begin", "before": "the", "after": "install", "actual": "make", "document": "a.md"}
    ],
    "passages": {"domain": [passage("handbook/a.md")], "general": [passage("wiki")]},
    "verdict": {
        "domain": judgement("helped", 5.0, 3.0, 0.5),
        "general": judgement("harmed", 4.0, 4.5, 0.25),
        "advice": [{"condition": "general_forgotten", "figures": {"relative": 0.125, "learning_rate": 0.0003}}],
        "objective": "mlm",
    },
}

METRICS: tuple[dict[str, Any], ...] = (
    {"step": 10, "loss": 5.0, "learning_rate": 1e-4},
    {"step": 20, "loss": 4.0, "learning_rate": 3e-4},
    {"step": 20, "eval_loss": 3.5},
    {"step": 30, "loss": 3.0, "learning_rate": 0.0},
    {"step": 30, "train_runtime": 3.0},
)

BATCH = Batch(
    objective="mlm",
    packed=True,
    max_length=16,
    num_rows=2,
    rows=(
        BatchRow(
            number=1,
            num_tokens=12,
            num_padding=4,
            pieces=(
                BatchPiece(
                    "0",
                    0,
                    ("handbook/a.md",),
                    {"row": (BatchSpan("[CLS]", special=True), BatchSpan(" a "), BatchSpan("⟦b→[MASK]⟧", "mask"))},
                ),
                BatchPiece(
                    "1",
                    1,
                    ("handbook/b.md", "handbook/c.md"),
                    {"encoder": (BatchSpan("⟦c→<x>⟧", "stands for"),), "label": (BatchSpan("c"),)},
                ),
            ),
            verdicts={"nsp": "next"},
        ),
    ),
)


def facts(**changes: Any) -> Facts:
    """The facts of a run that has everything; with `evaluation` as plain data."""
    evaluation = changes.pop("evaluation", EVALUATION)
    values: dict[str, Any] = {
        "name": "docs",
        "folder": "runs/docs",
        "manifest": MANIFEST,
        "metrics": METRICS,
        "recipe": "model:\n  name: some/bert\n",
        "evaluation": None if evaluation is None else read_evaluation(evaluation),
        "verdict": None if evaluation is None else evaluation.get("verdict"),
        "corpus": CORPUS,
        "batch": BATCH,
        "changed": {"seed": (7, 42), "training.max_steps": (200, None)},
    }
    return Facts(**{**values, **changes})


def evaluation(**changes: Any) -> dict[str, Any]:
    """The evaluation with other values."""
    return {**copy.deepcopy(EVALUATION), **changes}
