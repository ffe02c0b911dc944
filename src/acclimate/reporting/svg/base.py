"""What all drawings have in common: the frame, scales, ticks, texts that fit."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from acclimate.reporting.html import join, readable, tag

# A drawing is made twice, for a desktop or paper and for a phone, so that its letters keep their size.
WIDE, NARROW = 720, 340
LETTERS = 12.0


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` onto pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return self.start + share * (self.end - self.start)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round values from `low` to `high`, in steps of 1, 2 or 5 times a power of ten; at most `most` + 1."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # Rounded to the step's own digits: 0.3, not 0.30000000000000004.
    digits = max(0, -math.floor(math.log10(step)))
    return [round(number * step, digits) + 0.0 for number in range(first, last + 1)]


def digits_of(values: list[float]) -> int:
    """Decimal places that tell the ticks apart."""
    step = min((abs(b - a) for a, b in zip(values, values[1:], strict=False)), default=1.0)
    return max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0


def length(text: str) -> float:
    """About how wide a text is, in pixels."""
    return sum(LETTERS if unicodedata.east_asian_width(letter) in "WF" else 0.56 * LETTERS for letter in text)


def fit(text: str, width: float, *, keep_end: bool = False) -> str:
    """A text, cut where it is wider than there is room: at its end, or with `keep_end` at its start, as for paths."""
    text = readable(text)
    if length(text) <= width:
        return text
    if keep_end:
        return fit(text[::-1], width)[::-1]
    while text and length(text) + LETTERS > width:
        text = text[:-1]
    return text.rstrip() + "…"


def px(value: float) -> str:
    """A coordinate: at most two decimals, so that a drawing is the same everywhere."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def label(text: str, x: float, y: float, *, anchor: str | None = None, class_: str | None = None) -> Markup:
    """A text at a place; `anchor` is "middle" or "end"."""
    return tag("text", text, x=px(x), y=px(y), text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return tag("line", x1=px(x1), y1=px(y1), x2=px(x2), y2=px(y2), class_=class_)


def rect(x: float, y: float, width: float, height: float, class_: str, title: str | None = None) -> Markup:
    inner = tag("title", title) if title else None
    return tag("rect", inner, x=px(x), y=px(y), width=px(max(width, 0)), height=px(max(height, 0)), class_=class_)


def frame(shapes: list[Markup], *, id_: str, title: str, description: str, width: float, height: float) -> Markup:
    """The drawing around its shapes, with what it shows in words."""
    return tag(
        "svg",
        tag("title", title, id_=f"{id_}-title"),
        tag("desc", description, id_=f"{id_}-text"),
        join(shapes),
        viewBox=f"0 0 {px(width)} {px(height)}",
        role="img",
        aria_labelledby=f"{id_}-title {id_}-text",
        class_="wide" if width == WIDE else "narrow",
    )


def figure(draw: Callable[[float], Markup], caption: str | None = None) -> Markup:
    """A drawing in both widths; the page shows the one that fits."""
    return tag("figure", draw(WIDE), draw(NARROW), tag("figcaption", caption) if caption else None)
