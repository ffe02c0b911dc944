"""What is known of a run: the files of its folder, read; a part that is not there is None, with the reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acclimate.artifacts import find_manifest, read_json
from acclimate.corpus.folder import KIND as CORPUS
from acclimate.errors import AcclimateError
from acclimate.reporting.evaluation_file import EvaluationFile, read_evaluation
from acclimate.training.run_folder import corpus_folder


@dataclass(frozen=True)
class BatchSpan:
    """A stretch of a row that is drawn alike; `text` has its marks already."""

    text: str
    mark: str | None = None
    special: bool = False


@dataclass(frozen=True)
class BatchPiece:
    """One text of a row as the model gets it.

    Attributes:
        name: the number of its segment; "A" or "B" in a pair.
        colour: which of the colours it has.
        documents: where it is from.
        lines: its spans by role: "row", "encoder", "input" or "label".
    """

    name: str
    colour: int
    documents: tuple[str, ...]
    lines: Mapping[str, tuple[BatchSpan, ...]]


@dataclass(frozen=True)
class BatchRow:
    """One row of a batch; `verdicts` is what is asked of it as a whole."""

    number: int
    num_tokens: int
    num_padding: int
    pieces: tuple[BatchPiece, ...]
    verdicts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Some rows as the model gets them."""

    objective: str
    packed: bool
    max_length: int
    num_rows: int
    rows: tuple[BatchRow, ...]


@dataclass(frozen=True)
class Facts:
    """All that a report tells.

    Attributes:
        name: of the run.
        folder: the run's folder, as commands name it.
        manifest: the run's.
        metrics: the lines of `metrics.jsonl`.
        recipe: `recipe.yaml`, as text.
        evaluation: None without one that can be read.
        verdict: the verdict as plain data, for `wording`.
        corpus: the corpus's manifest; None where it is gone.
        batch: some rows; None where they cannot be made.
        missing: why a part is missing, by its name: "batch".
        defaults: the recipe's settings that are not their defaults, as {dotted path: (value, default)}; None where it
            is not known.
    """

    name: str
    folder: str
    manifest: Mapping[str, Any]
    metrics: tuple[Mapping[str, Any], ...] = ()
    recipe: str = ""
    evaluation: EvaluationFile | None = None
    verdict: Mapping[str, Any] | None = None
    corpus: Mapping[str, Any] | None = None
    batch: Batch | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, tuple[Any, Any]] | None = None

    def get(self, *keys: str) -> Any:
        """What the manifest says under some keys, one within the other; None where it says nothing."""
        value: Any = self.manifest
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def number(self, *keys: str) -> float | None:
        """The same, where it is a number."""
        value = self.get(*keys)
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def read_facts(
    folder: Path,
    manifest: Mapping[str, Any],
    *,
    batch: Batch | None = None,
    missing: Mapping[str, str] | None = None,
    changed: Mapping[str, tuple[Any, Any]] | None = None,
) -> Facts:
    """Everything that lies in a run folder, read.

    Args:
        folder: of a run that has finished.
        manifest: its manifest.
        batch, missing, changed: what has to be worked out elsewhere.
    """
    evaluation, verdict = _evaluation(folder / "evaluation" / "evaluation.json")
    return Facts(
        name=folder.resolve().name,
        folder=str(folder),
        manifest=manifest,
        metrics=_metrics(folder / "metrics.jsonl"),
        recipe=_text(folder / "recipe.yaml"),
        evaluation=evaluation,
        verdict=verdict,
        corpus=_corpus(folder, manifest),
        batch=batch,
        missing=missing or {},
        changed=changed,
    )


def _evaluation(path: Path) -> tuple[EvaluationFile | None, Mapping[str, Any] | None]:
    """None for a file that is not there, or is none of ours: the next evaluation replaces it."""
    try:
        data = read_json(path)
        evaluation = read_evaluation(data)
    except (AcclimateError, ValueError):
        return None, None
    verdict = data.get("verdict")
    return evaluation, verdict if evaluation.verdict is not None else None


def _metrics(path: Path) -> tuple[Mapping[str, Any], ...]:
    """The lines that can be read: a run that was cut off may have left half of one."""
    records = []
    for line in _text(path).splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
    return tuple(records)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _corpus(folder: Path, manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The manifest of the corpus that the run was trained on, if it is still there and still that one."""
    named = manifest.get("corpus")
    if not isinstance(named, Mapping):
        return None
    try:
        found = find_manifest(corpus_folder(folder, manifest), CORPUS)
    except (AcclimateError, OSError, KeyError, TypeError):
        return None
    return found if found is not None and found.get("fingerprint") == named.get("fingerprint") else None
