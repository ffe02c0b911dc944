"""Look at examples before training: what the model gets, token by token, and how often each token is met.

The same steps as training, up to the model's weights, which are not needed. Nothing is left behind but what belongs to
the corpus: the corpus itself where the recipe says where, and its tokens.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from acclimate.corpus import open_corpus
from acclimate.corpus.folder import SplitName
from acclimate.errors import DataError, RecipeError
from acclimate.jobs.preparation import Preparation
from acclimate.jobs.recipes import Recipe, load_recipe, make_recipe
from acclimate.models.families import load_config
from acclimate.models.generators import generator_beside
from acclimate.models.heads import auto_class_of
from acclimate.models.loading import model_config, packs
from acclimate.objectives import make_objective
from acclimate.objectives.base import Objective
from acclimate.objectives.exposure import Exposure, exposure
from acclimate.objectives.inspection import (
    Piece,
    Token,
    attention_regions,
    pieces_of,
    tokens_of,
    verdicts_of,
)
from acclimate.progress import Listener, Silent
from acclimate.scoring.held_out import MASK_SEED
from acclimate.tokens.cache import corpus_tokens
from acclimate.tokens.tokenizers import load_tokenizer
from acclimate.training.run_folder import corpus_folder, open_run
from acclimate.training.stream import ExampleDataset, Order, ReplayDataset


@dataclass(frozen=True)
class InspectedRow:
    """One row as the model gets it.

    Attributes:
        key: the example's number in the stream of epochs; negative for replayed general text.
        epoch, row: what the key says.
        num_tokens: that the model reads in it, frames included; of the encoder's in an encoder-decoder.
        num_padding: what a row of `max_length` has room for beside them. A batch is padded to its longest row only.
        pieces: where in the corpus it is from.
        sides: its tokens, {"row": …} or {"encoder": …, "decoder": …}.
        verdicts: what is asked of the row as a whole, {part of the loss: the right answer}.
        attention: who may attend to whom, {side: [queries, keys] bool}; see `attention_regions`.
    """

    key: int
    epoch: int
    row: int
    num_tokens: int
    num_padding: int
    pieces: tuple[Piece, ...]
    sides: dict[str, tuple[Token, ...]]
    verdicts: dict[str, str]
    attention: dict[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Inspection:
    """Some rows of a recipe.

    Attributes:
        objective: its name.
        model_type: of the model.
        held_out: whether the rows are of held-out documents, masked as an evaluation masks them.
        max_length: tokens that a row has room for.
        packed: whether rows hold several texts.
        num_rows: of one epoch.
        rows: those that were asked for.
        notes: what cannot be seen before training.
    """

    objective: str
    model_type: str
    held_out: bool
    max_length: int
    packed: bool
    num_rows: int
    rows: tuple[InspectedRow, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; of the attention a line of 0 and 1 for each query."""
        data = asdict(self)
        for row in data["rows"]:
            row["attention"] = {
                side: ["".join("01"[cell] for cell in line) for line in allowed.astype(int).tolist()]
                for side, allowed in row["attention"].items()
            }
        return data


def inspect_batch(
    recipe: str | Path | Recipe,
    overrides: Sequence[str] = (),
    *,
    rows: int = 1,
    key: int | None = None,
    held_out: bool = False,
    listener: Listener | None = None,
) -> Inspection:
    """Some rows of a recipe as the model gets them; nothing is trained.

    Args:
        recipe: a file, a run folder, or a `Recipe`.
        overrides: `key=value` by dotted path; for a file only.
        rows: how many, at least 1. By default the first ones that training meets.
        key: the first one by its number in the stream of epochs (`epoch * rows of an epoch + row`), and those after
            it; negative for replayed general text, -1 the first.
        held_out: rows of the held-out documents, with the masks that they are scored with.
        listener: hears messages and progress.

    Raises:
        RecipeError: mistakes in the recipe, or a key that there is not.
    """
    with _prepared(_loaded(recipe, overrides), held_out, listener or Silent()) as prepared:
        return prepared.inspection(prepared.keys(rows, key))


