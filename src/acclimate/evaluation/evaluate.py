"""Before and after: a run's model and the one it started from, on the same stored masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from acclimate.corpus import Corpus, open_corpus
from acclimate.errors import AcclimateError, CheckpointError, DataError, ModelError
from acclimate.evaluation.general import general_corpus
from acclimate.evaluation.results import Evaluation, PartComparison, TextComparison
from acclimate.evaluation.settings import EvaluationSettings, GeneralSettings
from acclimate.models.loading import load_model, packs, prepare_for_packs, weight_digests
from acclimate.models.settings import ModelSettings
from acclimate.objectives import make_objective
from acclimate.objectives.base import Objective
from acclimate.progress import Listener, Silent
from acclimate.recipe import validate
from acclimate.scoring.bootstrap import paired_difference
from acclimate.scoring.held_out import MASK_SEED, HeldOut, stored_held_out
from acclimate.scoring.score import UnitScores, score, settle
from acclimate.tokens.cache import corpus_tokens
from acclimate.tokens.tokenizers import load_tokenizer
from acclimate.training.run_folder import RunFolder, open_run, write_evaluation

# With fewer documents than this there is nothing to draw from; the bootstrap then draws rows.
FEWEST_UNITS = 5


def evaluate(
    run: str | Path,
    *,
    general: str | Path | Mapping[str, Any] | GeneralSettings | None = None,
    settings: EvaluationSettings | None = None,
    listener: Listener | None = None,
) -> Evaluation:
    """Compare a finished run's model with the one that it started from.

    Args:
        run: the run's folder.
        general: general text: a corpus folder, or anything that `corpus build` takes; default the recipe's.
        settings: default the recipe's `evaluation:` section.
        listener: hears progress.

    Returns:
        The figures; they are also kept in `RUN/evaluation/evaluation.json`.

    Raises:
        CheckpointError: the run is not finished, or what it started from is gone.
    """
    listener = listener or Silent()
    opened = open_run(run)
    settings = settings or run_settings(run)
    if general is not None:
        settings = settings.model_copy(update={"general": _general_settings(general)})
    texts = _texts(opened, settings, listener)
    if not texts.sets:
        result = _nothing_to_score(opened, texts.notes)
    else:
        result = _compare(opened, settings, texts, listener)
    write_evaluation(opened, result.to_json())
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


@dataclass(frozen=True)
class _Texts:
    """The held-out examples of each text that there is ("domain", "general")."""

    objective: Objective
    tokenizer: PreTrainedTokenizerBase
    sets: Mapping[str, HeldOut]
    notes: tuple[str, ...]


def _texts(run: RunFolder, settings: EvaluationSettings, listener: Listener) -> _Texts:
    recipe = run.manifest["recipe"]
    tokenizer = load_tokenizer(run.path)
    objective = make_objective(
        run.manifest["objective"]["name"],
        run.manifest["objective"]["options"],
        tokenizer,
        max_length=recipe["max_length"],
        seed=MASK_SEED,
        family=run.manifest["objective"]["family"],
        decoder_start_id=run.manifest["objective"]["decoder_start_id"],
    )
    corpora: dict[str, Corpus] = {"domain": _domain_corpus(run)}
    if settings.general is not None:
        corpora["general"] = general_corpus(settings.general, run.path / "evaluation" / "general-corpus", listener)
    sets, notes = {}, []
    for name, corpus in corpora.items():
        store = corpus_tokens(
            corpus,
            "held_out",
            tokenizer,
            fallback=run.path,
            listener=listener,
            layers=objective.layers | {"bytes"},
        )
        if len(store) == 0:
            notes.append(
                f"{name}: nothing is held out of {corpus.folder}, since it has too few documents; there is no honest "
                "figure for it"
            )
            continue
        try:
            sets[name] = stored_held_out(
                run.path / "evaluation" / f"{name}-examples",
                objective,
                store,
                isolate=recipe["isolate"],
                packed=run.manifest["tokens"]["packed"],
                max_tokens=settings.max_tokens,
            )
        except DataError as error:
            # What is held out may lack what the whole corpus has, such as a second document.
            notes.append(f"{name}: what is held out of {corpus.folder} cannot be scored: {error}")
    return _Texts(objective, tokenizer, sets, tuple(notes))


def _domain_corpus(run: RunFolder) -> Corpus:
    expected = run.manifest["corpus"]
    try:
        corpus = open_corpus(expected["path"])
    except AcclimateError as error:
        raise CheckpointError(f"the corpus that {run.path} was trained on cannot be opened: {error}") from error
    if corpus.fingerprint != expected["fingerprint"]:
        raise CheckpointError(
            f"the corpus in {expected['path']} was rebuilt since {run.path} was trained on it, so that what is held "
            "out now may have been trained on; train again, or build that corpus again from the same documents"
        )
    return corpus


def _compare(run: RunFolder, settings: EvaluationSettings, texts: _Texts, listener: Listener) -> Evaluation:
    texts, before = _score_before(run, texts, settings, listener)
    after = _score_model(run, "after", _load_after(run, texts), texts, settings, listener)
    comparisons = {
        name: _comparison(before[name], after[name], held_out, settings, by_row=_by_row(run, held_out))
        for name, held_out in texts.sets.items()
    }
    claim, reasons = claims(run.manifest)
    rows = [
        f"{name}: the interval is over rows, which may share documents, since too few documents are held out or "
        "`isolate: none` joins them"
        for name, comparison in comparisons.items()
        if comparison.unit == "row"
    ]
    return Evaluation(
        run=str(run.path),
        objective=texts.objective.name,
        before=run.manifest["before"]["description"],
        domain=comparisons.get("domain"),
        general=comparisons.get("general"),
        claim=claim,
        notes=(*texts.notes, *rows, *reasons),
    )


def _nothing_to_score(run: RunFolder, notes: tuple[str, ...]) -> Evaluation:
    return Evaluation(
        run=str(run.path),
        objective=run.manifest["objective"]["name"],
        before=run.manifest["before"]["description"],
        domain=None,
        general=None,
        claim=False,
        notes=notes,
    )


def claims(manifest: Mapping[str, Any]) -> tuple[bool, tuple[str, ...]]:
    """Whether a run's difference may be called a gain, and if not, why not."""
    model = manifest["model"]
    if model["from_scratch"]:
        return False, (
            "the model started from random weights: the difference is all that it learned, no gain over a base",
        )
    reasons = []
    if model["new_parameters"] and not model["head_warmup"]:
        reasons.append(
            "the head was new and was not warmed up on general text, so that `before` is the head's ignorance: give "
            "`evaluation.general` and train again for an honest comparison"
        )
    elif model["head_warmup"] and not model["head_warmup"]["leveled_off"]:
        reasons.append(
            f"the new head's warm-up ended after {model['head_warmup']['steps']} steps while its loss was still "
            "falling, so that a part of the difference is the head's: raise `evaluation.head_warmup_steps`"
        )
    if model["unseen_tokens"]:
        count = model["unseen_tokens"]
        added = "1 token was" if count == 1 else f"{count} tokens were"
        reasons.append(f"{added} added to the vocabulary, which `before` had never seen")
    return not reasons, tuple(reasons)


