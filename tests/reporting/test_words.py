"""Words of both languages, and numbers as they are written."""

from __future__ import annotations

import ast
import string
from pathlib import Path

import pytest

import acclimate.reporting
from acclimate.corpus.ledger import REASONS
from acclimate.errors import RecipeError
from acclimate.objectives.marking import MARKS
from acclimate.reporting.page import SECTIONS
from acclimate.reporting.words import LANGUAGES, Words

ROOT = Path(acclimate.reporting.__file__).parent
ENGLISH, CHINESE = LANGUAGES["en"], LANGUAGES["zh"]


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_keys_and_places() -> None:
    assert ENGLISH.keys() == CHINESE.keys()
    different = [key for key in ENGLISH if places(ENGLISH[key]) != places(CHINESE[key])]
    assert not different


def test_no_words_are_empty_or_still_english() -> None:
    assert all(text for key, text in ENGLISH.items())
    same = {key for key in ENGLISH if ENGLISH[key] == CHINESE[key]}
    # A token is one in Chinese as well.
    assert same == {"token", "sign_read"}


def test_every_key_that_is_asked_for_is_there() -> None:
    asked, starts = set(), set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "words" and node.args:
                key = node.args[0]
                if isinstance(key, ast.Constant):
                    asked.add(key.value)
                elif isinstance(key, ast.JoinedStr) and isinstance(key.values[0], ast.Constant):
                    starts.add(key.values[0].value)
    assert len(asked) > 80 and asked <= ENGLISH.keys()
    assert all(any(key.startswith(start) for key in ENGLISH) for start in starts)


def test_whatever_has_a_table_elsewhere_has_words() -> None:
    assert {f"reason_{name}" for name in REASONS} <= ENGLISH.keys()
    assert {f"{kind}_{mark.replace(' ', '_')}" for kind in ("sign", "mark") for mark in MARKS} <= ENGLISH.keys()
    assert {f"title_{name}" for name in SECTIONS} <= ENGLISH.keys()


def test_another_language_is_refused() -> None:
    with pytest.raises(RecipeError, match="en or zh, not in 'fr'"):
        Words("fr")


def test_numbers() -> None:
    words = Words("en")
    assert words.integer(1234567) == "1,234,567" and words.integer(None) == "–"
    assert words.decimal(float("nan")) == words.signed(float("inf")) == words.percent(None) == "–"
    assert words.signed(-3.7794) == "\u22123.779" and words.signed(0.5) == "+0.500"
    # A zero has no sign.
    assert words.signed(-0.0001) == words.signed(0.0001) == "0.000"
    assert words.percent(0.3234) == "32.3%" and words.points(-0.125) == "\u221212.5 pts"
    assert words.interval(-4.0, 0.25, 2) == "\u22124.00 to +0.25"
    assert words.power(2.66e13) == "2.66 × 10¹³" and words.power(0) == "–"
    assert words.power(9.999e13) == "1.00 × 10¹⁴"
    assert words.size(3 * 2**30) == "3.00 GiB" and words.size(5 * 2**20) == "5 MiB"


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (2.25, "2.2 s", "2.2 秒"),
        (42, "42 s", "42 秒"),
        (396.9, "6 min 36 s", "6 分 36 秒"),
        (4320, "1 h 12 min", "1 小时 12 分"),
        (59.96, "60 s", "60 秒"),
        (3599, "59 min 59 s", "59 分 59 秒"),
    ],
)
def test_durations(seconds: float, english: str, chinese: str) -> None:
    assert Words("en").duration(seconds) == english
    assert Words("zh").duration(seconds) == chinese


def test_dates() -> None:
    assert Words("en").date("2026-11-26T02:11:11+00:00") == "2026-11-26 02:11 UTC"
    assert Words("en").date(None) == "–" and Words("en").date("soon") == "soon"
