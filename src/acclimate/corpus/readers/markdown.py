"""Markdown: read with a real parser into the text that a reader of the rendered page would see.

Headings, paragraphs, list items with their markers, table cells and code are kept; front matter goes to the
metadata; comments, tags, the targets of links, directives and markup are dropped, each under its own reason. Every
piece of text is found again in the source (markdown-it gives the lines of blocks and the order of what is in them),
so the account is one of characters, not a difference of lengths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import yaml

from acclimate.corpus.pieces import Piece
from acclimate.corpus.readers.base import SourceFile
from acclimate.corpus.readers.markdown_text import PlainText, plain_text
from acclimate.corpus.readers.records import plain
from acclimate.corpus.readers.text import read_text, split_units, whole_file
from acclimate.corpus.settings import SourceSettings


def read_markdown(file: SourceFile, settings: SourceSettings) -> Iterator[Piece]:
    """The pieces of a Markdown file: the file, or the lines or passages of its text."""
    if settings.markdown == "source":
        yield from read_text(file, settings)
        return
    piece = whole_file(file, settings)
    if piece.dropped is None:
        _render(piece)
    if piece.dropped is not None or settings.unit in ("auto", "file"):
        yield piece
        return
    # What the markup cost belongs to the file, not to one of its lines.
    digest = hashlib.blake2b(piece.text.encode("utf-8"), digest_size=16).digest()
    text, piece.text = piece.text, ""
    piece.characters -= len(text)
    yield replace(piece, documents=0, metadata={})
    for unit in split_units(_lines(text), settings.unit, digest):
        unit.metadata = piece.metadata
        yield unit


def _lines(text: str) -> list[str]:
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _render(piece: Piece) -> None:
    rendered: PlainText = plain_text(piece.text)
    piece.text = rendered.text
    piece.added += rendered.added
    for reason, characters in rendered.removed.items():
        piece.removed[reason] = piece.removed.get(reason, 0) + characters
    if rendered.front_matter is not None:
        piece.metadata["front_matter"] = parse_front_matter(rendered.front_matter)


def parse_front_matter(source: str) -> Any:
    """The front matter as plain data where it is YAML, else as it is written.

    One with aliases stays as it is written, since a few of them can stand for gigabytes of data.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        if "*" in source and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(source, Loader=loader)):
            return source
        return plain(yaml.load(source, Loader=loader))
    except (yaml.YAMLError, ValueError, RecursionError, TypeError):
        return source