def _by_row(run: RunFolder, held_out: HeldOut) -> bool:
    """Whether the bootstrap draws rows: with too few documents, or where a piece runs over documents."""
    return held_out.num_units < FEWEST_UNITS or run.manifest["recipe"]["isolate"] == "none"


def _score_before(
    run: RunFolder, texts: _Texts, settings: EvaluationSettings, listener: Listener
) -> tuple[_Texts, dict[str, tuple[UnitScores, ...]]]:
    """The scores of the model that the run started from; and the texts, with what that model settles for both."""
    model = _ready(load_before(run, texts))
    sets = {
        name: settle(model, texts.objective, held_out, batch_size=settings.batch_size)
        for name, held_out in texts.sets.items()
    }
    texts = replace(texts, sets=sets)
    return texts, _score_model(run, "before", model, texts, settings, listener)


def _ready(model: Any) -> Any:
    if torch.cuda.is_available():
        model.to("cuda")
    if packs(model):
        prepare_for_packs(model)
    return model


def _score_model(
    run: RunFolder, which: str, model: Any, texts: _Texts, settings: EvaluationSettings, listener: Listener
) -> dict[str, tuple[UnitScores, ...]]:
    return {
        name: score(
            model,
            texts.objective,
            held_out,
            batch_size=settings.batch_size,
            by_row=_by_row(run, held_out),
            stage=f"scoring {name} {which}",
            listener=listener,
        )
        for name, held_out in texts.sets.items()
    }


def load_before(run: RunFolder, texts: _Texts) -> Any:
    """The model that a run started from."""
    before = run.manifest["before"]
    values = dict(before["model"])
    if before["folder"] is not None:
        values = {"name": str(run.path / before["folder"])}
    elif weight_digests(values["name"]) != before["weights"] and Path(values["name"] or "").is_dir():
        raise CheckpointError(
            f"the weights in {values['name']} have changed since {run.path} started from them, so that there is no "
            "`before` to compare with"
        )
    # A kept base has its own generator beside it, and new tokens in its embeddings.
    kept = before["folder"] is not None
    try:
        return load_model(
            ModelSettings(**values),
            texts.objective.head,
            texts.tokenizer,
            seed=run.manifest["recipe"]["seed"],
            head_options=None if kept else texts.objective.head_options(),
            new_tokens=() if kept else run.manifest["model"]["new_tokens"],
            keep_dtype=run.manifest["recipe"]["adapter"] is not None,
        ).model
    except ModelError as error:
        raise CheckpointError(f"the model that {run.path} started from cannot be loaded: {error}") from error


def _load_after(run: RunFolder, texts: _Texts) -> Any:
    keep_dtype = run.manifest["recipe"]["adapter"] is not None
    settings = ModelSettings(name=str(run.path))
    loaded = load_model(settings, texts.objective.head, texts.tokenizer, seed=0, keep_dtype=keep_dtype)
    return _ready(loaded.model)


def _comparison(
    before: tuple[UnitScores, ...],
    after: tuple[UnitScores, ...],
    held_out: HeldOut,
    settings: EvaluationSettings,
    *,
    by_row: bool,
) -> TextComparison:
    parts = {
        first.part.name: _part_comparison(first, second, settings.resamples)
        for first, second in zip(before, after, strict=True)
        if first.num_targets
    }
    return TextComparison(
        parts=parts,
        num_tokens=held_out.num_tokens,
        num_units=len(after[0].counts),
        unit="row" if by_row else "document",
    )


def _part_comparison(before: UnitScores, after: UnitScores, resamples: int) -> PartComparison:
    measures = before.measures()
    return PartComparison(
        before=measures,
        after=after.measures(),
        difference=paired_difference(before, after, resamples=resamples),
        bits_per_byte_difference=(
            paired_difference(before, after, resamples=resamples, per_byte=True)
            if "bits_per_byte" in measures
            else None
        ),
        num_targets=after.num_targets,
    )