def inspect_run(run: str | Path, *, rows: int = 1, listener: Listener | None = None) -> Inspection:
    """The rows that a finished run's documents began with, from what the run keeps: its corpus and its tokenizer.

    Neither the base model nor its configuration is needed, which may not be reachable any more. Replayed general text
    is left out.

    Args:
        run: the run's folder.
        rows: how many, at least 1.
        listener: hears messages and progress.

    Raises:
        CheckpointError: the run is not finished.
        ArtifactError: its corpus is gone.
        DataError: its corpus was built anew from other documents.
    """
    opened = open_run(run)
    manifest = opened.manifest
    corpus = open_corpus(corpus_folder(opened.path, manifest))
    if corpus.fingerprint != manifest["corpus"]["fingerprint"]:
        raise DataError(f"the corpus in {corpus.folder} has changed since {run} was trained on it")
    recipe, trained = make_recipe(manifest["recipe"], where=f"the recipe of {run}"), manifest["objective"]
    tokenizer = load_tokenizer(opened.path)
    objective = make_objective(
        trained["name"],
        trained["options"],
        tokenizer,
        max_length=recipe.max_length,
        seed=recipe.seed,
        family=trained["family"],
        decoder_start_id=trained["decoder_start_id"],
    )
    store = corpus_tokens(
        corpus,
        "train",
        tokenizer,
        fallback=opened.path,
        listener=listener or Silent(),
        layers=objective.layers,
    )
    packed = bool(manifest["tokens"]["packed"])
    dataset = ExampleDataset(objective, store, objective.plan(store, isolate=recipe.isolate, packed=packed))
    prepared = _Prepared(recipe, manifest["model"]["type"], tokenizer, objective, dataset, packed, held_out=False)
    return prepared.inspection(prepared.keys(min(rows, len(dataset)), None))


def count_exposure(
    recipe: str | Path | Recipe,
    overrides: Sequence[str] = (),
    *,
    epochs: int = 1,
    held_out: bool = False,
    listener: Listener | None = None,
) -> Exposure:
    """How often each token of a recipe's corpus is an input, and how often a target, in some epochs.

    Args:
        recipe, overrides, held_out, listener: as of `inspect_batch`.
        epochs: at least 1. Replayed general text is not counted.
    """
    listener = listener or Silent()
    with _prepared(_loaded(recipe, overrides), held_out, listener) as prepared:
        documents = prepared.dataset
        return exposure(documents.objective, documents.store, documents.plan, epochs, listener=listener)


def _loaded(recipe: str | Path | Recipe, overrides: Sequence[str]) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    folder = Path(recipe)
    return load_recipe(folder / "recipe.yaml" if (folder / "recipe.yaml").is_file() else folder, overrides)


def _notes(objective: Objective) -> tuple[str, ...]:
    if "draws" not in objective.padding():
        return ()
    return (
        "the discriminator is asked of every token whether it was replaced; what the generator puts in the place of a "
        "mask is drawn while training, from what it says by then, at the draw that the masked token has",
    )


