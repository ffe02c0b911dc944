"""Score: how well a model predicts texts, by the figures of `acclimate evaluate`.

The texts become documents, are cut and corrupted by the model's objective with the fixed seed of held-out masks, and
are scored as `evaluate` scores a run's: bits per byte, loss and perplexity of decoders and encoder-decoders; loss and
accuracy on the objective's masks of masked language models; the parts of their own objective of others. A run says
itself how it was trained; of other models it is the objective that they were made for, in rows of at most 512 tokens.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from acclimate.artifacts import find_manifest
from acclimate.corpus import CorpusSettings, SourceSettings, build_corpus
from acclimate.errors import DataError, ModelError
from acclimate.models.families import family, position_limit
from acclimate.models.families import packs as can_be_packed
from acclimate.models.loading import (
    check_max_length,
    decoder_start_id,
    load_model,
    model_config,
    packs,
    prepare_for_packs,
)
from acclimate.models.settings import ModelSettings
from acclimate.objectives import check_fit, make_objective, own_objective
from acclimate.objectives.base import IGNORE, Fields, Objective
from acclimate.progress import Listener, Progress, Silent
from acclimate.recipe import validate
from acclimate.scoring.held_out import MASK_SEED, HeldOut, make_held_out
from acclimate.scoring.score import UnitScores
from acclimate.scoring.score import score as score_examples
from acclimate.scoring.texts import as_list, check_text, name_of, on_best_device, read_text_file
from acclimate.tokens.store import Isolate, Layer, TokenStore, build_token_store
from acclimate.tokens.tokenizers import load_tokenizer
from acclimate.training.run_folder import KIND, open_run

MAX_LENGTH = 512


@dataclass(frozen=True)
class PartScore:
    """One part of the objective on a text.

    Attributes:
        measures: loss (nats per target), accuracy; perplexity of tokens; bits_per_byte of objectives that write texts.
        num_targets: how many tokens, or verdicts, were asked for.
        num_bytes: UTF-8 bytes of text that the targets stand for; 0 where they are not text.
    """

    measures: Mapping[str, float]
    num_targets: int
    num_bytes: int


@dataclass(frozen=True)
class TextScore:
    """The parts of the objective that have targets in a text; the first one is the headline."""

    name: str
    parts: Mapping[str, PartScore]


@dataclass(frozen=True)
class Scores:
    """What a model makes of some texts.

    Attributes:
        model: as it was given.
        objective: by which it was asked.
        max_length: tokens in a row.
        texts: each text; without parts where nothing of it could be asked.
        total: all texts together, each target counting the same.
        notes: what the reader should know.
    """

    model: str
    objective: str
    max_length: int
    texts: tuple[TextScore, ...]
    total: TextScore
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Way:
    """How a model is asked."""

    objective: str
    options: Mapping[str, Any]
    max_length: int
    isolate: Isolate
    packed: bool | None  # None: as the model allows
    keep_dtype: bool


class Scorer:
    """A model ready to score texts, with the objective by which it is asked."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, objective: Objective, way: _Way) -> None:
        self.model = on_best_device(model)
        self.tokenizer = tokenizer
        self.objective = objective
        self.isolate: Isolate = way.isolate
        can_pack = objective.packs and packs(model)
        self.packed = can_pack if way.packed is None else way.packed and can_pack
        if self.packed or objective.directs:
            prepare_for_packs(model)

    def score(
        self,
        texts: Mapping[str, str],
        *,
        sources: Sequence[Any] = (),
        batch_size: int | None = None,
        listener: Listener | None = None,
    ) -> tuple[tuple[TextScore, ...], TextScore, tuple[str, ...]]:
        """The scores of texts by name and of the documents of sources, of all together, and notes."""
        listener = listener or Silent()
        with tempfile.TemporaryDirectory(prefix="acclimate-score-") as folder:
            store = self._store(Path(folder), texts, sources, listener)
            names = _unit_names(store, list(texts))
            self._check_pairs(store)
            held_out = make_held_out(self.objective, store, isolate=self.isolate, packed=self.packed, max_tokens=None)
        if len(held_out) == 0:
            raise DataError("these texts have no tokens that could be asked for; give longer ones")
        parts = score_examples(self.model, self.objective, held_out, batch_size=batch_size, listener=listener)
        rows = {unit: row for row, unit in enumerate(_units_with_targets(self.objective, held_out))}
        scored = tuple(
            TextScore(name, _parts(parts, rows[unit]) if unit in rows else {}) for unit, name in enumerate(names)
        )
        empty = [text.name for text in scored if not text.parts]
        notes = (f"nothing of these texts is asked for, since they are short: {', '.join(empty)}",) if empty else ()
        return scored, TextScore("total", _parts(parts)), notes

    def _check_pairs(self, store: TokenStore) -> None:
        contexts = store.spans("document" if self.isolate == "document" else "group")
        if self.objective.name == "mlm_nsp" and len(contexts) < 2:
            raise DataError(
                "`mlm_nsp` takes a random text B from another text, and there is only one; give a second text, or ask "
                "for masked tokens alone by `--objective mlm`"
            )

    def _store(self, folder: Path, texts: Mapping[str, str], sources: Sequence[Any], listener: Listener) -> TokenStore:
        wanted = {"sources": [*sources], "held_out": 0, "min_chars": 0, "deduplicate": False}
        settings = validate(CorpusSettings, wanted, "what is to be scored", path="sources")
        own = []
        if texts:
            path = folder / "texts.jsonl"
            lines = (json.dumps({"id": str(number), "text": text}) for number, text in enumerate(texts.values()))
            path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
            own = [SourceSettings(path=str(path))]
        settings = settings.model_copy(update={"sources": [*own, *settings.sources]})
        corpus = build_corpus(settings, folder / "corpus", on_message=listener.message)

        def tell(stage: str, done: int, total: int | None) -> None:
            listener.progress(Progress(stage, done, total, "document"))

        layers: frozenset[Layer] = self.objective.layers | {"bytes"}
        return build_token_store(corpus, "train", self.tokenizer, folder / "tokens", layers=layers, progress=tell)


