"""File name patterns as in .gitignore, so that a folder and a repository are searched by the same rule."""

from __future__ import annotations

import re
from functools import cache

from acclimate.errors import SourceError

_MAGIC = re.compile(r"[*?\[]")


def has_magic(path: str) -> bool:
    """Whether a path is a pattern."""
    return _MAGIC.search(path) is not None


def split_base(pattern: str) -> tuple[str, str]:
    """A pattern's leading folders without magic, and the rest: `docs/a/**/*.md` is `("docs/a", "**/*.md")`."""
    parts = pattern.split("/")
    first = next(index for index, part in enumerate(parts) if has_magic(part))
    base = "/".join(parts[:first])
    return base or ("/" if pattern.startswith("/") else "."), "/".join(parts[first:])


@cache
def compile_globs(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """An expression that matches the POSIX paths, relative to the root, which any of the patterns means.

    `*` and `?` stay within a folder, `**` crosses folders, `[a-z]` is one of a set. A pattern without a slash, but for
    one at the end, means that name at any depth; any other one starts at the root. One ending in a slash means all
    that is in the folder.
    """
    try:
        return re.compile("|".join(f"(?:{_translate(pattern)})" for pattern in patterns), re.DOTALL)
    except re.error as error:
        raise SourceError(f"the glob {' '.join(patterns)} cannot be read: {error}") from error


def _translate(pattern: str) -> str:
    anchored = "/" in pattern.rstrip("/")
    pattern = pattern.removeprefix("./").removeprefix("/")
    if pattern.endswith("/"):
        pattern += "**"
    parts = pattern.split("/")
    if not anchored:
        parts = ["**", *parts]
    expression = ""
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            expression += ".*" if last else "(?:[^/]+/)*"
        else:
            expression += _translate_name(part) + ("" if last else "/")
    return expression


def _translate_name(part: str) -> str:
    expression, position = "", 0
    while position < len(part):
        character = part[position]
        position += 1
        if character == "*":
            expression += "[^/]*"
        elif character == "?":
            expression += "[^/]"
        elif character == "[" and (end := part.find("]", position + 1)) > 0:
            members = part[position:end].replace("\\", r"\\").replace("[", r"\[")
            expression += f"[^{members[1:]}/]" if members[0] in "!^" else f"[{members}]"
            position = end + 1
        else:
            expression += re.escape(character)
    return expression
