"""Intervals beside a zero line: where exactly they are drawn."""

from __future__ import annotations

import pytest

from acclimate.reporting.svg.forest import ForestRow, forest, scale_of
from acclimate.reporting.words import Words
from tests.reporting.parsed import Element, parse

ROWS = (ForestRow("helped", -3.0, -2.0, -1.0, strong=True), ForestRow("may be chance", -0.5, 0.25, 1.0))


def drawn(width: float, rows: tuple[ForestRow, ...] = ROWS) -> Element:
    return parse(forest(rows, Words("en"), id_="f", title="Differences", width=width))


def test_the_scale_holds_every_interval_and_zero() -> None:
    scale = scale_of(ROWS, 0.0, 110.0)
    # From -3 to 1 with a twentieth of 4 on both sides.
    assert (scale.low, scale.high) == pytest.approx((-3.2, 1.2))
    assert scale(0.0) == pytest.approx(110 * 3.2 / 4.4)
    assert scale_of([ForestRow("x", 2.0, 3.0, 4.0)], 0, 1).low == pytest.approx(-0.2)
    # Nothing changed at all: still a scale.
    assert scale_of([ForestRow("x", 0.0, 0.0, 0.0)], 0.0, 10.0)(0.0) == 5.0


def test_intervals_are_where_they_belong() -> None:
    made = drawn(720)
    # The plot is from 190 + 14 to 720 - 170 - 14; a unit is (536 - 204) / 4.4 wide.
    unit = 332 / 4.4

    def x(value: float) -> float:
        return round(204 + (value + 3.2) * unit, 2)

    bars = [element for element in made.all("line") if "bar" in (element.get("class") or "").split()]
    assert len(bars) == 6
    first, left, right, second, *_ = bars
    # The first row's middle is 20 + 15 below the top, the second's 30 below that.
    assert [float(first.get(name) or 0) for name in ("x1", "y1", "x2", "y2")] == [x(-3), 35, x(-1), 35]
    assert (float(left.get("x1") or 0), float(right.get("x1") or 0)) == (x(-3), x(-1))
    assert [float(second.get(name) or 0) for name in ("x1", "y1", "x2", "y2")] == [x(-0.5), 65, x(1), 65]
    square, dot = made.one("rect"), made.one("circle")
    assert float(square.get("x") or 0) + 4.5 == pytest.approx(x(-2), abs=0.01)
    assert float(dot.get("cx") or 0) == x(0.25)
    zero = made.one("line", "zero")
    assert float(zero.get("x1") or 0) == float(zero.get("x2") or 0) == x(0)


def test_a_side_is_named_only_where_the_interval_is_all_on_it() -> None:
    made = drawn(720)
    assert made.one("rect").get("class") == "dot better strong"
    assert made.one("circle").get("class") == "dot even"
    worse = drawn(720, (ForestRow("x", 0.1, 0.2, 0.3),))
    assert worse.one("circle").get("class") == "dot worse"
    # An end at zero may be chance; and where no claim is made, none is drawn.
    assert drawn(720, (ForestRow("x", -1.0, -0.5, 0.0),)).one("circle").get("class") == "dot even"
    assert drawn(720, (ForestRow("x", -1.0, -0.5, -0.1, claim=False),)).one("circle").get("class") == "dot even"


@pytest.mark.parametrize("width", [720, 340])
def test_everything_is_within_the_drawing_and_said_in_words(width: float) -> None:
    made = drawn(width)
    _, _, right, bottom = map(float, (made.one("svg").get("viewbox") or "").split())
    for element in made.all():
        for name, limit in (("x", right), ("x1", right), ("x2", right), ("cx", right), ("y", bottom), ("y2", bottom)):
            if element.get(name):
                assert 0 <= float(element.get(name) or 0) <= limit
    assert "helped: \u22122.000 (\u22123.000 to \u22121.000); may be chance: +0.250" in made.one("desc").text()
    texts = [element.text() for element in made.all("text")]
    assert "+0.250 (\u22120.500 to +1.000)" in texts and "← better" in texts
