"""The documentation is held to the code: settings and defaults, tables, commands and options, Python, links."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml
from pydantic.fields import FieldInfo

from acclimate.cli import main as cli
from acclimate.corpus import CorpusSettings, PairSettings, SourceSettings
from acclimate.evaluation.settings import EvaluationSettings
from acclimate.jobs.recipes import (
    _NOT_IDENTITY,
    _TRAINING_NOT_IDENTITY,
    ObjectiveSection,
    Recipe,
    parse_overrides,
)
from acclimate.jobs.replay import ReplaySettings
from acclimate.models.heads import HEADS
from acclimate.models.settings import AdapterSettings, ModelSettings
from acclimate.objectives import OBJECTIVES
from acclimate.recipe import Section
from acclimate.tokens.settings import TokenizerSettings
from acclimate.training.compute import ComputeSettings
from acclimate.training.settings import OWNED, RENAMED, training_fields

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "recipes").glob("*.md")})
RECIPES_PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def part(text: str, heading: str) -> str:
    """The part of a page under a heading, up to the next one."""
    assert f"\n{heading}\n" in text, f"there is no heading {heading!r}"
    return re.split(r"\n#+ ", text.split(f"\n{heading}\n", 1)[1], maxsplit=1)[0]


def tables(text: str) -> list[list[list[str]]]:
    """The tables of a text: rows of cells, without the heads."""
    blocks = re.findall(r"(?:^\|.*\|\n?)+", text, flags=re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]] for block in blocks
    ]


def in_code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


# ---- settings -------------------------------------------------------------------------------------------------------

# The options of objectives, each class once; `clm` has none.
_OPTIONS = [
    settings
    for settings in dict.fromkeys(objective.Settings for objective in OBJECTIVES.values())
    if settings.model_fields
]

# Each section of a recipe, and where its table is: the heading, and which of the tables below it.
SECTIONS: list[tuple[type[Section], str, int]] = [
    (Recipe, "## The top of a recipe", 0),
    (ModelSettings, "## `model`", 0),
    (TokenizerSettings, "## `tokenizer`", 0),
    (CorpusSettings, "## `corpus`", 0),
    (SourceSettings, "### `corpus.sources`", 0),
    (PairSettings, "### `corpus.sources.pair`", 0),
    (ObjectiveSection, "## `objective`", 0),
    *((settings, "## `objective`", place) for place, settings in enumerate(_OPTIONS, start=1)),
    (ComputeSettings, "## `compute`", 0),
    (AdapterSettings, "## `adapter`", 0),
    (EvaluationSettings, "## `evaluation`", 0),
]


def all_sections(section: type[Section] = Section) -> Iterator[type[Section]]:
    for child in section.__subclasses__():
        if child.__module__.startswith("acclimate."):
            yield child
            yield from all_sections(child)


def test_every_section_has_a_table() -> None:
    documented = {section for section, _, _ in SECTIONS}
    # General text has the keys of a corpus, which the page says in words.
    undocumented = {section.__name__ for section in set(all_sections()) - documented if section.model_fields}
    assert undocumented == {"GeneralSettings", "ReplaySettings"}
    (replay,) = tables(part(RECIPES_PAGE, "## `replay`"))
    assert [row[0].strip("`") for row in replay] == sorted(
        ReplaySettings.model_fields.keys() - CorpusSettings.model_fields
    )
    assert "It has the keys of [`corpus`](#corpus), with a `held_out` of `0.0`" in RECIPES_PAGE
    assert "`evaluation.general` has the keys of [`corpus`](#corpus), with a `held_out` of `0.5`" in RECIPES_PAGE


@pytest.mark.parametrize(("section", "heading", "place"), SECTIONS, ids=lambda value: getattr(value, "__name__", ""))
def test_every_setting_has_its_row_and_default(section: type[Section], heading: str, place: int) -> None:
    rows = tables(part(RECIPES_PAGE, heading))[place]
    assert sorted(row[0].strip("`") for row in rows) == sorted(section.model_fields)
    for key, default, meaning in rows:
        field = section.model_fields[key.strip("`")]
        assert meaning, key
        assert_default(key, field, default)


def assert_default(key: str, field: FieldInfo, cell: str) -> None:
    """A default of plain data stands in the cell as YAML; one that is worked out is told in words, or is left empty."""
    if field.is_required():
        assert cell == "required", key
    elif field.default is None or isinstance(field.default, Section):
        assert cell != "required", key
    else:
        assert yaml.safe_load(cell.strip("`")) == field.default, key


def test_every_key_refused_under_training_is_named() -> None:
    (rows,) = tables(part(RECIPES_PAGE, "### Refused under `training`, and why"))
    named = [key for row in rows for key in in_code(row[0])]
    assert sorted(named) == sorted(OWNED)


def test_every_former_name_is_told() -> None:
    (rows,) = tables(part(RECIPES_PAGE, "### Names of older recipes"))
    named = {key for row in rows for key in in_code(row[0])}
    assert RENAMED.keys() <= named
    assert named <= {*RENAMED, *Recipe.RENAMED}
    for row in rows:  # what is to be written instead is there to write
        for new in in_code(row[1]):
            key = new.split(":")[0].split(".")[0]
            assert key.isupper() or key in {*training_fields(), *Recipe.model_fields, "hf upload", "unit"}, new


def test_what_may_change_on_resume_is_told() -> None:
    told = set(in_code(part(RECIPES_PAGE, "## Identity: which run is it?").split("Free to change", 1)[1]))
    assert told >= {*_NOT_IDENTITY, *_TRAINING_NOT_IDENTITY} - {"output_dir"}
    assert told <= {*_NOT_IDENTITY, *_TRAINING_NOT_IDENTITY, "training"}


# ---- objectives -----------------------------------------------------------------------------------------------------


def test_every_objective_has_its_row() -> None:
    rows = tables(text_of(ROOT / "docs" / "objectives.md"))[0]
    assert [row[0] for row in rows] == [f"`{name}`" for name in OBJECTIVES]
    for row, objective in zip(rows, OBJECTIVES.values(), strict=True):
        assert len(row) == 6 and all(row)
        assert HEADS[objective.head] in row[2] and all(family in row[2] for family in objective.families)
        for identifier in re.findall(r"arXiv:([\d.]+\d)", objective.paper):
            assert identifier in row[5]


# ---- commands -------------------------------------------------------------------------------------------------------

Place = tuple[str, str]  # where it is written, and what


def snippets() -> Iterator[Place]:
    """Every stretch of code in the pages that begins with the command: lines of blocks, and words in backticks."""
    for page in PAGES:
        lines = re.sub(r"\\\n\s*", "", text_of(page)).splitlines()
        for number, line in enumerate(lines, start=1):
            where = f"{page.relative_to(ROOT)}, about line {number}"
            if re.match(r"(?: {4}|#)? *(?:\$ )?acclimate [a-z]", line) and not line.startswith("acclimate "):
                yield where, re.sub(r"^[ #$]*", "", line)
            else:
                yield from ((where, code) for code in in_code(line) if code.startswith("acclimate "))
    for path in (ROOT / "recipes").glob("*.yaml"):
        text = re.sub(r"\\\n#\s*", "", text_of(path))
        yield from ((path.name, line[1:].strip()) for line in text.splitlines() if line.startswith("#   acclimate "))


COMMANDS = sorted(set(snippets()))


def find_command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that words name, and what follows it."""
    command: Any = typer.main.get_command(cli.app)
    while words and isinstance(getattr(command, "commands", None), dict):
        if words[0].startswith("-"):
            break
        assert words[0] in command.commands, f"there is no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def test_the_pages_have_commands() -> None:
    named = {" ".join(code.split()[1:2]) for _, code in COMMANDS}
    assert named >= {"corpus", "pretrain", "run", "evaluate", "fill", "demo"}


