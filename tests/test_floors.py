"""The floors of the design: a module imports only from floors below its own, and the start is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import acclimate

ROOT = Path(acclimate.__file__).parent

# Floor by package or module below `acclimate`. Those of one floor do not import each other, but for floor 0.
FLOORS = {
    **dict.fromkeys(("errors", "artifacts", "recipe", "hub", "progress", "randomness", "hardware", "ranks"), 0),
    "corpus": 1,
    "tokens": 2,
    **dict.fromkeys(("objectives", "models"), 3),
    **dict.fromkeys(("training", "scoring"), 4),
    **dict.fromkeys(("evaluation", "finetuning", "inference"), 5),
    **dict.fromkeys(("interop", "reporting", "ui", "cluster"), 6),
    "jobs": 7,
    "cli": 8,
    "__main__": 9,
}
# The public names, `acclimate.pretrain` and so on: they may be of any floor, but are imported when they are asked for.
PUBLIC = "__init__"
HEAVY = ("torch", "transformers", "pydantic", "pyarrow")


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def imports(path: Path, root: Path = ROOT) -> Iterator[tuple[str, bool]]:
    """The dotted names within `acclimate` that a module imports anywhere, and whether at its top level.

    `from a import b` gives `a.b`: b may be a module.
    """
    package = ["acclimate", *path.relative_to(root).parts[:-1]]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] == "acclimate":
                yield name.removeprefix("acclimate").removeprefix("."), id(node) in top


def unit(dotted: str) -> str:
    """The package or module of the table that a dotted name belongs to; the name `__version__` belongs to none."""
    first = dotted.split(".")[0]
    return PUBLIC if first in ("", "__version__") else first


def problem(importer: str, imported: str, at_top: bool) -> str | None:
    """Why one unit must not import another, or None."""
    if imported in (PUBLIC, importer):
        return None
    if imported not in FLOORS:
        return f"`{imported}` is in no floor of the table"
    if importer == PUBLIC:
        return "the public names must be imported when they are asked for" if at_top else None
    higher, lower = FLOORS[importer], FLOORS[imported]
    if lower < higher or (lower == higher == 0):
        return None
    return f"floor {higher} imports floor {lower}"


def test_modules_import_only_from_floors_below() -> None:
    found = []
    for path in modules():
        relative = path.relative_to(ROOT)
        importer = unit(".".join(relative.with_suffix("").parts))
        for dotted, at_top in imports(path):
            why = problem(importer, unit(dotted), at_top)
            if why is not None:
                found.append(f"{relative} imports {dotted}: {why}")
    assert not found, "\n".join(found)


def test_every_package_is_on_a_floor() -> None:
    there = {unit(".".join(path.relative_to(ROOT).with_suffix("").parts)) for path in modules()}
    assert there - {PUBLIC} <= FLOORS.keys()
    assert len(there) > 10  # the modules were found


def test_floor_0_has_no_cycles() -> None:
    graph = {
        path.stem: {unit(dotted) for dotted, _ in imports(path)} - {PUBLIC}
        for path in modules()
        if FLOORS.get(path.relative_to(ROOT).with_suffix("").parts[0]) == 0
    }
    assert graph.keys() == {name for name, floor in FLOORS.items() if floor == 0}
    while graph:
        free = {name for name, needed in graph.items() if not needed & graph.keys()}
        assert free, f"these import each other in a circle: {sorted(graph)}"
        graph = {name: needed for name, needed in graph.items() if name not in free}


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("tokens/store.py", "from acclimate.corpus import Corpus", None),
        ("tokens/store.py", "import acclimate.training.trainer", "floor 2 imports floor 4"),
        ("tokens/store.py", "def f():\n    from acclimate.models import loading", "floor 2 imports floor 3"),
        ("tokens/store.py", "if TYPE_CHECKING:\n    from acclimate.cli import main", "floor 2 imports floor 8"),
        ("tokens/store.py", "from . import packing", None),
        ("tokens/store.py", "from .. import models", "floor 2 imports floor 3"),
        ("tokens/store.py", "from ..scoring.score import score", "floor 2 imports floor 4"),
        ("corpus/readers/json.py", "from ..sources.base import Source", None),
        ("corpus/readers/json.py", "from ...tokens import store", "floor 1 imports floor 2"),
        ("models/loading.py", "from acclimate.objectives import OBJECTIVES", "floor 3 imports floor 3"),
        ("training/trainer.py", "from acclimate import scoring", "floor 4 imports floor 4"),
        ("inference/fill.py", "from acclimate.evaluation import evaluate", "floor 5 imports floor 5"),
        ("hub.py", "from acclimate.errors import AcclimateError", None),
        ("hub.py", "from acclimate.corpus import Corpus", "floor 0 imports floor 1"),
        ("hub.py", "from acclimate import __version__", None),
        ("cli/run.py", "from acclimate.cli.pretrain import SETTINGS_HELP", None),
        ("jobs/run.py", "from acclimate.cli import main", "floor 7 imports floor 8"),
        ("corpus/x.py", "from acclimate.utilities import x", "`utilities` is in no floor of the table"),
        ("__init__.py", "from acclimate.jobs.pretrain import pretrain", "the public names must be imported when"),
        ("__init__.py", "def f():\n    from acclimate.jobs.pretrain import pretrain", None),
    ],
)
def test_this_test_sees_what_it_should(tmp_path: Path, file: str, source: str, expected: str | None) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    ((dotted, at_top),) = imports(path, tmp_path)
    found = problem(unit(".".join(Path(file).with_suffix("").parts)), unit(dotted), at_top)
    assert (found or "").startswith(expected or "") and (found is None) == (expected is None)


def loaded_after(code: str) -> set[str]:
    """Which of the heavy libraries a fresh Python has imported after some code."""
    tell = f"import sys; print('LOADED', *[name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", f"{code}\n{tell}"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.splitlines()[-1].split()[1:])


def test_the_import_is_light() -> None:
    assert loaded_after("import acclimate") == set()


@pytest.mark.parametrize("command", [["--help"], ["corpus", "build", "--help"], ["pretrain", "--help"]])
def test_help_is_light(command: list[str]) -> None:
    code = f"""
import sys
from acclimate.cli.main import main
sys.argv = ["acclimate", *{command!r}]
try:
    main()
except SystemExit as exit:
    assert not exit.code
"""
    # Typer itself checks the arguments of a verb with pydantic.
    assert loaded_after(code) - ({"pydantic"} if len(command) > 1 else set()) == set()


def test_corpora_and_tokens_need_no_torch() -> None:
    assert not loaded_after("import acclimate.corpus, acclimate.tokens, acclimate.tokens.store") & {
        "torch",
        "transformers",
    }