def _unit_names(store: TokenStore, own: Sequence[str]) -> list[str]:
    """How each unit (a document, or the lines of a file) is called."""
    ids = [*own, *store.document_ids[len(own) :]]
    numbers = np.asarray(store.document_groups)
    names = []
    for group in range(len(store.groups)):
        documents = np.flatnonzero(numbers == group)
        first, last = ids[documents[0]], ids[documents[-1]]
        names.append(first if len(documents) == 1 else f"{first} … {last}")
    return names


def _units_with_targets(objective: Objective, held_out: HeldOut) -> list[int]:
    """The units that are among the scores, in their order: those with a target in any part."""
    verdicts = any(part.classes for part in objective.parts)
    found = {
        int(units[segment])
        for fields, units in zip(held_out.examples, held_out.units, strict=True)
        for segment in _segments_with_targets(fields, verdicts)
    }
    return sorted(found)


def _segments_with_targets(fields: Fields, verdicts: bool) -> list[int]:
    # Where something is said of each token or pair, every text has it.
    if verdicts:
        return list(map(int, np.unique(fields["segment_ids"])))
    segments: NDArray[np.int64] = fields.get("decoder_segment_ids", fields["segment_ids"])
    return list(map(int, np.unique(segments[fields["labels"] != IGNORE])))


def _parts(parts: Sequence[UnitScores], row: int | None = None) -> dict[str, PartScore]:
    """The scores of one unit, or of all; what has no target is left out."""
    chosen = parts if row is None else [_unit(part, row) for part in parts]
    return {
        part.part.name: PartScore(part.measures(), part.num_targets, int(part.num_bytes.sum()))
        for part in chosen
        if part.num_targets
    }


def _unit(part: UnitScores, row: int) -> UnitScores:
    one = slice(row, row + 1)
    # Right answers by class are known of all units together only.
    none = np.zeros_like(part.class_counts)
    arrays = {name: getattr(part, name)[one] for name in ("losses", "correct", "at_5", "counts", "num_bytes", "units")}
    return replace(part, **arrays, class_correct=none, class_counts=none)


