"""What to try next: each advice follows from a measured condition, a row of the table `CONDITIONS`.

A condition is a function from the facts of a run to the figures that met it, or None. Its thresholds are the constants
below and stand in `docs/verdict.md`; they are chosen, not derived, and on the side of saying nothing. The words are in
`wording.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acclimate.evaluation.curve import Curve
from acclimate.evaluation.judgement import Judgement, judged_part

Figures = dict[str, float]

# still_falling: over the last third of the learning, at least 1 % of the loss, and 3 standard errors.
LAST_SHARE = 1 / 3
LEAST_FALL = 0.01
STANDARD_ERRORS = 3.0
LEAST_POINTS = 4
# diverged: the last fifth of the run above its best fifth by 10 %.
LEAST_RISE = 0.1
# overfitting: the held-out loss at the end above its lowest by 1 %, with three points or more.
LEAST_HELD_OUT_RISE = 0.01
LEAST_HELD_OUT_POINTS = 3
# memorised: two passes or more, and a training loss below the held-out loss by 20 %.
LEAST_PASSES = 2.0
LEAST_GAP = 0.2
# general_forgotten: a loss on general text that rose by 2 %, its interval above 0.
LEAST_FORGOTTEN = 0.02
# interval_wide, nothing_gained: an interval that holds 0 and reaches 2 % of the loss to one side, or stays within it.
WIDE = 0.02
# few_held_out: fewer documents than that; their interval is not to be trusted much.
FEW_DOCUMENTS = 20
# terms_in_pieces: three pieces a word, and twice as many as words of general text have.
LEAST_PIECES = 3.0
TIMES_GENERAL = 2.0


@dataclass(frozen=True)
class Advice:
    """One thing to try next: the condition that was met, a row of `CONDITIONS`, and the figures that met it."""

    condition: str
    figures: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        return {"condition": self.condition, "figures": dict(self.figures)}


@dataclass(frozen=True)
class Facts:
    """What advice follows from.

    Attributes:
        evaluation: as in `evaluation.json`.
        manifest: of the run.
        curve: of its losses.
        domain, general: the judgements.
    """

    evaluation: Mapping[str, Any]
    manifest: Mapping[str, Any]
    curve: Curve
    domain: Judgement | None
    general: Judgement | None

    @property
    def recipe(self) -> Mapping[str, Any]:
        return self.manifest.get("recipe") or {}

    @property
    def model(self) -> Mapping[str, Any]:
        return self.manifest.get("model") or {}

    @property
    def passes(self) -> float | None:
        """Over the corpus."""
        told = [point.epoch for point in self.curve.train if point.epoch is not None]
        return max(told, default=None)


Condition = Callable[[Facts], Figures | None]


def diverged(facts: Facts) -> Figures | None:
    """A loss that is no number, or whose last fifth is above its best fifth."""
    rate = _known(learning_rate=facts.curve.peak_rate)
    if not facts.curve.finite or (facts.domain is not None and "not_a_number" in facts.domain.reasons):
        return {"finite": 0.0, **rate}
    fifths = facts.curve.fifths()
    if not fifths or fifths[-1] < (1 + LEAST_RISE) * min(fifths):
        return None
    return {"finite": 1.0, "lowest": min(fifths), "last": fifths[-1], **rate}


def overfitting(facts: Facts) -> Figures | None:
    """The held-out loss had its minimum before the end, while the training loss went on falling; not where the model of
    the minimum was taken in the end."""
    training = facts.recipe.get("training") or {}
    return None if training.get("load_best_model_at_end") else _turned(facts)


def _turned(facts: Facts) -> Figures | None:
    """Where the held-out loss had its minimum, if it was before the end of a training loss that fell."""
    points = facts.curve.held_out
    if len(points) < LEAST_HELD_OUT_POINTS or diverged(facts):
        return None
    best = min(points, key=lambda point: point.loss)
    last = points[-1]
    if last.loss < (1 + LEAST_HELD_OUT_RISE) * best.loss or not _training_fell_after(best.step, facts.curve):
        return None
    return {
        "best_step": float(best.step),
        "last_step": float(last.step),
        "lowest": best.loss,
        "last": last.loss,
        **_known(best_epoch=best.epoch, passes=facts.passes),
    }


def memorised(facts: Facts) -> Figures | None:
    """After some passes, the training loss is far below the held-out loss; where no held-out curve tells more."""
    if facts.domain is None or facts.domain.after is None or _turned(facts) or diverged(facts):
        return None
    parts = facts.evaluation["domain"]["parts"]
    fifths = facts.curve.fifths()
    # The losses of several parts are logged as one sum, and replayed text has a loss of its own.
    if len(parts) > 1 or not fifths or facts.recipe.get("replay") or (facts.passes or 0) < LEAST_PASSES:
        return None
    # Where tokenizers differ, there is no loss per target.
    held_out = judged_part(facts.evaluation["domain"], str(facts.evaluation["objective"]))["after"].get("loss")
    if held_out is None or fifths[-1] > (1 - LEAST_GAP) * held_out:
        return None
    return {"training": fifths[-1], "held_out": float(held_out), **_known(passes=facts.passes)}


def domain_harmed(facts: Facts) -> Figures | None:
    """The model became worse on the documents, and nothing above says why."""
    explained = diverged(facts) or overfitting(facts) or memorised(facts)
    if facts.domain is None or facts.domain.outcome != "harmed" or explained:
        return None
    return _known(relative=facts.domain.relative, learning_rate=facts.curve.peak_rate)


def still_falling(facts: Facts) -> Figures | None:
    """The training loss was falling at the end, by the learning done (see `curve.py`), and the held-out loss with
    it."""
    if diverged(facts) or _turned(facts) or memorised(facts):
        return None
    if facts.domain is not None and facts.domain.outcome == "harmed":
        return None
    trend = facts.curve.trend(LAST_SHARE, LEAST_POINTS)
    if trend is None or trend.fall < LEAST_FALL * trend.level or trend.fall < STANDARD_ERRORS * trend.error:
        return None
    return {"fall": trend.fall, "error": trend.error, "relative": trend.fall / (trend.level + trend.fall)}


def nothing_gained(facts: Facts) -> Figures | None:
    """The interval holds 0 and stays close to it: there is little difference, if any."""
    half = _half_width(facts.domain)
    if half is None or half >= WIDE or still_falling(facts) or diverged(facts):
        return None
    return {"reach": half, **_known(learning_rate=facts.curve.peak_rate, passes=facts.passes)}


def interval_wide(facts: Facts) -> Figures | None:
    """The interval holds 0 and reaches far: there may be a difference, and it cannot be seen."""
    half = _half_width(facts.domain)
    if half is None or half < WIDE:
        return None
    return {"reach": half, "units": float(facts.evaluation["domain"]["units"])}


def few_held_out(facts: Facts) -> Figures | None:
    """Nothing was held out, or too little to draw documents from, or few documents; or few of them were scored."""
    text = facts.evaluation.get("domain")
    if not text or not text.get("parts"):
        held_out_nothing = facts.domain is not None and "nothing_held_out" in facts.domain.reasons
        return {"units": 0.0} if held_out_nothing else None
    by_row = text["unit"] == "row" and facts.recipe.get("isolate") != "none"
    if text.get("sampled_from") and (by_row or text["units"] < FEW_DOCUMENTS):
        return {"sampled_from": float(text["sampled_from"])}
    if by_row:
        return {"rows": float(text["units"])}
    return {"units": float(text["units"])} if text["units"] < FEW_DOCUMENTS else None


def general_forgotten(facts: Facts) -> Figures | None:
    """The loss on general text rose, and the interval excludes 0."""
    general = facts.general
    if general is None or general.outcome != "harmed" or (general.relative or 0.0) < LEAST_FORGOTTEN:
        return None
    replay = facts.recipe.get("replay") or {}
    return _known(
        relative=general.relative,
        learning_rate=facts.curve.peak_rate,
        replay=replay.get("share"),
        adapter=1.0 if facts.recipe.get("adapter") else None,
    )


def few_general(facts: Facts) -> Figures | None:
    """General text was given, but too little of it to hold documents out or to draw from."""
    if facts.general is None or facts.recipe.get("isolate") == "none":
        return None
    return {} if {"nothing_held_out", "interval_over_rows"} & {*facts.general.reasons} else None


def no_general_text(facts: Facts) -> Figures | None:
    """No general text was given, so that nobody knows what was forgotten."""
    return {} if facts.general is None and not facts.model.get("from_scratch") else None


def head_not_warmed_up(facts: Facts) -> Figures | None:
    """The model came without a head, and "before" is the ignorance of a new one."""
    fresh = facts.model.get("new_parameters") and not facts.model.get("from_scratch")
    return {} if fresh and not facts.model.get("head_warmup") else None


def head_still_warming(facts: Facts) -> Figures | None:
    """The new head's warm-up was cut off while its loss was falling."""
    warmup = facts.model.get("head_warmup")
    return {"steps": float(warmup["steps"])} if warmup and not warmup["leveled_off"] else None


