"""The flow of characters: heights are sums, and sums agree."""

from __future__ import annotations

import pytest

from acclimate.reporting.svg.flow import HEIGHT, Flow, Node, draw_flow
from acclimate.reporting.words import Words
from tests.reporting.parsed import parse

FLOW = Flow(
    sources=[Node("a", 70), Node("b", 30)],
    middle=[Node("kept", 80), Node("short", 20, lost=True)],
    ends=[Node("training", 72, "15 tokens"), Node("held out", 8)],
    first={(0, 0): 60, (0, 1): 10, (1, 0): 20, (1, 1): 10},
    second={(0, 0): 72, (0, 1): 8},
)


def test_sums_agree() -> None:
    FLOW.check()


@pytest.mark.parametrize(
    "change",
    [
        {"sources": [Node("a", 71), Node("b", 30)]},
        {"middle": [Node("kept", 80), Node("short", 21, lost=True)]},
        {"ends": [Node("training", 72), Node("held out", 9)]},
        {"second": {(0, 0): 72, (0, 1): 8, (1, 1): 20}},
    ],
)
def test_sums_that_do_not_agree_are_a_bug(change: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        Flow(**{**vars(FLOW), **change}).check()


@pytest.mark.parametrize("width", [720, 340])
def test_heights_are_characters(width: float) -> None:
    made = parse(draw_flow(FLOW, Words("en"), id_="f", width=width))
    heights = [float(element.get("height") or 0) for element in made.all("rect")]
    assert heights == [HEIGHT * share for share in (0.7, 0.3, 0.8, 0.2, 0.72, 0.08)]
    assert len(made.all("path")) == 6
    assert [element.get("class") for element in made.all("path", "lost")] == ["link lost"] * 2
    _, _, _, bottom = map(float, (made.one("svg").get("viewbox") or "").split())
    assert all(0 <= float(element.get("y") or 0) <= bottom for element in made.all("text"))
    texts = [element.text() for element in made.all("text")]
    assert "15 tokens" in texts and "training" in texts
    assert "a: 70; b: 30; kept: 80; short: 20; training: 72; held out: 8" in made.one("desc").text()


def test_labels_do_not_overlap() -> None:
    reasons = [Node(f"reason {number}", 1, lost=True) for number in range(5)]
    flow = Flow(
        sources=[Node("a", 1000)],
        middle=[Node("kept", 995), *reasons],
        ends=[Node("training", 990, "9 tokens"), Node("held out", 5, "1 token")],
        first={(0, 0): 995, **{(0, place): 1 for place in range(1, 6)}},
        second={(0, 0): 990, (0, 1): 5},
    )
    flow.check()
    for width in (720, 340):
        made = parse(draw_flow(flow, Words("en"), id_="f", width=width))
        for column in {element.get("x") for element in made.all("text")}:
            lines = sorted(float(text.get("y") or 0) for text in made.all("text") if text.get("x") == column)
            assert min(b - a for a, b in zip(lines, lines[1:], strict=False)) >= 13
