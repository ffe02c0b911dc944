"""How training went: losses over steps, and the learning rate below them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from acclimate.reporting.html import tag
from acclimate.reporting.svg.base import WIDE, Scale, digits_of, frame, label, line, px, ticks
from acclimate.reporting.words import Words

Points = Sequence[tuple[float, float]]
LOSS_HEIGHT, RATE_HEIGHT, GAP = 210.0, 56.0, 34.0
TOP, BOTTOM = 44.0, 44.0
# No line has more points than a screen could show.
MOST_POINTS = 400


@dataclass(frozen=True)
class Curve:
    """What there is to draw, each by (step, value)."""

    train: Points
    held_out: Points
    rate: Points


def thinned(points: Points, most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """At most `most` points, evenly spread, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    last = len(points) - 1
    return [points[round(number * last / (most - 1))] for number in range(most)]


def curve(data: Curve, words: Words, *, id_: str, width: float) -> Markup:
    """The drawing; there is at least one point of a loss."""
    wide = width >= WIDE
    left, right = 46.0, width - (18.0 if wide else 10.0)
    losses = [value for _, value in (*data.train, *data.held_out)]
    steps = [step for step, _ in (*data.train, *data.held_out, *data.rate)]
    x = Scale(min(0.0, *steps), max(steps), left, right)
    room = (max(losses) - min(losses)) / 20 or 0.5
    y = Scale(min(losses) - room, max(losses) + room, TOP + LOSS_HEIGHT, TOP)
    shapes = _legend(data, words, left)
    shapes += _grid(y, words, left, right, 5)
    shapes += [_path(data.train, x, y, "train"), _path(data.held_out, x, y, "heldout")]
    shapes += [
        tag("circle", cx=px(x(step)), cy=px(y(value)), r="3", class_="heldout")
        for step, value in thinned(data.held_out, 60)
    ]
    shapes.append(label(words("curve_loss"), 0, TOP - 26, class_="quiet"))
    bottom = TOP + LOSS_HEIGHT
    if data.rate:
        top = bottom + GAP
        bottom = top + RATE_HEIGHT
        highest = max(value for _, value in data.rate) or 1.0
        rate = Scale(0.0, highest, bottom, top)
        shapes.append(label(words("curve_rate", highest=f"{highest:.3g}"), 0, top - 10, class_="quiet"))
        shapes += [line(left, top, right, top, "grid"), line(left, bottom, right, bottom, "axis")]
        shapes.append(_path(data.rate, x, rate, "rate"))
    else:
        shapes.append(line(left, bottom, right, bottom, "axis"))
    for step in ticks(x.low, x.high, 6 if wide else 4):
        shapes.append(line(x(step), bottom, x(step), bottom + 4, "axis"))
        # The last one would run over the edge.
        anchor = "end" if x(step) > right - 12 else "middle"
        shapes.append(label(words.integer(step), min(x(step), right), bottom + 18, anchor=anchor))
    shapes.append(label(words("curve_steps"), right, bottom + 36, anchor="end", class_="quiet"))
    return frame(
        shapes,
        id_=f"{id_}-{px(width)}",
        title=words("title_curve"),
        description=_described(data, words),
        width=width,
        height=bottom + BOTTOM,
    )


def _legend(data: Curve, words: Words, left: float) -> list[Markup]:
    shapes, x = [], left
    for points, name, kind in (
        (data.train, words("curve_train"), "train"),
        (data.held_out, words("curve_held_out"), "heldout"),
    ):
        if not points:
            continue
        shapes += [line(x, TOP - 12, x + 22, TOP - 12, kind), label(name, x + 28, TOP - 8)]
        x += 46 + 6.6 * len(name) * (1.0 if words.lang == "en" else 1.9)
    return shapes


def _grid(y: Scale, words: Words, left: float, right: float, most: int) -> list[Markup]:
    values = ticks(y.low, y.high, most)
    digits = digits_of(values)
    shapes = []
    for value in values:
        shapes.append(line(left, y(value), right, y(value), "grid"))
        shapes.append(label(words.decimal(value, digits), left - 8, y(value) + 4, anchor="end"))
    return shapes


def _path(points: Points, x: Scale, y: Scale, kind: str) -> Markup:
    drawn = " ".join(f"{px(x(step))},{px(y(value))}" for step, value in thinned(points))
    return tag("polyline", points=drawn, class_=kind) if points else Markup("")


def _described(data: Curve, words: Words) -> str:
    told = []
    for points, name in ((data.train, words("curve_train")), (data.held_out, words("curve_held_out"))):
        if points:
            (first, start), (last, end) = points[0], points[-1]
            told.append(
                words(
                    "curve_told",
                    name=name,
                    start=words.decimal(start),
                    first=words.integer(first),
                    end=words.decimal(end),
                    last=words.integer(last),
                )
            )
    return "; ".join(told)