def terms_in_pieces(facts: Facts) -> Figures | None:
    """The words of the domain's terms break into many tokens, and into more than words of general text do."""
    terms = facts.evaluation.get("terms") or {}
    pieces, general = terms.get("mean_pieces"), terms.get("general_pieces")
    if pieces is None or pieces < LEAST_PIECES or (general is not None and pieces < TIMES_GENERAL * general):
        return None
    return _known(pieces=pieces, general_pieces=general)


# In the order in which they are told: what is wrong, what more may be had, what was lost, what is not known.
CONDITIONS: dict[str, Condition] = {
    "diverged": diverged,
    "overfitting": overfitting,
    "memorised": memorised,
    "domain_harmed": domain_harmed,
    "still_falling": still_falling,
    "nothing_gained": nothing_gained,
    "general_forgotten": general_forgotten,
    "terms_in_pieces": terms_in_pieces,
    "interval_wide": interval_wide,
    "few_held_out": few_held_out,
    "head_not_warmed_up": head_not_warmed_up,
    "head_still_warming": head_still_warming,
    "few_general": few_general,
    "no_general_text": no_general_text,
}


def advise(facts: Facts) -> tuple[Advice, ...]:
    """The advice whose conditions are met."""
    found = [(name, condition(facts)) for name, condition in CONDITIONS.items()]
    return tuple(Advice(name, figures) for name, figures in found if figures is not None)


def _known(**figures: float | None) -> Figures:
    return {name: float(value) for name, value in figures.items() if value is not None}


def _half_width(judgement: Judgement | None) -> float | None:
    """How far an interval that holds 0 reaches from it, as a share of the figure before; None for other outcomes."""
    if judgement is None or judgement.outcome != "no_difference" or not judgement.before:
        return None
    assert judgement.difference is not None
    return max(-judgement.difference["low"], judgement.difference["high"]) / judgement.before


def _training_fell_after(step: int, curve: Curve) -> bool:
    """Whether the last fifth of the training losses is below those around a step."""
    fifths = curve.fifths()
    around: Sequence[float] = [
        point.loss for point in curve.train if abs(point.step - step) <= curve.train[-1].step / 10
    ]
    return bool(fifths and around) and fifths[-1] < sum(around) / len(around)
