"""Recipes: one complete, named, reviewable YAML file for a run.

This module holds what every section of a recipe shares: how a file and `key=value` overrides are read, and how all
the mistakes in them are told at once, each with its dotted path and the nearest known key. What a section means
stands in the package that carries it out (`corpus/settings.py`, `training/settings.py`, …), as a subclass of
`Section`; `jobs/recipes.py` puts the sections together.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

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
    def _write_out_shorthand(cls, value: Any) -> Any:
        return expand_shorthand(cls, value)


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
        data = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise RecipeError(f"recipe {path} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise RecipeError(
            f"recipe {path} must be a mapping of settings, such as `model: google-bert/bert-base-uncased`"
        )
    return data


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML as in the specification's core: a key given twice is an error, `1e-4` is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML follows, takes 1e-4 for a string; people write learning rates so.
_UniqueKeyLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


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
            parsed[key.strip()] = yaml.load(value, Loader=_UniqueKeyLoader)
        except yaml.YAMLError as error:
            problems.append(f"`{override}`: the value is not valid YAML ({error})")
    if problems:
        raise RecipeError("settings that cannot be read:", problems)
    return parsed


def apply_overrides(data: Mapping[str, Any], overrides: Mapping[str, Any], schema: type[Section]) -> dict[str, Any]:
    """A copy of `data` in which each dotted path of `overrides` has its new value.

    A shorthand on the way (`objective: mlm` under `objective.unit=word`) is written out first.
    """
    result: dict[str, Any] = _copy(data)
    for path, value in overrides.items():
        keys = path.split(".")
        node: dict[str, Any] = result
        section: Any = schema
        for key in keys[:-1]:
            section = _field_section(section, key)
            child = node.get(key)
            if child is None:
                child = {}
            elif not isinstance(child, dict):
                shorthand = section.SHORTHAND if section is not None else None
                if shorthand is None:
                    raise RecipeError(f"`{path}`: `{key}` is {child!r}, which has no settings below it")
                child = {shorthand: child}
            node[key] = child
            node = child
        last = _field_section(section, keys[-1])
        old = node.get(keys[-1])
        if last is not None and last.SHORTHAND and isinstance(old, dict) and not isinstance(value, (dict, type(None))):
            node[keys[-1]] = {**old, last.SHORTHAND: value}
        else:
            node[keys[-1]] = value
    return result


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
        details = error.errors(include_url=False)
        return list(dict.fromkeys(_problem(schema, detail, path, places or {}) for detail in details))
    return []


def _problem(schema: type[Section], detail: Any, prefix: str, places: Mapping[str, str]) -> str:
    location = [str(part) for part in detail["loc"]]
    section = schema
    named: list[str] = []
    for part in location[:-1]:
        child = _field_section(section, part)
        if child is not None:
            section = child
        if part.isdigit() or child is not None or part in section.model_fields:
            named.append(part)
    if location:
        named.append(location[-1])
    dotted = ".".join([*([prefix] if prefix else []), *named])
    if detail["type"] == "extra_forbidden":
        known = {key: place for place in _paths(schema) if (key := place.rpartition(".")[2])}
        return unknown_key(dotted, location[-1], section.model_fields, section.RENAMED, {**known, **places})
    if detail["type"] == "missing":
        return f"`{dotted}` is missing"
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"`{dotted}`: {message}" if dotted else message


def unknown_key(
    dotted: str, key: str, known: Iterable[str], renamed: Mapping[str, str], places: Mapping[str, str] | None = None
) -> str:
    """The sentence that tells of an unknown key: its new name, the nearest known one, or where the key belongs."""
    if key in renamed:
        return f"`{dotted}` is not a setting here: {renamed[key]}"
    place = (places or {}).get(key)
    if place is not None and place != dotted:
        return f"unknown key `{dotted}`; `{key}` belongs at `{place}`"
    prefix = dotted[: len(dotted) - len(key)]
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.6)
    if near:
        return f"unknown key `{dotted}`; did you mean `{prefix}{near[0]}`?"
    return f"unknown key `{dotted}`; known here: {', '.join(sorted(known))}"


def _paths(section: type[Section], prefix: str = "", depth: int = 0) -> Iterator[str]:
    for name in section.model_fields:
        yield prefix + name
        child = _field_section(section, name)
        if child is not None and depth < 3:
            yield from _paths(child, f"{prefix}{name}.", depth + 1)


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
