"""Probes, continuations and the verdict: asked and put together here, each made by a module of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from acclimate.evaluation.continuations import (
    Beginning,
    choose_beginnings,
    continue_each,
    is_written_by,
    side_by_side,
)
from acclimate.evaluation.curve import read_run
from acclimate.evaluation.models import Way
from acclimate.evaluation.probes import ProbeAnswers, ProbeQuestion, read_probes, why_not_asked
from acclimate.evaluation.probes import ask as ask_probes
from acclimate.evaluation.probes import compare as compare_probes
from acclimate.evaluation.results import Evaluation
from acclimate.evaluation.settings import EvaluationSettings
from acclimate.evaluation.texts import Texts
from acclimate.evaluation.verdict import judge
from acclimate.training.run_folder import RunFolder


@dataclass(frozen=True, eq=False)
class Extras:
    """What is asked beside held-out text.

    Attributes:
        probes: the user's sentences with blanks.
        beginnings: of held-out documents, for models that write.
        notes: why something is not asked.
    """

    probes: Sequence[ProbeQuestion] = ()
    beginnings: Sequence[Beginning] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ExtraAnswers:
    """What one model says to them."""

    probes: Sequence[ProbeAnswers] = ()
    continuations: Sequence[str] = ()


def make_extras(run: RunFolder, settings: EvaluationSettings, texts: Texts, way: Way) -> Extras:
    """Read the probes, and choose the beginnings.

    Raises:
        DataError, SourceError: probes without a blank, or a file that cannot be read.
    """
    mask = None if way.tokenizer.mask_token is None else str(way.tokenizer.mask_token)
    probes = read_probes(settings.probes, mask=mask) if settings.probes else []
    problem = why_not_asked(way.objective) if probes else None
    writes = is_written_by(way.objective, run.manifest["objective"]["family"])
    domain = texts.texts.get("domain")
    beginnings = (
        choose_beginnings(domain.corpus.documents("held_out"), way.tokenizer, settings.num_continuations)
        if writes and domain is not None and way.tokenizer.is_fast and settings.num_continuations
        else []
    )
    return Extras(probes, beginnings, () if problem is None else (problem,))


def ask_extras(extras: Extras, model: Any, way: Way) -> ExtraAnswers:
    """What a model says to them. Its forward may be told what it sees, so that this is asked last."""
    return ExtraAnswers(
        ask_probes(model, way.objective, way.tokenizer, extras.probes) if extras.probes else (),
        continue_each(model, way.objective, way.tokenizer, extras.beginnings) if extras.beginnings else (),
    )


def with_extras(evaluation: Evaluation, extras: Extras, before: ExtraAnswers, after: ExtraAnswers) -> Evaluation:
    """An evaluation with what both models said to them."""
    return replace(
        evaluation,
        probes=tuple(compare_probes(extras.probes, before.probes, after.probes)),
        continuations=tuple(side_by_side(extras.beginnings, before.continuations, after.continuations)),
        notes=(*evaluation.notes, *extras.notes),
    )


def with_verdict(evaluation: Evaluation, run: RunFolder, *, advises: bool = True) -> Evaluation:
    """An evaluation with its verdict; against another model than the one before training, there is no advice on it."""
    verdict = judge(evaluation.to_json(), read_run(run.path))
    return replace(evaluation, verdict=verdict if advises else replace(verdict, advice=()))
