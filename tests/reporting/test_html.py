"""HTML by functions: nothing gets in that is not escaped."""

from __future__ import annotations

import pytest
from markupsafe import Markup

from acclimate.reporting.html import join, prose, readable, shortened, table, tag
from tests.reporting.parsed import parse


def test_text_is_escaped_and_markup_stays() -> None:
    made = tag("p", "<b>", tag("b", "x"), None, title="\"<>&'", class_="a", hidden=False, open=True)
    assert made == '<p title="&#34;&lt;&gt;&amp;&#39;" class="a" open="">&lt;b&gt;<b>x</b></p>'
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert join(["a", None, Markup("<i>"), "<"], " ") == "a <i> &lt;"


@pytest.mark.parametrize(
    "letter", ["\x00", "\x1b", "\x7f", "\x85", "\u202e", "\u2066", "\u200f", "\ufeff", "\ud800", "\uffff", "\U000e0041"]
)
def test_what_no_page_can_hold_is_replaced(letter: str) -> None:
    assert readable(f"a{letter}b") == "a\ufffdb"
    assert letter not in tag("p", f"a{letter}b", title=letter)
    tag("p", letter).encode("utf-8")


def test_letters_of_every_script_stay() -> None:
    text = "天地玄黄 Ж ע ी \u200d\u200c 👩\u200d💻\t\n"
    assert readable(text) == text


def test_code_in_prose() -> None:
    assert prose("give `a<b` to `c`") == "give <code>a&lt;b</code> to <code>c</code>"
    assert prose("it`s") == "it`s"


def test_shortened() -> None:
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abc def", 5) == "abc…"


def test_a_table_has_heads_with_their_scope() -> None:
    made = parse(table(["what", "n"], [["<a>", "1"], ["b", "2"]], caption="Numbers"))
    assert [cell.get("scope") for cell in made.all("th")] == ["col", "col", "row", "row"]
    assert made.one("caption").text() == "Numbers"
    assert made.one("table").rows() == [["what", "n"], ["<a>", "1"], ["b", "2"]]
    assert made.one("div").get("tabindex") == "0" and made.one("div").get("aria-label") == "Numbers"
