"""Drawings within tables."""

from __future__ import annotations

from acclimate.reporting.svg.small import dumbbell, share_bar
from tests.reporting.parsed import parse


def test_a_dumbbell_goes_from_before_to_after() -> None:
    ring, dot = parse(dumbbell(0.1, 0.5)).all("circle")
    assert (ring.get("cx"), dot.get("cx")) == ("14", "50") and dot.get("class") == "dot better"
    assert parse(dumbbell(0.5, 0.5)).all("circle")[1].get("class") == "dot even"
    assert parse(dumbbell(0.5, 0.1)).all("circle")[1].get("class") == "dot worse"


def test_a_share_is_a_bar() -> None:
    assert parse(share_bar(0.25)).all("rect")[1].get("width") == "15"
    assert parse(share_bar(1.5)).all("rect")[1].get("width") == "60"
