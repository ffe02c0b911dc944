"""Carry out a whole recipe: corpus, pretraining, the comparison of before and after, and the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acclimate.evaluation.evaluate import evaluate
from acclimate.evaluation.results import Evaluation
from acclimate.jobs.pretrain import Run, pretrain
from acclimate.jobs.recipes import Recipe, load_recipe
from acclimate.jobs.report import report
from acclimate.progress import Listener


@dataclass(frozen=True)
class RunResult:
    """A finished run, what it gained, and its report."""

    run: Run
    evaluation: Evaluation
    report: Path


def run(recipe: str | Path | Recipe, overrides: Sequence[str] = (), *, listener: Listener | None = None) -> RunResult:
    """Carry out a recipe: build the corpus where it is to be built, pretrain, evaluate, report.

    Args:
        recipe: a file, or a `Recipe`.
        overrides: `key=value` by dotted path, such as `training.max_steps=500`; for a file only.
        listener: hears messages and progress.
    """
    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
    finished = pretrain(loaded, listener=listener)
    evaluation = evaluate(finished.folder, settings=loaded.evaluation, listener=listener)
    return RunResult(finished, evaluation, report(finished.folder, listener=listener))
