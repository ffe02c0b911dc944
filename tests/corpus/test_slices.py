"""Parts of a source."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.corpus.slices import Part, parse_split


@pytest.mark.parametrize(
    ("split", "part"),
    [
        ("train", Part("train")),
        ("[:5]", Part(stop=5)),
        ("train[10:20]", Part("train", 10, 20)),
        ("train[-5:]", Part("train", -5)),
        ("my-split.v1[5%:10%]", Part("my-split.v1", 5, 10, True, True)),
        (" train [ 1_000 : ] ", Part("train", 1000)),
    ],
)
def test_reading(split: str, part: Part) -> None:
    assert parse_split(split) == [part]


def test_several_parts() -> None:
    assert parse_split("train[:1]+test") == [Part("train", stop=1), Part("test")]


@pytest.mark.parametrize("split", ["", "train[", "train[1]", "train[:120%]", "train[:x]", "a b", "train+"])
def test_what_cannot_be_read(split: str) -> None:
    with pytest.raises(ValueError, match="split|asks for"):
        parse_split(split)


@given(st.one_of(st.none(), st.integers(-30, 30)), st.one_of(st.none(), st.integers(-30, 30)), st.integers(0, 20))
def test_bounds_are_those_of_python(start: int | None, stop: int | None, total: int) -> None:
    units = list(range(total))
    first, last = Part(start=start, stop=stop).bounds(total)
    assert units[first:last] == units[start:stop]


def test_percents_are_rounded_to_the_nearest() -> None:
    # a third of 10 units is 3.3, two thirds are 6.7
    assert Part(start=33, stop=67, start_percent=True, stop_percent=True).bounds(10) == (3, 7)
