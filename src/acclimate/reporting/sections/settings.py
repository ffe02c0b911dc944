"""Settings, versions and fingerprints: what it takes to do it again."""

from __future__ import annotations

import re

from markupsafe import Markup

from acclimate.reporting.facts import Facts
from acclimate.reporting.html import Child, details, join, paragraph, shortened, table, tag
from acclimate.reporting.sections.common import definitions, missing, short_path
from acclimate.reporting.words import Words

LONGEST_RECIPE = 20_000
LONGEST_VALUE = 200
MOST_SETTINGS = 150
# A name and password within an address.
_SECRET = re.compile(r"(://)[^/\s@]+@")


def render(facts: Facts, words: Words) -> Markup:
    """What was chosen, the whole recipe, versions, fingerprints, and the command."""
    return join([_again(facts, words), _changed(facts, words), _recipe(facts, words), _made_of(facts, words)])


def _again(facts: Facts, words: Words) -> Markup:
    command = f"acclimate run {facts.folder}/recipe.yaml output_dir={facts.folder}-again"
    return join([paragraph(words("again")), tag("pre", tag("code", command))])


def _changed(facts: Facts, words: Words) -> Markup | None:
    if not facts.changed:
        return None
    rows = [
        [tag("code", _breakable(shortened(name, LONGEST_VALUE))), _shown(value), _shown(default)]
        for name, (value, default) in sorted(facts.changed.items())[:MOST_SETTINGS]
    ]
    head = [words("setting"), words("value"), words("default")]
    return table(head, rows, caption=words("settings_changed"), numeric=False)


def _breakable(name: str) -> Markup:
    """A dotted path that may be divided behind its dots and underscores."""
    return join([join([part, tag("wbr")]) for part in re.split(r"(?<=[._])", name)])


def _shown(value: object) -> str:
    text = "" if value is None else "true" if value is True else "false" if value is False else str(value)
    return shortened(_SECRET.sub(r"\1…@", text), LONGEST_VALUE)


def _recipe(facts: Facts, words: Words) -> Markup:
    if not facts.recipe:
        return missing("missing_recipe", facts, words)
    text = shortened(_SECRET.sub(r"\1…@", facts.recipe), LONGEST_RECIPE)
    return details(words("settings_all"), tag("pre", tag("code", text)))


def _made_of(facts: Facts, words: Words) -> Markup:
    environment = facts.get("environment") or {}
    named: list[tuple[str, Child]] = [(str(name), str(version)) for name, version in environment.items()]
    corpus = facts.get("corpus") or {}
    tokenizer = facts.get("tokens", "tokenizer")
    fingerprints: list[tuple[str, Child]] = [
        (words("fingerprint_corpus"), tag("code", str(corpus["fingerprint"])) if corpus.get("fingerprint") else None),
        (words("fingerprint_tokenizer"), tag("code", str(tokenizer)) if tokenizer else None),
        (words("corpus"), short_path(corpus["path"]) if corpus.get("path") else None),
    ]
    return join(
        [
            tag("h3", words("versions")),
            definitions(named),
            tag("h3", words("fingerprints")),
            definitions(fingerprints),
        ]
    )
