"""Before and after: a run's model and the one it started from, asked the very same questions.

The questions are chosen before a model is loaded (`texts.py`, `plan.py`), the model before answers them, then the one
after, and what they said is compared (`comparison.py`). Only one of them is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from acclimate.evaluation.comparison import Said, compare
from acclimate.evaluation.extras import Extras, ask_extras, make_extras, with_extras, with_verdict
from acclimate.evaluation.models import Way, load_after, own_way, ready
from acclimate.evaluation.opponents import Opponent, file_name, model_before, other_model
from acclimate.evaluation.plan import Plan, answer, make_plan
from acclimate.evaluation.results import Evaluation
from acclimate.evaluation.settings import EvaluationSettings, GeneralSettings
from acclimate.evaluation.texts import Text, Texts, gather_texts
from acclimate.progress import Listener, Silent
from acclimate.recipe import validate
from acclimate.scoring.score import score, settle
from acclimate.tokens.tokenizers import load_tokenizer
from acclimate.training.run_folder import RunFolder, open_run, write_evaluation


def evaluate(
    run: str | Path,
    *,
    general: str | Path | Mapping[str, Any] | GeneralSettings | None = None,
    probes: str | Path | Sequence[str | Path] | None = None,
    against: str | Path | None = None,
    settings: EvaluationSettings | None = None,
    listener: Listener | None = None,
) -> Evaluation:
    """Compare a finished run's model with the one that it started from, or with another one.

    Args:
        run: the run's folder.
        general: general text: a corpus folder, or anything that `corpus build` takes; default the recipe's.
        probes: a file of sentences with blanks, or several; default the recipe's.
        against: the other model: a run, a model's folder or a hub id. It takes the place of "before"; where its
            tokenizer cuts texts otherwise, bits per byte of whole words are compared.
        settings: default the recipe's `evaluation:` section.
        listener: hears progress.

    Returns:
        The figures; they are also kept in `RUN/evaluation/evaluation.json` (`against-MODEL.json`).

    Raises:
        CheckpointError: the run is not finished, or what it started from is gone.
        ModelError: the other model is not there, or has no head for the run's objective.
    """
    listener = listener or Silent()
    opened = open_run(run)
    settings = settings or run_settings(run)
    if general is not None:
        settings = settings.model_copy(update={"general": _general_settings(general)})
    if probes is not None:
        files = [probes] if isinstance(probes, (str, Path)) else probes
        settings = settings.model_copy(update={"probes": [str(file) for file in files]})
    after = own_way(opened, load_tokenizer(opened.path))
    opponent = model_before(opened, after) if against is None else other_model(opened, after, str(against))
    texts = gather_texts(opened, settings, after, listener)
    result = _evaluate(opened, settings, texts, after, opponent, listener)
    result = with_verdict(result, opened, advises=against is None)
    write_evaluation(opened, result.to_json(), result.file)
    return result


def run_settings(run: str | Path) -> EvaluationSettings:
    """The `evaluation:` section of a finished run's recipe."""
    section = open_run(run).manifest["recipe"]["evaluation"]
    return validate(EvaluationSettings, section, f"the recipe of {run}", path="evaluation")


def _general_settings(value: str | Path | Mapping[str, Any] | GeneralSettings) -> GeneralSettings:
    if isinstance(value, GeneralSettings):
        return value
    data = {"path": str(value)} if isinstance(value, (str, Path)) else dict(value)
    return validate(GeneralSettings, data, "the general text", path="general")


def _evaluate(
    run: RunFolder, settings: EvaluationSettings, texts: Texts, after: Way, opponent: Opponent, listener: Listener
) -> Evaluation:
    empty = Evaluation(
        run=str(run.path),
        objective=after.objective.name,
        before=opponent.description,
        file=file_name(opponent),
        domain=None,
        general=None,
        claim=False,
        notes=texts.notes,
    )
    extras = make_extras(run, settings, texts, after)
    if not texts.texts and not extras.probes:
        return empty
    before = opponent.way
    plan = make_plan(texts, settings, after, before, run.manifest["recipe"]["isolate"], listener)
    texts, said_before = _ask_before(settings, texts, plan, after, opponent, extras, listener)
    said_after = _ask_after(run, settings, texts, plan, after, before is None, extras, listener)
    found = compare(texts, plan, said_before, said_after, after, settings)
    result = replace(
        empty,
        **found.fields,
        claim=opponent.claim and bool(texts.texts),
        notes=(*texts.notes, *plan.notes, *found.notes, *(opponent.notes if texts.texts else ())),
    )
    return with_extras(result, extras, said_before.extras, said_after.extras)


def _ask_before(
    settings: EvaluationSettings,
    texts: Texts,
    plan: Plan,
    after: Way,
    opponent: Opponent,
    extras: Extras,
    listener: Listener,
) -> tuple[Texts, Said]:
    """What the model that the run started from says, or the other one; and the texts, with what that model settles for
    both."""
    model = ready(opponent.load())
    before = opponent.way
    way = before or after
    if before is None:
        settled = {
            name: text.with_held_out(settle(model, way.objective, text.held_out, batch_size=settings.batch_size))
            for name, text in texts.texts.items()
        }
        texts = replace(texts, texts=settled)
    scored = _scores(model, way, texts.texts, "before", settings, listener) if before is None else {}
    answers = answer(model, way, plan.questions(before=True), "before", settings, listener)
    return texts, Said(scored, answers, ask_extras(extras, model, way))


def _ask_after(
    run: RunFolder,
    settings: EvaluationSettings,
    texts: Texts,
    plan: Plan,
    way: Way,
    same_tokens: bool,
    extras: Extras,
    listener: Listener,
) -> Said:
    model = ready(load_after(run, way))
    scored = _scores(model, way, texts.texts, "after", settings, listener) if same_tokens else {}
    answers = answer(model, way, plan.questions(before=False), "after", settings, listener)
    return Said(scored, answers, ask_extras(extras, model, way))


def _scores(
    model: Any, way: Way, texts: Mapping[str, Text], which: str, settings: EvaluationSettings, listener: Listener
) -> dict[str, Any]:
    return {
        name: score(
            model,
            way.objective,
            text.held_out,
            batch_size=settings.batch_size,
            by_row=text.by_row,
            stage=f"scoring {name} {which}",
            listener=listener,
        )
        for name, text in texts.items()
    }
