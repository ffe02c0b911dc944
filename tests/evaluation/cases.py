"""Plain data to judge: an evaluation, a manifest and a curve in which no condition of advice is met."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from acclimate.evaluation.advice import Facts
from acclimate.evaluation.curve import Curve, Point, RunRecord
from acclimate.evaluation.judgement import judge_text


def part(before: float, mean: float, low: float, high: float, **measures: float) -> dict[str, Any]:
    """A part of a text whose loss changed by `mean`."""
    return {
        "before": {"loss": before, **measures},
        "after": {"loss": before + mean, **measures},
        "difference": {"mean": mean, "low": low, "high": high},
        "targets": 1000,
    }


def text(*parts: dict[str, Any], units: int = 50, unit: str = "document") -> dict[str, Any]:
    names = ("first", "second")[: len(parts)]
    return {"parts": dict(zip(names, parts, strict=True)), "tokens": 9000, "units": units, "unit": unit}


def evaluation(**changes: Any) -> dict[str, Any]:
    """Helped on documents, no difference on general text."""
    return {
        "version": 2,
        "objective": "mlm",
        "claim": True,
        "notes": [],
        "domain": text(part(2.5, -0.5, -0.6, -0.4)),
        "general": text(part(3.0, 0.0, -0.03, 0.03)),
        **changes,
    }


def manifest(**changes: Any) -> dict[str, Any]:
    """A model that had its head."""
    model = {"from_scratch": False, "new_parameters": [], "head_warmup": None, "unseen_tokens": 0}
    recipe = {"training": {}, "replay": None, "adapter": None, "isolate": "group"}
    found: dict[str, Any] = {"model": model, "recipe": recipe}
    for name, values in changes.items():
        found[name] = {**found[name], **values}
    return found


def curve(
    losses: Sequence[float],
    *,
    held_out: Sequence[float] = (),
    rates: Sequence[float] | None = None,
    passes: float | None = 1.0,
) -> Curve:
    """Training losses of every 10 steps, and held-out losses spread over as many."""
    count = len(losses)
    train = [
        Point(10 * (index + 1), loss, 1e-4 if rates is None else rates[index], passes and passes * (index + 1) / count)
        for index, loss in enumerate(losses)
    ]
    every = 10 * count // max(1, len(held_out))
    return Curve(tuple(train), tuple(Point(every * (index + 1), loss) for index, loss in enumerate(held_out)))


# Flat but for a start; alternating, so that there is a scatter around the line.
FLAT = [3.0, 2.5, *[2.2, 2.22] * 9]


def facts(
    losses: Sequence[float] = FLAT,
    *,
    found: dict[str, Any] | None = None,
    run: dict[str, Any] | None = None,
    **options: Any,
) -> Facts:
    """The facts of the cases above with some of them changed; options are those of `curve`."""
    found, record = copy.deepcopy(found or evaluation()), RunRecord(run or manifest(), curve(losses, **options))
    domain, general = judge_text("domain", found, record), judge_text("general", found, record)
    return Facts(found, record.manifest, record.curve, domain, general)
