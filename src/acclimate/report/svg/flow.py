"""The ledger as a flow: from sources to what was kept and dropped, and on to training and held-out text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from acclimate.report.html import tag
from acclimate.report.svg.base import WIDE, fit, frame, label, px, rect
from acclimate.report.words import Words

HEIGHT = 250.0
NODE = 9.0
# A label of two lines needs so much; nodes stand no closer than that.
SLOT = 33.0
TOP = 8.0


@dataclass(frozen=True)
class Node:
    """Something that characters come from or go to.

    Attributes:
        name: what it is called.
        characters: how many; of all that leads to it, or away from it.
        note: beside the number.
        lost: whether it is what was dropped.
    """

    name: str
    characters: int
    note: str = ""
    lost: bool = False


@dataclass(frozen=True)
class Flow:
    """Three columns, and how many characters go from one to the next by (from, to), by places in their columns.

    What goes into a node is what it has; `check` holds that.
    """

    sources: Sequence[Node]
    middle: Sequence[Node]
    ends: Sequence[Node]
    first: Mapping[tuple[int, int], int]
    second: Mapping[tuple[int, int], int]

    def check(self) -> None:
        """Fail where the sums do not agree."""
        for index, node in enumerate(self.sources):
            assert node.characters == sum(size for (start, _), size in self.first.items() if start == index), node
        for index, node in enumerate(self.middle):
            assert node.characters == sum(size for (_, end), size in self.first.items() if end == index), node
            leaving = sum(size for (start, _), size in self.second.items() if start == index)
            assert leaving == (0 if node.lost else node.characters), node
        for index, node in enumerate(self.ends):
            assert node.characters == sum(size for (_, end), size in self.second.items() if end == index), node


@dataclass(frozen=True)
class _Placed:
    """Where a column's nodes are: their tops, their heights, and the ends of what they take, label included."""

    tops: tuple[float, ...]
    heights: tuple[float, ...]
    ends: tuple[float, ...]

    @property
    def bottom(self) -> float:
        """The end of the last node or its label."""
        return self.ends[-1] if self.ends else TOP


def _place(nodes: Sequence[Node], pixels: float) -> _Placed:
    tops, heights, ends, y = [], [], [], TOP
    for node in nodes:
        height = max(node.characters * pixels, 1.0)
        tops.append(y)
        heights.append(height)
        ends.append(y + max(height, SLOT + 15 if node.note else SLOT))
        y = ends[-1] + 6
    return _Placed(tuple(tops), tuple(heights), tuple(ends))


def draw_flow(flow: Flow, words: Words, *, id_: str, width: float) -> Markup:
    """The drawing: heights are characters."""
    total = sum(node.characters for node in flow.sources) or 1
    pixels = HEIGHT / total
    columns = [_place(nodes, pixels) for nodes in (flow.sources, flow.middle, flow.ends)]
    xs = (0.0, 0.42 * width, width - NODE)
    shapes = [
        *_links(flow.first, flow.middle, columns[0], columns[1], xs[0] + NODE, xs[1], pixels),
        *_links(flow.second, flow.ends, columns[1], columns[2], xs[1] + NODE, xs[2], pixels),
    ]
    for column, (nodes, placed, x) in enumerate(zip((flow.sources, flow.middle, flow.ends), columns, xs, strict=True)):
        # The middle's lost nodes have all the room to the right; the last column's labels stand before it.
        room = (xs[1] - 24, (width - xs[1]) * (0.5 if width < WIDE else 0.45), 0.27 * width)[column]
        for node, top, height in zip(nodes, placed.tops, placed.heights, strict=True):
            kind = "node lost" if node.lost else "node"
            shapes.append(rect(x, top, NODE, height, kind))
            shapes += _label(node, total, words, x, top, column, width - xs[1] - 20 if node.lost else room)
    bottom = max(placed.bottom for placed in columns)
    described = "; ".join(
        f"{node.name}: {words.integer(node.characters)}" for node in (*flow.sources, *flow.middle, *flow.ends)
    )
    return frame(
        shapes,
        id_=f"{id_}-{px(width)}",
        title=words("flow_title"),
        description=f"{words('flow_unit')} {described}",
        width=width,
        height=bottom + 6,
    )


def _links(
    sizes: Mapping[tuple[int, int], int],
    ends: Sequence[Node],
    left: _Placed,
    right: _Placed,
    x1: float,
    x2: float,
    pixels: float,
) -> list[Markup]:
    leaving, arriving = list(left.tops), list(right.tops)
    shapes = []
    for start, end in sorted(sizes):
        height = sizes[start, end] * pixels
        if not sizes[start, end]:
            continue
        y1, y2 = leaving[start], arriving[end]
        leaving[start] += height
        arriving[end] += height
        middle = (x1 + x2) / 2
        thick = max(height, 0.6)
        path = (
            f"M{px(x1)} {px(y1)} C{px(middle)} {px(y1)} {px(middle)} {px(y2)} {px(x2)} {px(y2)} "
            f"V{px(y2 + thick)} C{px(middle)} {px(y2 + thick)} {px(middle)} {px(y1 + thick)} {px(x1)} {px(y1 + thick)}Z"
        )
        shapes.append(tag("path", d=path, class_="link lost" if ends[end].lost else "link"))
    return shapes


def _label(node: Node, total: int, words: Words, x: float, top: float, column: int, room: float) -> list[Markup]:
    at, anchor = (x - 8, "end") if column == 2 else (x + NODE + 8, None)
    numbers = f"{words.integer(node.characters)} · {words.percent(node.characters / total)}"
    return [
        label(fit(node.name, room), at, top + 13, anchor=anchor, class_="halo strong"),
        label(fit(numbers, room), at, top + 28, anchor=anchor, class_="halo figures"),
        *([label(fit(node.note, room), at, top + 43, anchor=anchor, class_="halo quiet")] if node.note else []),
    ]
