"""Markdown files: text or source, front matter, units."""

from __future__ import annotations

from pathlib import Path

import pytest

from acclimate.corpus.readers.markdown import parse_front_matter
from tests.corpus.conftest import Read


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bom.md", "Tides\n\nThe sea rises twice a day."),
        ("crlf.md", "Harbours\n\nA harbour keeps ships\nsafe from wind."),
        ("lone-cr.md", "One line\nand the next\n\nend"),
        ("no-break-space.md", "Ten\u00a0knots are 18.5\u00a0km/h."),
        ("zero-width.md", "zero\u200bwidth and soft\u00adhyphen"),
        ("no-final-newline.md", "The file ends here"),
        ("~/empty.md", ""),
        ("odd-fence.md", "Before\n\nls -l\n\nThe fence is never closed."),
        ("long-line.md", ("wave " * 500).strip()),
        ("include.md", "Setup\n\nRopes must be dry."),
        ("directives.md", "Hoist the sail.\n\nA red sail."),
        ("comments.md", "Fore  and aft.\n\nKeel."),
        ("front-matter.md", "Bowline\n\nThe bowline makes a fixed loop."),
    ],
)
def test_oddities(read: Read, oddities: Path, name: str, text: str) -> None:
    (piece,) = read(name, (oddities / name).read_bytes())
    assert piece.text == text


def test_source_is_kept_as_it_is(read: Read, oddities: Path) -> None:
    content = (oddities / "front-matter.md").read_text()
    (piece,) = read("a.md", content, markdown="source")
    assert (piece.text, piece.metadata, piece.removed) == (content, {}, {})


def test_front_matter_goes_to_the_metadata(read: Read, oddities: Path) -> None:
    (piece,) = read("a.md", (oddities / "front-matter.md").read_bytes())
    assert piece.metadata == {"front_matter": {"title": "Knots", "ms.date": "2024-05-01", "tags": ["rope", "loop"]}}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("a: 1", {"a": 1}),
        ("a: *b", "a: *b"),
        ("a: [", "a: ["),
        ("x: &x [a]\ny: [*x, *x]", "x: &x [a]\ny: [*x, *x]"),  # aliases can stand for gigabytes
        ("a: 2*3", {"a": "2*3"}),
        ("date: 2024-13-45", "date: 2024-13-45"),
        ("", None),
    ],
)
def test_parsing_front_matter(source: str, value: object) -> None:
    assert parse_front_matter(source) == value


def test_passages_of_markdown(read: Read) -> None:
    content = "---\nt: 1\n---\n# A\n\n*b*\n\nc\n"
    pieces = read("a.md", content, unit="paragraph")
    assert [piece.text for piece in pieces if piece.documents] == ["A", "b", "c"]
    assert all(piece.metadata == {"front_matter": {"t": 1}} for piece in pieces if piece.documents)
    assert sum(piece.characters for piece in pieces) == len(content)
