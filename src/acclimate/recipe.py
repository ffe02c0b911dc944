"""Recipes: one complete, named, reviewable YAML file for a run.

This module holds what every section of a recipe shares: how a file and `key=value` overrides are read, and how all
the mistakes in them are told at once, each with its dotted path and the nearest known key. What a section means
stands in the package that carries it out (`corpus/settings.py`, `training/settings.py`, …), as a subclass of
`Section`; `jobs/recipes.py` puts the sections together.
"""

from __future__ import annotations

import difflib
import re
import reprlib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from acclimate.errors import RecipeError


class Section(BaseModel):
    """A part of a recipe: plain settings, unknown keys refused.

    `SHORTHAND` names the field that a bare value stands for (`objective: mlm` is `objective: {name: mlm}`).
    `RENAMED` maps keys that users may know from elsewhere to what to write here.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), hide_input_in_errors=True)

    SHORTHAND: ClassVar[str | None] = None
    RENAMED: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, value: Any) -> Any:
        return _without_empty(cls, expand_shorthand(cls, value))


S = TypeVar("S", bound=Section)


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Read a recipe file into plain data.

    Raises:
        RecipeError: the file is missing, is no YAML, or is not a mapping.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise RecipeError(f"recipe {path} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path} cannot be read: {error}") from error
    try:
        data = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise RecipeError(f"recipe {path} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise RecipeError(
            f"recipe {path} must be a mapping of settings, such as `model: google-bert/bert-base-uncased`"
        )
    return data


# What a plain scalar is, as in the core schema of YAML 1.2. PyYAML follows YAML 1.1, in which `1e-4` is a string,
# `eval_strategy: no` is false, `12:30` is 750 and `2024-01-01` a date.
_PLAIN_SCALARS = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?(?:0|[1-9][0-9_]*)", "-+0123456789"),
    "float": (
        r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+|[0-9][0-9_]*\.[0-9_]*|\.[0-9]+(?:[eE][-+]?[0-9]+)?"
        r"|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "merge": (r"<<", "<"),
}


_RESOLVERS: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
for _kind, (_pattern, _first_characters) in _PLAIN_SCALARS.items():
    for _character in _first_characters:
        _rule = (f"tag:yaml.org,2002:{_kind}", re.compile(rf"^(?:{_pattern})$"))
        _RESOLVERS.setdefault(_character, []).append(_rule)


class _Loader(yaml.SafeLoader):
    """YAML in which a key given twice, or one that is no plain value, is an error."""

    yaml_implicit_resolvers = _RESOLVERS

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a plain word; put braces and brackets in quotes", key_node.start_mark
                )
            key = key_node.value
            if key in seen and key != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Puts in quotes whatever text a reader of YAML 1.1 or 1.2 would take for something else."""

    yaml_implicit_resolvers = {
        character: [*yaml.SafeDumper.yaml_implicit_resolvers.get(character, []), *_RESOLVERS.get(character, [])]
        for character in {*yaml.SafeDumper.yaml_implicit_resolvers, *_RESOLVERS}
    }

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Line ends of Unicode, which PyYAML writes as they are and takes for `\n` when it reads them, are escaped.
    style = '"' if re.search("[\x85\u2028\u2029]", text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def write_yaml(data: Mapping[str, Any]) -> str:
    """Plain data as YAML that `read_recipe` reads back as the same data."""
    text: str = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Turn `["training.max_steps=500", "seed=3"]` into `{"training.max_steps": 500, "seed": 3}`; values are YAML."""
    parsed: dict[str, Any] = {}
    problems = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key.strip() or any(not part for part in key.strip().split(".")):
            problems.append(f"`{override}`: expected key=value, such as training.max_steps=500")
            continue
        try:
            parsed[key.strip()] = yaml.load(value, Loader=_Loader)
        except yaml.YAMLError as error:
            problems.append(f"`{override}`: the value is not valid YAML ({error})")
    if problems:
        raise RecipeError("settings that cannot be read:", problems)
    return parsed


def apply_overrides(data: Mapping[str, Any], overrides: Mapping[str, Any], schema: type[Section]) -> dict[str, Any]:
    """A copy of `data` in which each dotted path of `overrides` has its new value.

    A shorthand on the way (`objective: mlm` under `objective.unit=word`) is written out first. A number picks from a
    list, counted from 0: `corpus.sources.0.limit=100`.

    Raises:
        RecipeError: lists every path that leads nowhere.
    """
    result: dict[str, Any] = _copy(data)
    problems = []
    for path, value in overrides.items():
        try:
            result = _with(result, path.split("."), value, schema)
        except LookupError as error:
            problems.append(f"`{path}`: {error.args[0]}")
    if problems:
        raise RecipeError("settings that lead nowhere:", problems)
    return result


def _with(node: Any, keys: Sequence[str], value: Any, section: type[Section] | None) -> Any:
    """`node`, which stands where `section` is expected, with `value` at the path `keys` below it."""
    if not keys:
        if section is not None and section.SHORTHAND and isinstance(node, dict) and _is_bare(value):
            return {**node, section.SHORTHAND: value}
        return value
    key, rest = keys[0], keys[1:]
    if key.isdecimal() and section is not None and not isinstance(node, list):
        node = [] if node is None else [node]  # one item is often written without its list
    if isinstance(node, list):
        if not (key.isdecimal() and int(key) < len(node)):
            raise LookupError(f"there is no item {key} in a list of {len(node)}; they are counted from 0")
        items = list(node)
        items[int(key)] = _with(items[int(key)], rest, value, section)
        return items
    if node is None:
        node = {}
    elif not isinstance(node, dict):
        if section is None or section.SHORTHAND is None:
            raise LookupError(f"there is {node!r}, which has no settings below it")
        node = {section.SHORTHAND: node}
    return {**node, key: _with(node.get(key), rest, value, _field_section(section, key))}


def _is_bare(value: Any) -> bool:
    return value is not None and not isinstance(value, (dict, list))


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def expand_shorthand(section: type[Section], value: Any) -> Any:
    """Write a bare value out as the mapping that it stands for."""
    if section.SHORTHAND is not None and value is not None and not isinstance(value, (Mapping, Section)):
        return {section.SHORTHAND: value}
    return value


def _without_empty(section: type[Section], value: Any) -> Any:
    """Leave out sections that are there with nothing in them (`training:` above lines that are commented out)."""
    if not isinstance(value, Mapping):
        return value
    fields = section.model_fields
    return {key: item for key, item in value.items() if item is not None or not _holds_settings(fields.get(key))}


def _holds_settings(field: FieldInfo | None) -> bool:
    annotation = None if field is None else field.annotation
    is_section = isinstance(annotation, type) and issubclass(annotation, Section)
    return is_section or typing.get_origin(annotation) is dict


def raise_problems(where: str, problems: Sequence[str]) -> None:
    """Raise a `RecipeError` that lists all problems, if there are any."""
    if problems:
        raise RecipeError(f"{where} has {len(problems)} mistake{'s' if len(problems) > 1 else ''}:", problems)


def validate(schema: type[S], data: Mapping[str, Any], where: str, *, path: str = "") -> S:
    """Check `data` against `schema`.

    Args:
        schema: the section to build.
        data: plain data, as read from YAML.
        where: named at the head of the error, such as the recipe's file.
        path: dotted path of this section within the recipe.

    Raises:
        RecipeError: lists every mistake with its dotted path and, for unknown keys, the nearest known one.
    """
    raise_problems(where, check(schema, data, path))
    return schema.model_validate(data)


def check(schema: type[Section], data: Any, path: str = "", *, places: Mapping[str, str] | None = None) -> list[str]:
    """Every mistake in `data`, each as `dotted.path: what is wrong and how to mend it`.

    `places` says of keys that `schema` cannot know where they belong: {"max_steps": "training.max_steps"}.
    """
    try:
        schema.model_validate(data)
    except ValidationError as error:
        start = f"{path}." if path else ""
        known: dict[str, str] = {}
        for place in sorted(_paths(schema, start), key=lambda place: place.count(".")):
            known.setdefault(place.rpartition(".")[2], place)
        found: dict[str, list[Any]] = {}
        problems = []
        for detail in error.errors(include_url=False):
            section, dotted = _locate(schema, detail, path)
            if detail["type"] == "extra_forbidden":
                key = str(detail["loc"][-1])
                problems.append(
                    unknown_key(dotted, key, section.model_fields, section.RENAMED, {**known, **(places or {})})
                )
            elif detail["type"] == "missing":
                problems.append(f"`{dotted}` is missing")
            else:
                found.setdefault(dotted, []).append(detail)
        told = [describe(details) for details in found.values()]
        return [
            *problems,
            *(f"`{dotted}`: {text}" if dotted else text for dotted, text in zip(found, told, strict=True)),
        ]
    return []


def _locate(schema: type[Section], detail: Any, prefix: str) -> tuple[type[Section], str]:
    """The section in which a mistake was made, and its dotted path; pydantic's names of union members are left out."""
    *way, last = [str(part) for part in detail["loc"]] or [""]
    section = schema
    named = [prefix] if prefix else []
    for part in way:
        child = _field_section(section, part)
        if part.isdecimal() or part in section.model_fields:
            named.append(part)
        section = child or section
    if detail["type"] in ("extra_forbidden", "missing") or last.isdecimal() or last in section.model_fields:
        named.append(last)
    return section, ".".join(named)


# What was expected, by pydantic's type of mistake, in this package's words.
_EXPECTED = {
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping of settings",
    "model_type": "a mapping of settings",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
}


def describe(details: Sequence[Any]) -> str:
    """What pydantic found wrong with one value (several findings: one for each type that it might have had)."""
    first = details[0]
    if first["type"] == "value_error":
        return str(first["msg"]).removeprefix("Value error, ")
    words = list(dict.fromkeys(_EXPECTED[detail["type"]] for detail in details if detail["type"] in _EXPECTED))
    expected = f"expected {' or '.join(words)}" if words else str(first["msg"])
    quotes = "; put it in quotes" if "text" in words and isinstance(first["input"], (int, float)) else ""
    return f"{expected}, got {reprlib.repr(first['input'])}{quotes}"


# So many known keys are named where none is near; TrainingArguments has a hundred.
_SHOWN = 30


def unknown_key(
    dotted: str, key: str, known: Iterable[str], renamed: Mapping[str, str], places: Mapping[str, str] | None = None
) -> str:
    """The sentence that tells of an unknown key: its new name, the nearest known one, or where the key belongs."""
    if key in renamed:
        return f"`{dotted}` is not a setting here: {renamed[key]}"
    place = (places or {}).get(key)
    if place is not None and place != dotted:
        where = f"belongs at `{place}`" if "." in place else "stands at the top of the recipe"
        return f"unknown key `{dotted}`; `{key}` {where}"
    prefix = dotted[: len(dotted) - len(key)]
    names = sorted(known)
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    if near:
        return f"unknown key `{dotted}`; did you mean `{prefix}{near[0]}`?"
    return f"unknown key `{dotted}`; known here: {', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''}"


def _paths(section: type[Section], prefix: str = "", depth: int = 0) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield prefix + name
        child = _section_in(field.annotation)
        if child is not None and depth < 3:
            item = ".0" if typing.get_origin(field.annotation) is list else ""
            yield from _paths(child, f"{prefix}{name}{item}.", depth + 1)


def _field_section(section: Any, name: str) -> type[Section] | None:
    """The section that a field holds, also within `X | None`, `list[X]` and unions with plain types."""
    if not (isinstance(section, type) and issubclass(section, Section)):
        return None
    field = section.model_fields.get(name)
    return None if field is None else _section_in(field.annotation)


def _section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, list, tuple, typing.Annotated):
        for argument in typing.get_args(annotation):
            found = _section_in(argument)
            if found is not None:
                return found
    return None