def load_scorer(model: str | Path, *, objective: str | None = None) -> Scorer:
    """Load a model and the objective by which it is asked, from a run, a folder or the hub.

    Args:
        objective: default the run's own, or the one that the model was made for.

    Raises:
        ModelError: there is no such model, it has no head for the objective, or none fits it.
    """
    settings = ModelSettings(name=str(model))
    config = model_config(settings)
    way = _way(model, config, objective)
    kind = family(config)
    check_fit(way.objective, kind, config.model_type)
    check_max_length(config, way.max_length)
    tokenizer = load_tokenizer(str(model))
    made = make_objective(
        way.objective,
        way.options,
        tokenizer,
        max_length=way.max_length,
        seed=MASK_SEED,
        family=kind,
        decoder_start_id=decoder_start_id(config),
    )
    if made.directs and not can_be_packed(config):
        raise ModelError(
            f"`{way.objective}` says which tokens see which, and models of type {config.model_type!r} cannot be told"
        )
    # A generator is a part of what is asked here: that of a run lies beside it.
    loaded = load_model(settings, made.head, tokenizer, seed=0, keep_dtype=way.keep_dtype)
    if loaded.new_parameters:
        raise ModelError(
            f"{model} lacks what `{way.objective}` asks for (missing: {', '.join(loaded.new_parameters[:3])}, …), so "
            "that it would answer at random; train it, or choose another objective by `--objective`"
        )
    return Scorer(loaded.model, tokenizer, made, way)


def _way(model: str | Path, config: Any, objective: str | None) -> _Way:
    if Path(model).is_dir() and find_manifest(model, KIND) is not None:
        manifest = open_run(model).manifest
        recipe, trained = manifest["recipe"], manifest["objective"]
        same = objective in (None, trained["name"])
        return _Way(
            objective=trained["name"] if objective is None else objective,
            options=trained["options"] if same else {},
            max_length=recipe["max_length"],
            isolate=recipe["isolate"],
            packed=manifest["tokens"]["packed"] if same else None,
            keep_dtype=recipe["adapter"] is not None,
        )
    return _Way(
        objective=objective or own_objective(family(config), config),
        options={},
        max_length=min(MAX_LENGTH, position_limit(config) or MAX_LENGTH),
        isolate="document",
        packed=None,
        keep_dtype=(Path(model) / "adapter_config.json").exists(),
    )


def score(
    model: str | Path | Scorer,
    texts: str | Iterable[str] = (),
    *,
    file: str | Path | Iterable[str | Path] = (),
    sources: str | Path | Iterable[Any] = (),
    objective: str | None = None,
    batch_size: int | None = None,
    listener: Listener | None = None,
) -> Scores:
    """Score texts with a model.

    Args:
        model: a run, a folder, a hub id, or what `load_scorer` gave.
        texts: one or several.
        file: text files, a document each.
        sources: anything that `corpus build` takes: files, folders, repositories, or the mappings of a recipe.
        objective: by which the model is asked; default its own.
        batch_size: at most so many rows at a time; default by their length.
        listener: hears progress.

    Raises:
        ModelError: no such model, or it does not fit the objective.
        SourceError: a file or source that cannot be read.
        DataError: there is no text, or an empty one.
    """
    given = _named_texts(as_list(texts)[0], [file] if isinstance(file, (str, Path)) else list(file))
    wanted = [sources] if isinstance(sources, (str, Path, Mapping)) else list(sources)
    if not given and not wanted:
        raise DataError("there is no text to score; give texts, files or sources")
    scorer = model if isinstance(model, Scorer) else load_scorer(model, objective=objective)
    scored, total, notes = scorer.score(given, sources=wanted, batch_size=batch_size, listener=listener)
    return Scores(
        model=scorer.tokenizer.name_or_path if isinstance(model, Scorer) else str(model),
        objective=scorer.objective.name,
        max_length=scorer.objective.max_length,
        texts=scored,
        total=total,
        notes=notes,
    )


def _named_texts(texts: Sequence[str], files: Sequence[str | Path]) -> dict[str, str]:
    named = {f"text {number}": text for number, text in enumerate(texts, start=1)}
    for number, text in enumerate(texts, start=1):
        check_text(text, name_of(number, len(texts), "text"))
    for path in files:
        text = read_text_file(path)
        check_text(text, str(path))
        named[str(path)] = text
    return named


def to_json(scores: Scores) -> dict[str, Any]:
    """Scores as plain data."""
    return {
        "model": scores.model,
        "objective": scores.objective,
        "max_length": scores.max_length,
        "texts": [{"name": text.name, "parts": _parts_json(text)} for text in scores.texts],
        "total": {"parts": _parts_json(scores.total)},
        "notes": list(scores.notes),
    }


def _parts_json(text: TextScore) -> dict[str, Any]:
    return {
        name: {**part.measures, "targets": part.num_targets, "bytes": part.num_bytes}
        for name, part in text.parts.items()
    }
