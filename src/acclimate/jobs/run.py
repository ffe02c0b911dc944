"""Carry out a whole recipe: corpus, pretraining, and the comparison of before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acclimate.evaluation.evaluate import evaluate
from acclimate.evaluation.results import Evaluation
from acclimate.jobs.pretrain import Run, pretrain
from acclimate.jobs.recipes import Recipe, load_recipe
from acclimate.progress import Listener


@dataclass(frozen=True)
class RunResult:
    """A finished run and what it gained."""

    run: Run
    evaluation: Evaluation


def run(recipe: str | Path | Recipe, overrides: Sequence[str] = (), *, listener: Listener | None = None) -> RunResult:
    """Carry out a recipe: build the corpus where it is to be built, pretrain, evaluate.

    Args:
        recipe: a file, or a `Recipe`.
        overrides: `key=value` by dotted path, such as `training.max_steps=500`; for a file only.
        listener: hears messages and progress.
    """
    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
    finished = pretrain(loaded, listener=listener)
    return RunResult(finished, evaluate(finished.folder, settings=loaded.evaluation, listener=listener))
