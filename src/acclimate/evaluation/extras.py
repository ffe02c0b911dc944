"""Probes, continuations and the verdict: asked and put together here, each made by a module of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from acclimate.evaluation.models import Way
from acclimate.evaluation.results import Evaluation
from acclimate.evaluation.settings import EvaluationSettings
from acclimate.evaluation.texts import Texts
from acclimate.progress import Listener
from acclimate.training.run_folder import RunFolder


@dataclass(frozen=True, eq=False)
class Extras:
    """What is asked beside held-out text."""

    run: RunFolder
    settings: EvaluationSettings
    texts: Texts
    way: Way

    @property
    def wanted(self) -> bool:
        """Whether there is anything to ask without held-out text."""
        return self.settings.probes is not None


def ask_extras(extras: Extras, model: Any, way: Way, which: str, listener: Listener) -> Any:
    """What a model says to them."""
    return None


def with_extras(evaluation: Evaluation, before: Any, after: Any) -> Evaluation:
    """An evaluation with what both models said to them."""
    return evaluation


def with_verdict(evaluation: Evaluation, run: RunFolder) -> Evaluation:
    """An evaluation with its verdict."""
    from acclimate.evaluation.curve import read_run
    from acclimate.evaluation.verdict import judge

    return replace(evaluation, verdict=judge(evaluation.to_json(), read_run(run.path)))
