"""Markdown to plain text: what a reader of the page sees is kept, every character is accounted for."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from mdit_py_plugins.front_matter import front_matter_plugin

from acclimate.corpus.readers.markdown_text import PlainText, plain_text


def assert_accounted(source: str, plain: PlainText) -> None:
    assert len(source) + plain.added == len(plain.text) + sum(plain.removed.values())
    assert all(count > 0 for count in plain.removed.values())


def read(source: str) -> PlainText:
    plain = plain_text(source)
    assert_accounted(source, plain)
    return plain


@pytest.mark.parametrize(
    ("source", "text", "removed", "added"),
    [
        # 2 characters of "# ", 1 line feed at the end
        ("# Title\n", "Title", {"markdown_markup": 3}, 0),
        ("# Title #\n", "Title", {"markdown_markup": 5}, 0),
        # underline and the line feeds before and after it
        ("Title\n=====\n", "Title", {"markdown_markup": 7}, 0),
        # a blank line keeps two blocks apart; the third line feed and the last one go
        ("one\n\n\ntwo\n", "one\n\ntwo", {"markdown_markup": 2}, 0),
        ("one\ntwo", "one\ntwo", {}, 0),
        # two blanks make a hard break; indentation of the next line
        ("one  \n  two", "one\ntwo", {"markdown_markup": 4}, 0),
        ("one\\\ntwo", "one\ntwo", {"markdown_markup": 1}, 0),
        ("*a* **b** ~~c~~ `d`", "a b c d", {"markdown_markup": 2 + 4 + 4 + 2}, 0),
        ("2 * 3 * 4", "2 * 3 * 4", {}, 0),
        ("`` a ` b ``", "a ` b", {"markdown_markup": 6}, 0),
        # the target is all between "]" and ")", those of them that are not the brackets of the text
        ("[text](http://a.b 'T')", "text", {"markdown_markup": 2, "markdown_link_target": 16}, 0),
        ("[a [b]](<c d>)", "a [b]", {"markdown_markup": 2, "markdown_link_target": 7}, 0),
        ("![alt *x*](y.png) z", "alt x z", {"markdown_markup": 3 + 2, "markdown_link_target": 7}, 0),
        ("![](y.png)z", "z", {"markdown_markup": 3, "markdown_link_target": 7}, 0),
        ("<http://a.b/c>", "http://a.b/c", {"markdown_markup": 2}, 0),
        # a reference, and its definition with its line feed; the two line feeds before it have nothing to keep apart
        ("[x][r]\n\n[r]: http://a 'T'\n", "x", {"markdown_markup": 4, "markdown_link_target": 3 + 18}, 0),
        ("[r]\n\n[r]: http://a\n", "r", {"markdown_markup": 4, "markdown_link_target": 14}, 0),
        ("no [link] here", "no [link] here", {}, 0),
        (r"1 \* 2", "1 * 2", {"markdown_markup": 1}, 0),
        # five characters of the entity go, one is added
        ("A &amp; B", "A & B", {"markdown_markup": 5}, 1),
        ("a<br>b", "a b", {"markdown_html_tag": 4}, 1),
        ("a<b>b</b>c", "abc", {"markdown_html_tag": 7}, 0),
        ("a <!-- no --> b", "a  b", {"markdown_comment": 11}, 0),
        ("> quote\n> more", "quote\nmore", {"markdown_markup": 4}, 0),
        ("- a\n- b\n", "- a\n- b", {"markdown_markup": 1}, 0),
        ("*   a\n\n    b", "* a\n\nb", {"markdown_markup": 2 + 4}, 0),
        ("1. a\n   1. b\n2) c", "1. a\n1. b\n2) c", {"markdown_markup": 3}, 0),
        ("- - a", "- - a", {}, 0),
        ("-\n- a", "- a", {"markdown_markup": 2}, 0),
        ("- [ ] a", "- [ ] a", {}, 0),
        ("```sh x\nls\n```\n", "ls", {"markdown_markup": 8 + 5}, 0),
        ("- ```\n  a\n    b\n  ```\n", "- a\n  b", {"markdown_markup": 4 + 2 + 2 + 7}, 0),
        ("    a\n\n      b\n", "a\n\n  b", {"markdown_markup": 4 + 4 + 1}, 0),
        ("a\n\n---\n\nb", "a\n\nb", {"markdown_markup": 5}, 0),
        # of the row "| a | b |" the blanks and bar between the cells are kept
        ("| a | b |\n|---|---|\n| 1 | 2 |\n", "a | b\n1 | 2", {"markdown_markup": 2 + 2 + 10 + 2 + 3}, 0),
        ("a|b\n-|-\n1|2", "a | b\n1 | 2", {"markdown_markup": 4}, 4),
        (r"| `a\|b` |" + "\n|---|\n", "a|b", {"markdown_markup": 1 + 2 + 1 + 1 + 2 + 7}, 0),
        ("<div>\n  <p>a</p>\n</div>\n", "a", {"markdown_html_tag": 5 + 3 + 4 + 6, "markdown_markup": 5}, 0),
        ("<td>a</td><td>b&lt;</td>", "a b<", {"markdown_html_tag": 18, "markdown_markup": 4}, 2),
        ("<script>\nlet a;\n</script>", "", {"markdown_html_tag": 25}, 0),
        ("<!-- a\n\nb -->\nc", "c", {"markdown_comment": 13, "markdown_markup": 1}, 0),
    ],
)
def test_each_construct(source: str, text: str, removed: dict[str, int], added: int) -> None:
    assert read(source) == PlainText(text, added, removed)


@pytest.mark.parametrize(
    ("source", "text", "directive"),
    [
        ("> [!NOTE]\n> Mind the gap.", "Mind the gap.", len("[!NOTE]")),
        ("a [!INCLUDE [name](~/x/y.md)] b", "a  b", len("[!INCLUDE [name](~/x/y.md)]")),
        ("`[!NOTE]`", "[!NOTE]", 0),
        ('::: zone pivot="x"\n\ntext\n\n:::zone-end', "text", 18 + 11),
        ("::: zone\ntext\n:::", "text", 8 + 3),
        (':::image source="a_b_c.png" alt-text="A *red* sail.":::', "A red sail.", 38 + 4),
        (':::image type="icon" source="a.png"::: text', " text", 38),
        ('see :::image type="icon" source="a.png"::: there', "see  there", 38),
    ],
)
def test_directives_go_and_what_they_enclose_stays(source: str, text: str, directive: int) -> None:
    plain = read(source)
    assert plain.text == text
    assert plain.removed.get("markdown_directive", 0) == directive


def test_front_matter_is_no_text() -> None:
    plain = read("---\ntitle: T\n---\n\nBody\n")
    assert plain.front_matter == "title: T"
    assert plain.text == "Body"
    assert plain.removed == {"markdown_front_matter": len("---\ntitle: T\n---\n"), "markdown_markup": 2}


def test_front_matter_that_is_never_closed_is_text() -> None:
    assert read("---\ntitle: T\n").text == "title: T"


def test_an_escape_that_looks_like_a_directive_stays() -> None:
    assert read(r"\[!NOTE]").text == "[!NOTE]"


@pytest.mark.parametrize("source", [">" * 500 + " deep", "- " * 300 + "deep", "![" * 3000 + "deep" + "](x)" * 3000])
def test_text_nested_too_deeply_is_not_lost(source: str) -> None:
    assert "deep" in read(source).text


def is_subsequence(text: str, source: str) -> bool:
    rest = iter(source)
    return all(character in rest for character in text)


# Fragments that mean something in Markdown, so that random text is made of what the parser looks for.
FRAGMENTS = [
    "# ", "## ", "- ", "* ", "1. ", "> ", "    ", "\t", "  ", " ", "\n", "\n\n", "```\n", "~~~", "`", "``", "*", "**",
    "_", "~~", "[", "]", "(", ")", "![", "](", "](x)", "][r]", "[r]: /u 't'\n", "<", ">", "<b>", "</b>", "<br/>",
    "<div>", "</div>", "<!--", "-->", "<!-- c -->", "<script>", "</script>", "&amp;", "&#65;", "&nope;", "\\", "\\*",
    "|", "a|b\n-|-\n", "|---|", "---\n", "===\n", ":::", "::: zone\n", ':::image alt-text="p q":::', "[!NOTE]",
    "[!INCLUDE [a](b)]", "word", "a", "汉字", "é", "\xa0", "\x00", "\u2028", "\x0c", "\x85", "http://a.b",
    "<http://a.b>", "'", '"', "\ufeff",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join) | st.text(max_size=60))
@example("|a\\|b|\n|-|\n")
@example("-\t\ta")
@example("> ```\n>\tx\n")
def test_any_text_is_accounted_for(source: str) -> None:
    source = source.replace("\r", "\n")
    plain = read(source)
    if not plain.added:
        assert is_subsequence(plain.text, source.replace("\0", "\0"))


class _Rendered(HTMLParser):
    """The text of a rendered page: what stands outside of tags, and descriptions of images."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts.append((dict(attrs).get("alt") or "") if tag == "img" else "")


def rendered_characters(source: str) -> str:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"]).use(front_matter_plugin)
    page = _Rendered()
    page.feed(parser.render(source))
    page.close()
    return visible("".join(page.parts))


def visible(text: str) -> str:
    """Letters alone: list markers, cell separators and white space are set differently on a page."""
    return "".join(re.findall(r"[^\W\d_]", text))


# Tags, entities and directives aside, of which a parser of HTML and ours may think differently.
PLAIN_FRAGMENTS = [fragment for fragment in FRAGMENTS if not re.search(r"<|&|:::|\[!", fragment)]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PLAIN_FRAGMENTS), max_size=40).map("".join))
def test_any_text_is_that_of_the_rendered_page(source: str) -> None:
    assert visible(read(source).text) == rendered_characters(source)


def test_real_text_is_that_of_the_rendered_page(shared_data: Path) -> None:
    files = sorted((shared_data / "corpora" / "azure-docs").rglob("*.md"))[::12]
    compared = 0
    for file in files:
        source = file.read_text(encoding="utf-8-sig")
        if "[!" in source or ":::" in source:  # a renderer shows directives as they are written
            continue
        assert visible(read(source).text) == rendered_characters(source), file.name
        compared += 1
    assert compared >= 20
