"""Scales, ticks and texts that fit."""

from __future__ import annotations

import pytest

from acclimate.reporting.svg.base import NARROW, WIDE, Scale, digits_of, figure, fit, frame, label, length, px, ticks
from tests.reporting.parsed import parse


def test_a_scale_is_linear() -> None:
    scale = Scale(-2.0, 2.0, 100.0, 300.0)
    assert [scale(value) for value in (-2, 0, 1, 2)] == [100, 200, 250, 300]
    # Upside down, as loss is drawn; and a range of nothing.
    assert Scale(0.0, 1.0, 50.0, 10.0)(0.25) == 40
    assert Scale(3.0, 3.0, 0.0, 10.0)(3.0) == 5


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 10, 5, [0, 2, 4, 6, 8, 10]),
        (-4.2, 0.2, 6, [-4, -3, -2, -1, 0]),
        (0.12, 0.38, 3, [0.2, 0.3]),
        (0, 200, 6, [0, 50, 100, 150, 200]),
        (3.0, 3.0, 5, [3.0]),
    ],
)
def test_ticks_are_round(low: float, high: float, most: int, expected: list[float]) -> None:
    assert ticks(low, high, most) == expected


def test_digits_tell_ticks_apart() -> None:
    assert digits_of([0.0, 0.2, 0.4]) == 1 and digits_of([0, 50, 100]) == 0 and digits_of([0.05, 0.1]) == 2
    assert digits_of([1.0]) == 0


def test_texts_are_cut_to_their_room() -> None:
    assert length("a") < length("字") == 12.0
    assert fit("abc", 100) == "abc"
    cut = fit("a long name of a document", 60)
    assert cut.endswith("…") and length(cut) <= 60 and cut.startswith("a lo")
    path = fit("docs/articles/pools.md", 80, keep_end=True)
    assert path.startswith("…") and path.endswith("pools.md") and length(path) <= 80


def test_coordinates_are_short() -> None:
    assert [px(value) for value in (1.0, 1.5, 1 / 3, -0.001, 100)] == ["1", "1.5", "0.33", "0", "100"]


def test_a_drawing_says_what_it_shows_and_is_there_for_both_widths() -> None:
    def draw(width: float) -> object:
        return frame([label("<x>", 1, 2)], id_=f"d-{px(width)}", title="T", description="D", width=width, height=9)

    made = parse(figure(draw, "below"))  # type: ignore[arg-type]
    wide, narrow = made.all("svg")
    assert (wide.get("class"), narrow.get("class")) == ("wide", "narrow")
    assert (wide.get("viewbox"), narrow.get("viewbox")) == (f"0 0 {WIDE} 9", f"0 0 {NARROW} 9")
    ids = [element.get("id") for element in made.all() if element.get("id")]
    assert len(ids) == len(set(ids)) == 4
    assert wide.get("aria-labelledby") == "d-720-title d-720-text" and wide.get("role") == "img"
    assert wide.one("text").text() == "<x>" and made.one("figcaption").text() == "below"
