"""What the figures of a text say: did it help, or was something forgotten, and by how much.

An outcome follows from one figure and its 95 % interval, and from nothing else:

    interval below 0      helped (of general text: the model became better on it as well)
    interval above 0      harmed (of general text: forgotten)
    interval holds 0      no difference was measured

A bound of exactly 0 holds it. Nothing is claimed where the figures do not carry it; `reasons` says why. The figure is
the loss per target of masked models, and the bits per byte of text of models that write, or where tokenizers differ.
All of it is made from plain data: `evaluation.json`, and the run's manifest and metrics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from acclimate.evaluation.curve import RunRecord

Outcome = Literal["helped", "no_difference", "harmed", "no_claim"]
Measure = Literal["loss", "bits_per_byte"]

# The part of an objective that is judged, where it is not the first: of ELECTRA the discriminator is the model.
_JUDGED = {"rtd": "discriminator"}
# Objectives whose masked tokens are asked for one by one; bits per byte are for them where tokenizers differ only.
_MASKED = ("mlm", "mlm_nsp", "mlm_sop", "rtd", "mntp")


@dataclass(frozen=True)
class Judgement:
    """What the figures of one text say.

    Attributes:
        outcome: see the module's text.
        measure: what `before`, `after` and `difference` are of.
        before, after: None where nothing was scored, or one of them is no number.
        difference: after - before: mean, low, high.
        relative: the mean difference as a share of `before`.
        reasons: why nothing is claimed: names of `wording.REASONS`, or notes of the evaluation in their own words.
    """

    outcome: Outcome
    measure: Measure
    before: float | None = None
    after: float | None = None
    difference: Mapping[str, float] | None = None
    relative: float | None = None
    reasons: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "reasons": list(self.reasons)}


def judge_text(name: str, evaluation: Mapping[str, Any], run: RunRecord) -> Judgement | None:
    """The judgement of one text, "domain" or "general"; None for general text where none was given."""
    text = evaluation.get(name)
    if not text or not text.get("parts"):
        return _nothing_scored(name, evaluation)
    part = judged_part(text, str(evaluation["objective"]))
    measure = _measure(part, str(evaluation["objective"]))
    difference = part["bits_per_byte_difference" if measure == "bits_per_byte" else "difference"]
    before, after = part["before"][measure], part["after"][measure]
    reasons = _reasons(evaluation, run, text)
    if not all(value is not None and math.isfinite(value) for value in (before, after, *difference.values())):
        return Judgement("no_claim", measure, reasons=(*reasons, "not_a_number"))
    return Judgement(
        outcome="no_claim" if reasons else _outcome(difference),
        measure=measure,
        before=before,
        after=after,
        difference=dict(difference),
        relative=difference["mean"] / before if before else None,
        reasons=reasons,
    )


def judged_part(text: Mapping[str, Any], objective: str) -> Mapping[str, Any]:
    """The part of an objective that is judged: the first, but for `rtd` the discriminator."""
    parts: Mapping[str, Mapping[str, Any]] = text["parts"]
    return parts.get(_JUDGED.get(objective, ""), next(iter(parts.values())))


def _measure(part: Mapping[str, Any], objective: str) -> Measure:
    if not part.get("bits_per_byte_difference"):
        return "loss"
    comparable = part.get("difference") is not None
    return "loss" if objective in _MASKED and comparable else "bits_per_byte"


def _outcome(difference: Mapping[str, float]) -> Outcome:
    if difference["high"] < 0:
        return "helped"
    return "harmed" if difference["low"] > 0 else "no_difference"


def _nothing_scored(name: str, evaluation: Mapping[str, Any]) -> Judgement | None:
    notes = [str(note) for note in evaluation.get("notes", ()) if str(note).startswith(f"{name}:")]
    if name == "general" and not notes:
        return None
    too_few = not notes or any("nothing is held out" in note for note in notes)
    return Judgement("no_claim", "loss", reasons=("nothing_held_out",) if too_few else tuple(notes))


def _reasons(evaluation: Mapping[str, Any], run: RunRecord, text: Mapping[str, Any]) -> tuple[str, ...]:
    """Why no claim is made of a text that was scored."""
    rows = ("interval_over_rows",) if text.get("unit") == "row" else ()
    own = (*rows, "trained_on") if text.get("trained_on") else rows
    if evaluation.get("claim"):
        return own
    model = run.manifest.get("model") or {}
    warmup = model.get("head_warmup")
    known = {
        "from_scratch": bool(model.get("from_scratch")),
        "head_not_warmed_up": bool(model.get("new_parameters")) and not warmup,
        "head_still_warming": warmup is not None and not warmup["leveled_off"],
        "tokens_added": bool(model.get("unseen_tokens")),
    }
    found = tuple(name for name, holds in known.items() if holds)
    if "from_scratch" in found:  # it says all that the others say
        return ("from_scratch",)
    own_words = [str(note) for note in evaluation.get("notes", ()) if not str(note).startswith(("domain:", "general:"))]
    return (*(found or tuple(own_words) or ("not_comparable",)), *own)
