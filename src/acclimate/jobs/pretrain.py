"""Continue a model's pretraining on a corpus: the job from corpus to run folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedTokenizerBase, TrainingArguments

from acclimate.artifacts import write_text
from acclimate.corpus import Corpus
from acclimate.errors import Interrupted, RecipeError
from acclimate.jobs.base_model import BaseModel, Start
from acclimate.jobs.model_card import model_card
from acclimate.jobs.preparation import Preparation
from acclimate.jobs.recipes import Recipe, identity, make_recipe, to_data, to_yaml
from acclimate.models.families import family, sees_padding
from acclimate.models.loading import decoder_start_id
from acclimate.objectives.base import Objective
from acclimate.progress import Listener, Silent
from acclimate.scoring.held_out import MASK_SEED, stored_held_out
from acclimate.scoring.score import named_measures, score
from acclimate.tokens.cache import corpus_tokens
from acclimate.tokens.store import TokenStore
from acclimate.tokens.tokenizers import tokenizer_fingerprint
from acclimate.training.callbacks import MetricsFile, ProgressTeller, StopOnSignal
from acclimate.training.checkpoints import (
    check_checkpoint,
    checkpoint_step,
    find_checkpoints,
    newest_whole_checkpoint,
)
from acclimate.training.compute import length_multiple, set_up
from acclimate.training.cost import Stopwatch, seconds_in, training_cost
from acclimate.training.run_folder import CARD, claim_run_folder, environment, now
from acclimate.training.settings import training_arguments
from acclimate.training.stream import ExampleDataset, ReplayDataset
from acclimate.training.trackers import never_ask
from acclimate.training.trainer import EvaluateHeldOut, ObjectiveTrainer


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: the run folder, which `from_pretrained` takes as it is.
        summary: global_step, train_loss, train_runtime, samples, steps and tokens per second, total_flos, tokens_seen;
            and what it cost: seconds, flops, peak_memory_bytes, on a GPU peak_accelerator_bytes.
        manifest: what made it.
    """

    folder: Path
    summary: Mapping[str, float]
    manifest: Mapping[str, Any]


def pretrain(
    model: str | Mapping[str, Any] | Recipe,
    corpus: str | Path | Mapping[str, Any] | None = None,
    output_dir: str | Path | None = None,
    *,
    objective: str | Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    listener: Listener | None = None,
    **settings: Any,
) -> Run:
    """Continue the pretraining of a model on a corpus.

    The same call on an interrupted run goes on with it; on a finished one it does nothing.

    Args:
        model: a hub id, a folder or the `model:` section of a recipe; or a whole `Recipe`, and nothing else.
        corpus: a corpus folder, or the `corpus:` section of a recipe.
        output_dir: the run folder.
        objective: a name or the `objective:` section of a recipe; default the model's own.
        overrides: settings by dotted path, such as `{"training.max_steps": 150}`.
        listener: hears messages and progress.
        settings: the recipe's other sections and settings, such as `training={...}`, `max_length=128`, `seed=3`.

    Raises:
        RecipeError: mistakes in the settings, or a run folder that belongs to something else.
        ModelError: no such model, or one that the objective does not fit.
        Interrupted: SIGINT or SIGTERM came; a checkpoint is saved.
    """
    if isinstance(model, Recipe):
        recipe = model
    else:
        given = {"model": model, "corpus": _plain(corpus), "objective": objective, "output_dir": _plain(output_dir)}
        data = {**{key: value for key, value in given.items() if value is not None}, **settings}
        recipe = make_recipe(data, overrides, where="pretrain")
    return _Pretraining(recipe, listener or Silent()).run()


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


@dataclass(frozen=True)
class _Prepared:
    """Everything that training needs."""

    tokenizer: PreTrainedTokenizerBase
    start: Start
    objective: Objective
    train: ExampleDataset
    held_out: TokenStore
    corpus: Corpus


