"""Patterns of file names."""

from __future__ import annotations

import pytest

from acclimate.corpus.sources.globs import compile_globs, has_magic, split_base


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*.md", ["a.md", "b/c/a.md"], ["a.mdx", "a.txt"]),
        ("/*.md", ["a.md"], ["b/a.md"]),
        ("docs/*.md", ["docs/a.md"], ["docs/b/a.md", "x/docs/a.md"]),
        ("docs/**/*.md", ["docs/a.md", "docs/b/c/a.md"], ["a.md"]),
        ("**/a.md", ["a.md", "b/a.md"], ["ba.md"]),
        ("docs/**", ["docs/a", "docs/b/c"], ["a"]),
        ("docs/", ["docs/a", "x/docs/b/c"], ["docs", "docsx/a"]),
        ("?[ab].t", ["xa.t", "yb.t"], ["a.t", "xc.t", "/a.t"]),
        ("[!a]x", ["bx"], ["ax", "/x"]),
        ("a.(b)+", ["a.(b)+"], ["a.bb", "axb"]),
        ("[x", ["[x"], ["x"]),
        ("./a/b", ["a/b"], ["b"]),
    ],
)
def test_patterns(pattern: str, matching: list[str], others: list[str]) -> None:
    wanted = compile_globs((pattern,))
    assert [name for name in matching if not wanted.fullmatch(name)] == []
    assert [name for name in others if wanted.fullmatch(name)] == []


@pytest.mark.parametrize(
    ("pattern", "base", "rest"),
    [
        ("docs/a/**/*.md", "docs/a", "**/*.md"),
        ("*.md", ".", "*.md"),
        ("/srv/*/a", "/srv", "*/a"),
        ("/*.md", "/", "*.md"),
    ],
)
def test_where_the_search_begins(pattern: str, base: str, rest: str) -> None:
    assert has_magic(pattern)
    assert split_base(pattern) == (base, rest)
