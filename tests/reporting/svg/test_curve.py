"""The learning curve: points where they belong, no more of them than can be seen."""

from __future__ import annotations

from acclimate.reporting.svg.curve import LOSS_HEIGHT, TOP, Curve, curve, thinned
from acclimate.reporting.words import Words
from tests.reporting.parsed import Element, parse

DATA = Curve(train=[(0, 4.0), (100, 2.0)], held_out=[(50, 3.0)], rate=[(0, 0.0), (100, 1e-3)])


def drawn(data: Curve, width: float = 720) -> Element:
    return parse(curve(data, Words("en"), id_="c", width=width))


def test_points_are_where_they_belong() -> None:
    made = drawn(DATA)
    train, held_out, rate = (element.get("points") for element in made.all("polyline"))
    # Losses from 2 to 4 have a twentieth of 2 above and below: 2.1 of 2.2 is at 0.1 / 2.2 of the height.
    top, bottom = TOP + LOSS_HEIGHT * 0.1 / 2.2, TOP + LOSS_HEIGHT * 2.1 / 2.2
    assert train == f"46,{top:.2f} 702,{bottom:.2f}"
    assert held_out == f"374,{TOP + LOSS_HEIGHT / 2:g}"
    assert rate is not None and rate.startswith("46,") and rate.split(" ")[1].startswith("702,")
    assert [element.get("cx") for element in made.all("circle")] == ["374"]
    assert "training: 4.000 at step 0, 2.000 at step 100" in made.one("desc").text()
    assert "learning rate (up to 0.001)" in [element.text() for element in made.all("text")]


def test_one_point_and_no_held_out_text() -> None:
    made = drawn(Curve(train=[(5, 1.0)], held_out=[], rate=[]), 340)
    assert len(made.all("polyline")) == 1
    assert "held-out" not in [element.text() for element in made.all("text")]


def test_a_long_run_is_thinned() -> None:
    points = [(float(step), 1.0) for step in range(10_001)]
    few = thinned(points, 5)
    assert few == [(0, 1), (2500, 1), (5000, 1), (7500, 1), (10000, 1)]
    made = drawn(Curve(points, points, points))
    assert all(len((line.get("points") or "").split()) <= 400 for line in made.all("polyline"))
    assert len(made.all("circle")) <= 60