# ---- from recipe to rows --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Prepared:
    recipe: Recipe
    model_type: str
    tokenizer: PreTrainedTokenizerBase
    objective: Objective
    dataset: ExampleDataset
    packed: bool
    held_out: bool

    def keys(self, rows: int, first: int | None) -> list[int]:
        """The keys to show: those from `first` on, or the first ones of training."""
        if first is None:
            if self.held_out:
                return list(range(min(rows, len(self.dataset))))
            return [int(key) for key in Order.of(self.dataset, self.recipe.seed).keys(0, rows)]
        keys = list(range(first, first + rows)) if first >= 0 else list(range(first, first - rows, -1))
        if first < 0 and not isinstance(self.dataset, ReplayDataset):
            raise RecipeError(f"key {first} is of replayed general text, and nothing is replayed here")
        if self.held_out and keys[-1] >= len(self.dataset):
            raise RecipeError(f"there is no key {keys[-1]}: the held-out documents have {len(self.dataset)} rows")
        return keys

    def inspection(self, keys: Sequence[int]) -> Inspection:
        return Inspection(
            objective=self.objective.name,
            model_type=self.model_type,
            held_out=self.held_out,
            max_length=self.recipe.max_length,
            packed=self.packed,
            num_rows=len(self.dataset),
            rows=tuple(self.inspect(number) for number in keys),
            notes=_notes(self.objective),
        )

    def inspect(self, key: int) -> InspectedRow:
        dataset, number = self.dataset, key
        if key < 0:
            assert isinstance(dataset, ReplayDataset)
            dataset, number = dataset.replayed, -1 - key
        epoch, row = divmod(number, len(dataset))
        fields = dataset[number]
        return InspectedRow(
            key=key,
            epoch=epoch,
            row=row,
            num_tokens=len(fields["input_ids"]),
            num_padding=self.recipe.max_length - len(fields["input_ids"]),
            pieces=pieces_of(fields, dataset.store),
            sides=tokens_of(self.objective, fields, dataset.store, self.tokenizer),
            verdicts=verdicts_of(self.objective, fields),
            attention=attention_regions(self.objective, fields),
        )


@contextmanager
def _prepared(recipe: Recipe, held_out: bool, listener: Listener) -> Iterator[_Prepared]:
    """The recipe's rows; a temporary folder stands for the run folder."""
    with tempfile.TemporaryDirectory(prefix="acclimate-") as folder:
        steps = Preparation(recipe, Path(folder), listener)
        config, name = steps.check_fit()
        if recipe.corpus.sources and recipe.corpus.path is None:
            listener.message("the corpus is built for this once; with `corpus.path` it is kept and used again")
        corpus = steps.corpus()
        tokens = steps.tokenizer(corpus, name, config)
        objective = steps.objective(name, tokens.tokenizer, config, MASK_SEED if held_out else recipe.seed)
        packed = recipe.packing and objective.packs and _packs(recipe, objective, tokens.tokenizer)
        split: SplitName = "held_out" if held_out else "train"
        store = corpus_tokens(
            corpus, split, tokens.tokenizer, fallback=steps.folder, listener=listener, layers=objective.layers
        )
        if held_out and len(store) == 0:
            raise DataError(f"the corpus in {corpus.folder} has too few documents to hold any out")
        dataset = steps.dataset(objective, store, packed, str(corpus.folder))
        for note in objective.plan_notes(dataset.plan):
            listener.message(note)
        if recipe.replay is not None and not held_out:
            dataset = steps.with_replay(dataset, tokens.tokenizer, packed)[0]
        yield _Prepared(recipe, config.model_type, tokens.tokenizer, objective, dataset, packed, held_out)


def _packs(recipe: Recipe, objective: Objective, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether packed rows are right in the recipe's model, by its configuration: models without weights are asked."""
    config = model_config(recipe.model, tokenizer)
    parts = [_weightless(config, objective.head, trust_remote_code=recipe.model.trust_remote_code)]
    generator = objective.head_options().get("generator")
    # A new generator is of its discriminator's type.
    named = generator if isinstance(generator, str) else None if generator else generator_beside(recipe.model.name)
    if "generator" in objective.head_options() and named is not None:
        parts.append(_weightless(load_config(named), "masked-lm"))
    return all(packs(part) for part in parts)


def _weightless(config: PreTrainedConfig, head: str, *, trust_remote_code: bool = False) -> Any:
    auto = getattr(transformers, auto_class_of(head, config))
    with torch.device("meta"):
        return auto.from_config(config, trust_remote_code=trust_remote_code)
