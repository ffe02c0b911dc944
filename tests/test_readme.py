"""The annotated tree of the README: every path in it exists, and no module is missing from it."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
READMES = ("README.md", "README.zh-CN.md")
PACKAGE = ROOT / "src" / "acclimate"


def tree(readme: Path) -> list[tuple[str, str]]:
    """(path, note) of each line of the fenced block that starts at `src/acclimate/`; folders end with a slash."""
    _, _, rest = readme.read_text(encoding="utf-8").partition("```text\nsrc/acclimate/")
    block, fence, _ = f"src/acclimate/{rest}".partition("\n```")
    assert fence, f"{readme.name} has no tree"
    folders: list[str] = []
    found = []
    for line in block.splitlines():
        name, _, note = line.strip().partition(" ")
        depth = (len(line) - len(line.lstrip())) // 2
        path = "".join([*folders[:depth], name])
        if name.endswith("/"):
            folders = [*folders[:depth], name]
        found.append((path, note.strip()))
    return found


@pytest.fixture(params=READMES)
def paths(request: pytest.FixtureRequest) -> list[tuple[str, str]]:
    return tree(ROOT / request.param)


def test_every_path_of_the_tree_exists(paths: list[tuple[str, str]]) -> None:
    missing = [path for path, _ in paths if not (ROOT / path).exists() or (ROOT / path).is_dir() != path.endswith("/")]
    assert not missing


def test_every_line_of_the_tree_says_what_is_there(paths: list[tuple[str, str]]) -> None:
    assert [path for path, note in paths if not note and path != "src/acclimate/"] == []


def test_no_line_is_there_twice(paths: list[tuple[str, str]]) -> None:
    names = [path for path, _ in paths]
    assert len(names) == len(set(names))


def test_every_package_and_module_is_in_the_tree(paths: list[tuple[str, str]]) -> None:
    modules = {
        f"{path.parent.relative_to(ROOT).as_posix()}/"
        if path.name == "__init__.py" and path.parent != PACKAGE
        else path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*.py")
    }
    assert len(modules) > 50  # they were found
    assert modules - {path for path, _ in paths} == set()
