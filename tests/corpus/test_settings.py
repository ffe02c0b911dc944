"""Settings of sources and corpora."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acclimate.corpus import CorpusSettings, SourceSettings
from acclimate.corpus.settings import without_secrets
from acclimate.errors import RecipeError
from acclimate.recipe import validate


@pytest.mark.parametrize(
    ("settings", "kind", "location"),
    [
        ({"path": "docs"}, "files", "docs"),
        ({"path": "docs/**/*.md"}, "files", "docs/**/*.md"),
        ({"path": "https://example.org/a/b.git"}, "git", "https://example.org/a/b.git"),
        ({"path": "git+https://example.org/a/b"}, "git", "https://example.org/a/b"),
        ({"path": "git@example.org:a/b.git"}, "git", "git@example.org:a/b.git"),
        ({"path": "ssh://git@example.org/a/b"}, "git", "ssh://git@example.org/a/b"),
        ({"path": "file:///srv/b.git"}, "git", "file:///srv/b.git"),
        ({"git": "some/folder"}, "git", "some/folder"),
        ({"path": "hf://datasets/org/name"}, "dataset", "org/name"),
        ({"dataset": "org/name"}, "dataset", "org/name"),
        ({"path": "saved", "format": "dataset"}, "dataset", "saved"),
    ],
)
def test_kinds(settings: dict[str, Any], kind: str, location: str) -> None:
    source = SourceSettings(**settings)
    assert (source.kind, source.location) == (kind, location)


@pytest.mark.parametrize(
    ("sources", "paths"),
    [("docs", ["docs"]), ({"path": "docs"}, ["docs"]), (["a", {"path": "b"}], ["a", "b"]), (Path("docs"), ["docs"])],
)
def test_short_forms_of_sources(sources: Any, paths: list[str]) -> None:
    assert [source.path for source in CorpusSettings(sources=sources).sources] == paths


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "exactly one of path, git and dataset; found none"),
        ({"path": "a", "git": "b"}, "found path and git"),
        ({"path": "a", "revision": "main"}, "revision has no meaning for a"),
        ({"dataset": "a/b", "glob": "*.md"}, "glob has no meaning for a/b"),
        ({"path": "a", "encoding": "utf-9"}, "utf-9"),
        ({"path": "a", "encoding": "rot13"}, "rot13"),
        ({"path": "a", "split": "train[1]"}, "no split"),
        ({"path": "a", "limit": 0}, "greater than or equal to 1"),
        ({"path": "a", "unit": "page"}, "'line'"),
        ({"path": "a", "url": "b"}, "write `git:`"),
        ({"path": "a", "text_feild": "b"}, "did you mean `sources.0.text_field`"),
    ],
)
def test_mistakes_are_named(source: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        validate(CorpusSettings, {"sources": [source]}, "recipe.yaml")
    assert "sources.0" in str(caught.value)
    assert message in str(caught.value)


def test_mistakes_are_told_all_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        validate(CorpusSettings, {"held_out": 2, "min_char": 3, "sources": [{}]}, "recipe.yaml")
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@example.org/a.git", "https://example.org/a.git"),
        ("git+https://token@example.org/a", "git+https://example.org/a"),
        ("git@example.org:a.git", "git@example.org:a.git"),
        ("https://example.org/@scope/a.git", "https://example.org/@scope/a.git"),
    ],
)
def test_addresses_are_shown_without_passwords(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
