"""How training went: the loss of the steps, of held-out text, and the learning rate."""

from __future__ import annotations

import math

from markupsafe import Markup

from acclimate.reporting.facts import Facts
from acclimate.reporting.html import details, join, paragraph, table
from acclimate.reporting.sections.common import missing
from acclimate.reporting.svg.base import figure
from acclimate.reporting.svg.curve import Curve, curve, thinned
from acclimate.reporting.words import Words

# Lines of the table below the drawing.
MOST_LINES = 24


def render(facts: Facts, words: Words) -> Markup:
    """The drawing, and the same as a table."""
    data = curve_of(facts)
    if not data.train and not data.held_out:
        return missing("missing_curve", facts, words)
    broken = sum(1 for record in facts.metrics if _broken(record.get("loss")))
    return join(
        [
            figure(lambda width: curve(data, words, id_="curve", width=width)),
            paragraph(words("curve_no_held_out"), "quiet") if not data.held_out else None,
            paragraph(words("curve_broken", number=words.integer(broken)), "missing") if broken else None,
            details(words("as_table"), _table(data, words)),
        ]
    )


def curve_of(facts: Facts) -> Curve:
    """What there is to draw; what is no number is left out."""

    def series(name: str) -> list[tuple[float, float]]:
        return [
            (float(record["step"]), float(record[name]))
            for record in facts.metrics
            if isinstance(record.get(name), (int, float)) and math.isfinite(record[name])
        ]

    return Curve(series("loss"), series("eval_loss"), series("learning_rate"))


def _broken(value: object) -> bool:
    return isinstance(value, (int, float)) and not math.isfinite(value)


def _table(data: Curve, words: Words) -> Markup:
    held_out, rate = dict(data.held_out), dict(data.rate)
    train = dict(data.train)
    chosen = {step for step, _ in thinned(data.train, MOST_LINES)} | {step for step, _ in thinned(data.held_out, 12)}
    head = [words("curve_step"), words("curve_train"), words("curve_held_out"), words("curve_rate_name")]
    rows = [
        [
            words.integer(step),
            words.decimal(train.get(step)),
            words.decimal(held_out.get(step)),
            f"{rate[step]:.3g}" if step in rate else "",
        ]
        for step in sorted(chosen)
    ]
    return table(head, rows, caption=words("title_curve"))