@pytest.mark.parametrize(("where", "code"), COMMANDS)
def test_every_command_and_option_exists(where: str, code: str) -> None:
    words = [word for word in shlex.split(code, comments=True) if word != "…"]
    command, arguments = find_command(words[1:])
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for word in arguments:
        if word.startswith("-") and len(word) > 1:
            assert word.split("=")[0] in {*known, "--help", "-h"}, f"{where}: {code}"


def settings_in_commands() -> Iterator[tuple[str, str, str]]:
    for where, code in COMMANDS:
        _, arguments = find_command(shlex.split(code, comments=True)[1:])
        for word in arguments:
            # The walk-through shows misspelt ones on purpose.
            if re.match(r"[a-z][\w.]*=", word) and not re.match(r"trainng|max_lenght|training\.lr=", word):
                yield where, code, word


@pytest.mark.parametrize(("where", "code", "setting"), sorted(settings_in_commands()))
def test_every_setting_in_a_command_exists(where: str, code: str, setting: str) -> None:
    ((path, _),) = parse_overrides([setting]).items()
    if code.startswith("acclimate corpus build"):
        assert path in {*CorpusSettings.model_fields, *SourceSettings.model_fields}, where
        return
    top, _, rest = path.partition(".")
    assert top in Recipe.model_fields, where
    if top == "training":
        assert rest in training_fields(), where
    elif top == "objective" and rest:
        assert any(rest in objective.Settings.model_fields for objective in OBJECTIVES.values()), where
    elif rest:
        last = rest.rpartition(".")[2]
        fields = (CorpusSettings, SourceSettings, EvaluationSettings, ModelSettings, TokenizerSettings)
        assert any(last in section.model_fields for section in fields), where


