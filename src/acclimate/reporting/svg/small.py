"""Drawings as small as a word, within tables."""

from __future__ import annotations

from markupsafe import Markup

from acclimate.reporting.html import tag
from acclimate.reporting.svg.base import Scale, px


def dumbbell(before: float, after: float) -> Markup:
    """Two shares on a line from 0 to 1: a ring for before, a dot for after. The numbers stand beside it."""
    x = Scale(0.0, 1.0, 5.0, 95.0)
    kind = "better" if after > before else "worse" if after < before else "even"
    return tag(
        "svg",
        tag("line", x1="5", y1="7", x2="95", y2="7", class_="grid"),
        tag("line", x1=px(x(before)), y1="7", x2=px(x(after)), y2="7", class_=f"bar {kind}"),
        tag("circle", cx=px(x(before)), cy="7", r="3.5", class_=f"ring {kind}"),
        tag("circle", cx=px(x(after)), cy="7", r="4", class_=f"dot {kind}"),
        viewBox="0 0 100 14",
        class_="inline",
        aria_hidden="true",
    )


def share_bar(share: float) -> Markup:
    """A share of 1 as a bar; the number stands beside it."""
    return tag(
        "svg",
        tag("rect", x="0", y="2", width="60", height="6", class_="bar-ground"),
        tag("rect", x="0", y="2", width=px(60 * min(max(share, 0.0), 1.0)), height="6", class_="bar-share"),
        viewBox="0 0 60 10",
        class_="inline share",
        aria_hidden="true",
    )
