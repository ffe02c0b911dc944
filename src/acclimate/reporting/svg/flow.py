"""The ledger as a flow: from sources to what was kept and dropped, and on to training and held-out text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from acclimate.reporting.html import tag
from acclimate.reporting.svg.base import WIDE, fit, frame, label, px, rect
from acclimate.reporting.words import Words

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


def _place(nodes: Sequence[Node], pixels: float, lost_from: float = 0.0) -> _Placed:
    """Nodes from the top down; what was lost begins at `lost_from` at the earliest."""
    tops, heights, ends, y = [], [], [], TOP
    for node in nodes:
        y = max(y, lost_from) if node.lost else y
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
    wide = width >= WIDE
    sources, ends = _place(flow.sources, pixels), _place(flow.ends, pixels)
    # On a phone the labels of what is held out have no room beside those of what was lost.
    middle = _place(flow.middle, pixels, 0.0 if wide else ends.bottom + 6)
    xs = (0.0, 0.42 * width, width - NODE)
    shapes = [
        *_links(flow.first, flow.middle, sources, middle, xs[0] + NODE, xs[1], pixels),
        *_links(flow.second, flow.ends, middle, ends, xs[1] + NODE, xs[2], pixels),
    ]
    rooms = (xs[1] - 24, 0.27 * width if wide else 66.0, 0.27 * width if wide else 118.0)
    columns = ((flow.sources, sources), (flow.middle, middle), (flow.ends, ends))
    for column, (nodes, placed) in enumerate(columns):
        for node, top, height in zip(nodes, placed.tops, placed.heights, strict=True):
            shapes.append(rect(xs[column], top, NODE, height, "node lost" if node.lost else "node"))
            room = width - xs[1] - 20 if node.lost else rooms[column]
            numbers = words.integer(node.characters)
            if wide or node.lost:
                numbers += f" · {words.percent(node.characters / total)}"
            shapes += _label(node, numbers, xs[column], top, room, before=column == 2)
    bottom = max(placed.bottom for _, placed in columns)
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


def _label(node: Node, numbers: str, x: float, top: float, room: float, *, before: bool) -> list[Markup]:
    """What a node is and has, beside it; `before` it for the last column."""
    at, anchor = (x - 8, "end") if before else (x + NODE + 8, None)
    lines = [(node.name, "halo strong"), (numbers, "halo figures"), (node.note, "halo quiet")]
    return [
        label(fit(text, room), at, top + 13 + 15 * number, anchor=anchor, class_=kind)
        for number, (text, kind) in enumerate(lines)
        if text
    ]