def test_make_targets_are_the_documented_ones() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), flags=re.MULTILINE))
    rows = tables(text_of(ROOT / "CONTRIBUTING.md"))[0]
    assert {row[0].strip("`").removeprefix("make ") for row in rows} == targets - {"install"}
    for page in PAGES:
        assert set(re.findall(r"^    make ([a-z-]+)", text_of(page), flags=re.MULTILINE)) <= targets, page


# ---- messages -------------------------------------------------------------------------------------------------------


def refusals(page: str) -> list[tuple[str, str]]:
    """Each command of the walk-through that is refused, and the first line of the message that is quoted."""
    text = text_of(ROOT / "docs" / page)
    return re.findall(r"^    \$ (acclimate .*)\n    (acclimate: .*)$", text, flags=re.MULTILINE)


def test_both_walk_throughs_quote_the_same() -> None:
    assert len(refusals("first-steps.md")) == 6
    assert refusals("first-steps.md") == refusals("first-steps.zh-CN.md")


@pytest.mark.parametrize(("command", "message"), refusals("first-steps.md"))
def test_what_is_quoted_is_what_is_said(
    command: str,
    message: str,
    tiny_bert: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from acclimate.corpus import build_corpus

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.md").write_text("# To do\n")
    build_corpus(CorpusSettings(sources=[SourceSettings(path="notes")], min_chars=0), "corpora/notes")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "notes").symlink_to(tiny_bert)
    words = [str(tiny_bert) if word == "MODEL" else word for word in shlex.split(command)]
    words += ["max_length=64"] if "MODEL" in command else []  # what the tiny model has positions for
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert message.partition("…")[0] in capsys.readouterr().err


# ---- Python and links -----------------------------------------------------------------------------------------------


def python_blocks() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for number, block in enumerate(re.findall(r"```python\n(.*?)```", text_of(page), flags=re.DOTALL)):
            yield f"{page.relative_to(ROOT)}, block {number}", block


@pytest.mark.parametrize(("where", "code"), list(python_blocks()))
def test_every_name_in_python_exists(where: str, code: str) -> None:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == [], where
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "acclimate":
            assert hasattr(importlib.import_module("acclimate"), node.attr), where


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+://", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target