class _Pretraining:
    """The steps of one pretraining job, in order; each is short and does one thing."""

    def __init__(self, recipe: Recipe, listener: Listener) -> None:
        self.recipe = recipe
        self.listener = listener
        self.steps = Preparation(recipe, Path(recipe.output_dir), listener)

    def run(self) -> Run:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise RecipeError(
                "this job prepares corpus, tokens and run folder in one process; start it without torchrun "
                "(several processes are for `ObjectiveTrainer` alone so far)"
            )
        self.folder = claim_run_folder(self.recipe.output_dir, identity(self.recipe))
        if self.folder.status == "finished":
            self.listener.message(f"the run in {self.folder.path} is finished already; nothing to do")
            return self._result()
        config, objective_name = self.steps.check_fit()
        self._begin()
        try:
            prepared = self._prepare(config, objective_name)
            self._train(prepared)
        except (Interrupted, KeyboardInterrupt):
            self.folder.update(status="interrupted")
            raise
        return self._result()

    def _result(self) -> Run:
        return Run(self.folder.path, self.folder.manifest["summary"], self.folder.manifest)

    def _begin(self) -> None:
        if self.folder.status == "new":
            self.folder.update(started=now(), environment=environment(), identity=identity(self.recipe))
        self.folder.update(status="running", recipe=to_data(self.recipe))
        write_text(self.folder.path / "recipe.yaml", to_yaml(self.recipe))

    # ---- documents to examples, and the model ------------------------------------------------------------------

    def _prepare(self, config: PreTrainedConfig, objective_name: str) -> _Prepared:
        recipe = self.recipe
        corpus = self.steps.corpus()
        self._check_same_corpus(corpus)
        tokens = self.steps.tokenizer(corpus, objective_name, config)
        objective = self.steps.objective(objective_name, tokens.tokenizer, config, recipe.seed)
        start = BaseModel(recipe, self.folder, tokens, objective, self.listener).start()
        if recipe.packing and objective.packs and not start.packed:
            self.listener.message(
                f"one text a row: packed texts were not shown to stay apart in {config.model_type} models"
            )
        if sees_padding(config):
            self.listener.message(
                f"{config.model_type} models see the padding behind a text, whatever the mask says; so it is in "
                "transformers itself"
            )
        where: dict[str, Any] = {"fallback": self.folder.path, "listener": self.listener}
        train = corpus_tokens(corpus, "train", tokens.tokenizer, layers=objective.layers, **where)
        held_out = corpus_tokens(corpus, "held_out", tokens.tokenizer, layers=objective.layers | {"bytes"}, **where)
        dataset = self.steps.dataset(objective, train, start.packed, str(corpus.folder))
        plan = dataset.plan
        num_tokens = int(objective.row_lengths(plan, 0).sum())
        padding = 1 - num_tokens / (len(plan) * recipe.max_length)
        self.folder.update(
            corpus={"path": str(corpus.folder.absolute()), "fingerprint": corpus.fingerprint},
            objective={
                "name": objective_name,
                "options": recipe.objective.options,
                "family": family(config),
                "decoder_start_id": decoder_start_id(config),
            },
            tokens={
                "train": train.manifest["tokens"],
                "held_out": held_out.manifest["tokens"],
                "tokenizer": tokenizer_fingerprint(tokens.tokenizer),
                "rows": len(plan),
                "padding_share": padding,
                "packed": start.packed,
            },
        )
        self.listener.message(
            f"{plan.num_tokens:,} tokens in {len(plan):,} rows of {recipe.max_length}, {padding:.2%} padding"
        )
        for note in objective.plan_notes(plan):
            self.listener.message(note)
        if recipe.replay is not None:
            dataset, general = self.steps.with_replay(dataset, tokens.tokenizer, start.packed)
            self._tell_replay(dataset, general)
        return _Prepared(tokens.tokenizer, start, objective, dataset, held_out, corpus)

    def _tell_replay(self, dataset: ReplayDataset, general: Corpus) -> None:
        num_rows = len(dataset.replayed)
        self.folder.update(
            replay={
                "share": dataset.share,
                "path": str(general.folder.absolute()),
                "fingerprint": general.fingerprint,
                "rows": num_rows,
            }
        )
        self.listener.message(f"replay: {dataset.share:.0%} of the examples are general text ({num_rows:,} rows)")

    def _check_same_corpus(self, corpus: Corpus) -> None:
        """Refuse to go on from a checkpoint with documents that have changed since it was written."""
        before = self.folder.manifest.get("corpus")
        resumes = self.recipe.resume_from_checkpoint or find_checkpoints(self.folder.path)
        if before is not None and before["fingerprint"] != corpus.fingerprint and resumes:
            raise RecipeError(
                f"the corpus in {corpus.folder} has changed since the run in {self.folder.path} began; choose another "
                "output_dir to train on it as it is now"
            )

    # ---- training ----------------------------------------------------------------------------------------------

    def _train(self, prepared: _Prepared) -> None:
        recipe, run = self.recipe, self.folder
        args = training_arguments(recipe.training, run.path, seed=recipe.seed, report_to=recipe.report_to)
        if (told := never_ask(recipe.report_to)) is not None:
            self.listener.message(told)
        evaluates = args.eval_strategy != "no"
        if evaluates and len(prepared.held_out) == 0:
            raise RecipeError(
                "`training.eval_strategy` asks for evaluation, but the corpus has too few documents to hold any out"
            )
        self._set_up(prepared.start.model, args)
        with StopOnSignal(self.listener) as stop:
            trainer = ObjectiveTrainer(
                prepared.start.model,
                args,
                prepared.train,
                prepared.tokenizer,
                held_out=prepared.train if evaluates else None,
                evaluate_held_out=self._scorer(prepared) if evaluates else None,
                callbacks=[stopwatch := Stopwatch(), MetricsFile(run.path / "metrics.jsonl"), stop],
                length_multiple=length_multiple(recipe.training, recipe.max_length, packed=prepared.start.packed),
            )
            trainer.add_callback(ProgressTeller(self.listener, "training", lambda: trainer.tokens_seen))
            found = self._checkpoint()
            if found is not None and found[0] >= args.max_steps:
                output = trainer.take_finished(found[1])
                seconds = seconds_in(trainer.state)
            else:
                output = trainer.train(resume_from_checkpoint=None if found is None else str(found[1]))
                seconds = stopwatch.seconds
            stop.check(trainer.state, run.path)
        summary = trainer.summary(output)
        summary |= training_cost(prepared.start.model, prepared.train, num_tokens=trainer.tokens_seen, seconds=seconds)
        if trainer.is_world_process_zero():
            run.save_model(lambda folder: self._save(trainer, folder, prepared, summary))
            run.update(status="finished", finished=now(), summary=summary, device=str(args.device))

    def _set_up(self, model: Any, args: TrainingArguments) -> None:
        recipe = self.recipe
        chosen = set_up(model, recipe.compute, args, recipe.training, dropout=recipe.model.dropout)
        before = self.folder.manifest.get("compute")
        if before is not None and before["precision"] != chosen["precision"]:
            self.listener.message(
                f"this run was computed in {before['precision']} so far, and goes on in {chosen['precision']}, as is "
                "fast on this machine; to keep to one, set `training.bf16` from the start"
            )
        self.folder.update(compute=chosen)
        self.listener.message(
            f"computing in {chosen['precision']} on {args.device}"
            + (f", attention by {chosen['attention']}" if chosen["attention"] else "")
        )

    def _save(self, trainer: ObjectiveTrainer, folder: Path, prepared: _Prepared, summary: Mapping[str, float]) -> None:
        trainer.save_model(str(folder))
        card = model_card(
            self.folder.manifest,
            corpus=prepared.corpus,
            objective=prepared.objective,
            config=prepared.start.model.config,
            summary=summary,
        )
        write_text(folder / CARD, card)

    def _checkpoint(self) -> tuple[int, Path] | None:
        """What to go on from, as (step, folder): the newest whole checkpoint of this run, or the one that the recipe
        names where that is further."""
        found, passed_over = newest_whole_checkpoint(self.folder.path)
        for reason in passed_over:
            self.listener.message(f"passed over: {reason}")
        candidates = [] if found is None else [(checkpoint_step(found), found)]
        if self.recipe.resume_from_checkpoint is not None:
            named = Path(self.recipe.resume_from_checkpoint)
            check_checkpoint(named)
            candidates.append((checkpoint_step(named), named))
        if not candidates:
            return None
        best = max(candidates)
        self.listener.message(f"going on from {best[1].name}")
        return best

    def _scorer(self, prepared: _Prepared) -> EvaluateHeldOut:
        recipe = self.recipe
        config = prepared.start.model.config
        objective = self.steps.objective(prepared.objective.name, prepared.tokenizer, config, MASK_SEED)
        held_out = stored_held_out(
            self.folder.path / "evaluation" / "domain-examples",
            objective,
            prepared.held_out,
            isolate=recipe.isolate,
            packed=prepared.start.packed,
            max_tokens=recipe.evaluation.max_tokens,
        )

        def evaluate(model: torch.nn.Module) -> dict[str, float]:
            return named_measures(score(model, objective, held_out, batch_size=recipe.evaluation.batch_size))

        return evaluate
