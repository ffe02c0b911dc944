"""Differences with their intervals, one a line, beside a line at zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from acclimate.reporting.html import tag
from acclimate.reporting.svg.base import WIDE, Scale, digits_of, fit, frame, label, line, px, rect, ticks
from acclimate.reporting.words import Words

LABELS, NUMBERS = 190.0, 170.0
MARGIN = 14.0
TOP = 20.0
AXIS = 36.0


@dataclass(frozen=True)
class ForestRow:
    """One difference.

    Attributes:
        name: what it is of.
        low, mean, high: after - before; all the same where there is no interval.
        strong: whether it is a headline; the others are drawn thinner.
        claim: whether a side of zero may be called better or worse, in colour.
        is_path: whether the end of the name says more than its start.
    """

    name: str
    low: float
    mean: float
    high: float
    strong: bool = False
    is_path: bool = False
    claim: bool = True


def scale_of(rows: Sequence[ForestRow], start: float, end: float) -> Scale:
    """From the lowest to the highest end of an interval, zero included, with a twentieth of room on both sides."""
    low = min([0.0, *(row.low for row in rows)])
    high = max([0.0, *(row.high for row in rows)])
    room = (high - low) / 20 or 1.0
    return Scale(low - room, high + room, start, end)


def forest(rows: Sequence[ForestRow], words: Words, *, id_: str, title: str, width: float) -> Markup:
    """The drawing.

    Args:
        rows: at least one.
        width: `WIDE` has names and numbers beside the lines, anything less above them.
    """
    wide = width >= WIDE
    height_of_row = 30.0 if wide else 46.0
    start, end = (LABELS + MARGIN, width - NUMBERS - MARGIN) if wide else (MARGIN, width - MARGIN)
    scale = scale_of(rows, start, end)
    bottom = TOP + len(rows) * height_of_row
    zero = scale(0.0)
    shapes = _directions(zero, words, start, end)
    if wide:
        shapes.append(line(zero, TOP - 4, zero, bottom + 4, "zero"))
    for number, row in enumerate(rows):
        top = TOP + number * height_of_row
        middle = top + (15.0 if wide else 32.0)
        if not wide:
            # Not through the numbers above the bar.
            shapes.append(line(zero, middle - 10, zero, middle + 10, "zero"))
        shapes += _bar(row, scale, middle)
        figures = _figures(row, words)
        strong = "strong" if row.strong else None
        if wide:
            shapes.append(label(fit(row.name, LABELS, keep_end=row.is_path), 0, middle + 4, class_=strong))
            shapes.append(label(figures, width, middle + 4, anchor="end", class_="halo figures"))
        else:
            shapes.append(label(fit(row.name, width - 190, keep_end=row.is_path), 0, top + 16, class_=strong))
            shapes.append(label(figures, width, top + 16, anchor="end", class_="halo figures"))
    places = ticks(scale.low, scale.high, 6 if wide else 4)
    digits = digits_of(places)
    shapes.append(line(start, bottom + 6, end, bottom + 6, "axis"))
    for place in places:
        shapes.append(line(scale(place), bottom + 6, scale(place), bottom + 10, "axis"))
        shapes.append(label(words.signed(place, digits) if place else "0", scale(place), bottom + 23, anchor="middle"))
    described = "; ".join(f"{row.name}: {_figures(row, words)}" for row in rows[:20])
    return frame(
        shapes, id_=f"{id_}-{px(width)}", title=title, description=described, width=width, height=bottom + AXIS
    )


def _figures(row: ForestRow, words: Words) -> str:
    mean = words.signed(row.mean)
    return mean if row.low == row.high else f"{mean} ({words.interval(row.low, row.high)})"


def _directions(zero: float, words: Words, start: float, end: float) -> list[Markup]:
    """Which side of zero is better."""
    better, worse = words("forest_better"), words("forest_worse")
    # A word stands only where there is room for it.
    shapes = []
    if zero - start > 70:
        shapes.append(label(f"← {better}", zero - 6, TOP - 8, anchor="end", class_="quiet"))
    if end - zero > 70:
        shapes.append(label(f"{worse} →", zero + 6, TOP - 8, class_="quiet"))
    return shapes


def _bar(row: ForestRow, scale: Scale, middle: float) -> list[Markup]:
    low, mean, high = scale(row.low), scale(row.mean), scale(row.high)
    side = "even" if not row.claim else "better" if row.high < 0 else "worse" if row.low > 0 else "even"
    size = 4.5 if row.strong else 3.5
    kind = f"{side} strong" if row.strong else side
    return [
        line(low, middle, high, middle, f"bar {kind}"),
        line(low, middle - 4, low, middle + 4, f"bar {kind}"),
        line(high, middle - 4, high, middle + 4, f"bar {kind}"),
        rect(mean - size, middle - size, 2 * size, 2 * size, f"dot {kind}")
        if row.strong
        else tag("circle", cx=px(mean), cy=px(middle), r=px(size), class_=f"dot {kind}"),
    ]
