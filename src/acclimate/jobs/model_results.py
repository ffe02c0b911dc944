"""An evaluation's figures in the model card: the same facts as the report's, in Markdown and in the hub's form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from acclimate.artifacts import write_text
from acclimate.evaluation.wording import OUTCOMES
from acclimate.jobs.model_card import NOT_EVALUATED, PIPELINES, card_title, markdown_table, with_results
from acclimate.models.directed import way_of_seeing
from acclimate.objectives import OBJECTIVES
from acclimate.reporting.evaluation_file import EvaluationFile, TextFigures
from acclimate.reporting.facts import Facts
from acclimate.reporting.sections.common import before_text, measure_rows, ordered, without_paths
from acclimate.reporting.sections.cost import costs
from acclimate.reporting.sections.verdict import advice_of, sentence
from acclimate.reporting.words import Words

# What the hub shows of a result: its own names of measures where it has them.
_HUB_NAMES = {"perplexity": "Perplexity", "accuracy": "Accuracy", "loss": "Loss", "bits_per_byte": "Bits per byte"}


def refresh_card(path: Path, facts: Facts) -> bool:
    """Put the figures into a card; False where its places for them are gone, and nothing is done.

    A run from before there were such places, or without a card, is left as it is as well.
    """
    if not path.is_file():
        return True
    card = path.read_text(encoding="utf-8")
    changed = with_results(card, results_head(facts), results_text(facts))
    if changed is None:
        return False
    if changed != card:
        write_text(path, changed)
    return True


def results_head(facts: Facts) -> str:
    """`model-index` as the hub knows it, in lines of YAML; none without figures, or for a task without a name there."""
    evaluation = facts.evaluation
    task = _task(facts.manifest)
    if evaluation is None or task is None:
        return ""
    results = [
        {"task": {"type": task}, "dataset": {"type": "text", "name": name, "split": "held_out"}, "metrics": metrics}
        for name, text in (("the run's documents", evaluation.domain), ("general text", evaluation.general))
        if text is not None and (metrics := _metrics(text))
    ]
    if not results:
        return ""
    index = {"model-index": [{"name": card_title(facts.manifest), "results": results}]}
    dumped: str = yaml.safe_dump(index, sort_keys=False, allow_unicode=True)
    return dumped


def _task(manifest: Mapping[str, Any]) -> str | None:
    """What the hub calls what the model does. Which transformers' own pipelines would do wrongly has no task."""
    trained = manifest["objective"]
    way = way_of_seeing(trained["name"], trained["options"], trained["family"])
    head = OBJECTIVES[trained["name"]].head
    return PIPELINES.get(head) if way in (None, "given") else None


def _metrics(text: TextFigures) -> list[dict[str, Any]]:
    part = next(iter(text.parts.values()), None)
    if part is None:
        return []
    return [
        {"type": name, "name": _HUB_NAMES[name], "value": round(value, 4)}
        for name in ordered(part.after)
        if name in _HUB_NAMES and (value := part.after[name]) is not None and value == value
    ]


def results_text(facts: Facts) -> str:
    """The verdict, the figures of before and after, and the cost, as Markdown in English."""
    words, evaluation = Words("en"), facts.evaluation
    told = [NOT_EVALUATED] if evaluation is None else _evaluated(facts, evaluation, words)
    return "\n\n".join([*told, _cost(facts, words)])


def _evaluated(facts: Facts, evaluation: EvaluationFile, words: Words) -> list[str]:
    told = []
    for which in ("domain", "general"):
        if (facts.verdict or {}).get(which):
            outcome = OUTCOMES[which]["en"][(facts.verdict or {})[which]["outcome"]]
            told.append(f"**{words(f'text_{which}')}: {outcome}.** {sentence(facts, which, 'en')}")
    advice = [f"- {text}" for text in advice_of(facts, "en")]
    if advice:
        told.append("\n".join([f"{words('advice')}:", "", *advice]))
    head = ("", words("before"), words("after"), words("difference"), words("interval_95"))
    rows = [
        (f"{words(f'text_{which}')}{f', {name}' if len(text.parts) > 1 else ''}: {cells[0]}", *cells[1:])
        for which, text in (("domain", evaluation.domain), ("general", evaluation.general))
        if text is not None
        for name, part in text.parts.items()
        for cells in measure_rows(part, words)
    ]
    if rows:
        told.append(markdown_table(head, rows))
        told.append("Both models met the same masks of text that was not trained on.")
    told.append(before_text(facts, words))
    if evaluation.notes:
        told.append("\n".join(f"- {without_paths(note, facts)}" for note in evaluation.notes))
    return told


def _cost(facts: Facts, words: Words) -> str:
    return markdown_table((words("title_cost"), ""), costs(facts, words))
