"""From Markdown to plain text, with every character of the source accounted for."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline, backtick, image, link
from markdown_it.token import Token
from mdit_py_plugins.front_matter import front_matter_plugin

from acclimate.corpus.readers.spans import MARKUP, SpanWriter

COMMENT = "markdown_comment"
DIRECTIVE = "markdown_directive"
FRONT_MATTER = "markdown_front_matter"
HTML_TAG = "markdown_html_tag"
LINK_TARGET = "markdown_link_target"

CELL_SEPARATOR = " | "
_MAX_NESTING = 60

# Directives of documentation platforms: `[!NOTE]`, `[!INCLUDE [name](target)]`; `:::zone pivot="x"` up to the end of
# the line or the closing colons; `:::image … :::` also within a line.
_DIRECTIVES = re.compile(
    r"(?<!\\)\[![A-Za-z][\w-]*(?:[^\[\]\n]|\[[^\[\]\n]*\](?:\([^()\n]*\))?)*\]"
    r"|(?m:^)[ \t]*:{3,}[^\n]*?(?::{3,}(?=[^\n:]|$|\n)|(?=\n|$))"
    r"|:{3}(?:image|icon|code|video)\b[^\n]*?:{3}"
)
_ALT_TEXT = re.compile(r'\balt-text="([^"\n]*)"')
_HTML = re.compile(
    r"(?P<comment><!--.*?(?:-->|\Z))"
    r"|(?P<tag><(?P<element>script|style)\b.*?(?:</(?P=element)\s*>|\Z)|<[?!/]?[A-Za-z](?:[^<>\"']|\"[^\"]*\"|'[^']*')*>)",
    re.DOTALL | re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_TAG_NAME = re.compile(r"</?\s*([A-Za-z][\w-]*)")
# Elements that stand within a word or sentence; any other one keeps what is around it apart.
_INLINE_ELEMENTS = frozenset(
    [
        "a",
        "abbr",
        "b",
        "bdi",
        "bdo",
        "cite",
        "code",
        "del",
        "dfn",
        "em",
        "font",
        "i",
        "ins",
        "kbd",
        "mark",
        "q",
        "ruby",
        "s",
        "samp",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "tt",
        "u",
        "var",
        "wbr",
    ]
)


@dataclass(frozen=True, slots=True)
class PlainText:
    """Text read out of Markdown: `len(source) + added == len(text) + sum(removed.values())`."""

    text: str
    added: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    front_matter: str | None = None


def plain_text(source: str) -> PlainText:
    """Read Markdown (CommonMark, tables, strikethrough, front matter) into plain text.

    `source` has LF line ends. Text that is nested too deeply to be parsed stays as it is.
    """
    env: dict[str, Any] = {}
    try:
        tokens = _parser().parse(source, env)
    except RecursionError:
        return PlainText(source)
    if any(token.level >= _MAX_NESTING - 1 for token in tokens):  # the parser leaves deeper blocks out
        return PlainText(source)
    return _Walk(source, env).run(tokens)


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING})
    parser.enable(["table", "strikethrough"]).disable("text_join").use(front_matter_plugin)
    for name, rule in (("link", link), ("image", image), ("backticks", backtick)):
        parser.inline.ruler.at(name, _recording(rule))
    return parser


def _recording(rule: Callable[[StateInline, bool], bool]) -> Callable[[StateInline, bool], bool]:
    """The rule, noting in the last token it made where what it read begins and ends in the inline content."""

    def recorded(state: StateInline, silent: bool) -> bool:
        start = state.pos
        count = len(state.tokens)
        matched = rule(state, silent)
        if matched and not silent and len(state.tokens) > count and state.tokens[-1].type != "text":
            state.tokens[-1].meta["span"] = (start, state.pos)
        return matched

    return recorded


class _Walk:
    """Goes through the blocks of a text and writes what a reader sees."""

    def __init__(self, source: str, env: dict[str, Any]) -> None:
        # The parser reads NUL as U+FFFD.
        self.source = source.replace("\0", "\ufffd")
        self.line_starts = [0, *accumulate(len(line) + 1 for line in source.split("\n"))]
        self.line_starts[-1] = len(source)
        self.writer = SpanWriter(source, self._reference_definitions(env))
        self.front_matter: str | None = None
        self.marked = False  # a list marker was just read
        self.marker_end = 0
        self.first_row = self.first_cell = True
        self.in_cell = False

    def run(self, tokens: list[Token]) -> PlainText:
        for token in tokens:
            visit = _VISITS.get(token.type)
            if visit is not None:
                visit(self, token)
        text = self.writer.finish()
        return PlainText(text, self.writer.added, self.writer.removed, self.front_matter)

    def _reference_definitions(self, env: dict[str, Any]) -> list[tuple[int, int, str]]:
        definitions = [*env.get("references", {}).values(), *env.get("duplicate_refs", [])]
        lines = sorted(tuple(definition["map"]) for definition in definitions)
        spans, last = [], 0
        for first_line, end_line in lines:
            start, end = max(self._line(first_line), last), self._line(end_line)
            if start < end:
                spans.append((start, end, LINK_TARGET))
                last = end
        return spans

    def _line(self, number: int) -> int:
        """Where a line begins; the end of the source for those past the last."""
        return self.line_starts[min(number, len(self.line_starts) - 1)]

    def begin_block(self) -> None:
        """Start a block on a line of its own, unless a list marker was just read."""
        if not self.marked:
            self.writer.unmark()
            self.writer.separate(2)
        self.marked = False

    # --- blocks ---------------------------------------------------------------------------------------------------

    def visit_front_matter(self, token: Token) -> None:
        assert token.map is not None
        self.front_matter = token.content
        self.writer.drop(0, self._line(token.map[1]), FRONT_MATTER)

    def visit_list_item(self, token: Token) -> None:
        assert token.map is not None
        self.begin_block()
        self.marked = True
        marker = token.info + token.markup
        first = max(self._line(token.map[0]), self.marker_end)
        start = self.source.find(marker, first, self._line(token.map[0] + 1))
        if start >= 0:
            end = start + len(marker)
            end += self.source[end : end + 1] in (" ", "\t")
            self.writer.mark(start, end)
            self.marker_end = end

    def visit_list_item_close(self, token: Token) -> None:
        self.marked = False

    def visit_inline(self, token: Token) -> None:
        assert token.map is not None
        if not self.in_cell:
            self.begin_block()
        at = self._locate(token.content, token.map[0], exact=False)
        _Inline(self, token.content, at).write(token.children or [])

    def visit_table(self, token: Token) -> None:
        self.begin_block()
        self.first_row = True

    def visit_row(self, token: Token) -> None:
        if not self.first_row:
            self.writer.separate(1)
        self.first_row, self.first_cell = False, True

    def visit_cell(self, token: Token) -> None:
        if not self.first_cell:
            self.writer.next_cell(CELL_SEPARATOR)
        self.first_cell, self.in_cell = False, True

    def visit_cell_close(self, token: Token) -> None:
        self.in_cell = False

    def visit_code(self, token: Token) -> None:
        assert token.map is not None
        self.begin_block()
        first_line = token.map[0] + (1 if token.type == "fence" else 0)
        content = token.content
        at = self._locate(content, first_line, exact=True)
        begin = len(content) - len(content.lstrip("\n"))
        _Inline(self, content, at).keep(begin, len(content.rstrip("\n")))

    def visit_html(self, token: Token) -> None:
        assert token.map is not None
        self.begin_block()
        content = token.content
        _Inline(self, content, self._locate(content, token.map[0], exact=True)).write_html()

    def _locate(self, content: str, first_line: int, *, exact: bool) -> list[int]:
        """The position in the source of each character of a block's content, -1 where the source has none.

        The content of a block is its lines without what indents, quotes or closes them. `exact`: they end as the
        lines of the source do; otherwise white space around them is cut, too.
        """
        positions: list[int] = []
        for number, line in enumerate(content.split("\n"), start=first_line):
            start, end = max(self._line(number), self.writer.cursor), self._line(number + 1)
            if end > start and self.source[end - 1] == "\n":
                end -= 1
            if positions or number > first_line:
                positions.append(self._line(number) - 1)
            if line:
                positions.extend(self._locate_line(line, start, end, exact))
        return positions

    def _locate_line(self, line: str, start: int, end: int, exact: bool) -> Iterator[int] | range:
        if self.source.endswith(line, start, end):
            return range(end - len(line), end)
        if not exact:
            found = self.source.find(line, start, end)
            if found >= 0:
                return range(found, found + len(line))
        return self._locate_characters(line, start, end)

    def _locate_characters(self, line: str, start: int, end: int) -> Iterator[int]:
        """For a line that the parser changed (`\\|` in a table, a tab cut in two): each character by itself."""
        for character in line:
            found = self.source.find(character, start, end)
            yield found
            if found >= 0:
                start = found + 1


class _Inline:
    """Writes the content of one block; positions are those in the content unless said otherwise.

    Args:
        walk: where the text goes.
        content: what the parser took for the block's content.
        at: position in the source of each of its characters.
    """

    def __init__(self, walk: _Walk, content: str, at: list[int]) -> None:
        self.writer = walk.writer
        self.content = content
        self.at = at
        self.done = 0  # up to where directives have been dropped
        self.directives = list(_directives(content)) if "[!" in content or ":::" in content else []

    def keep(self, start: int, end: int) -> None:
        """Write a part of the content."""
        for first, last in self._runs(max(start, self.done), end):
            if self.at[first] < 0:
                self.writer.add(self.content[first:last], self.writer.cursor)
            else:
                self.writer.keep(self.at[first], self.at[last - 1] + 1)

    def drop(self, start: int, end: int, reason: str) -> None:
        """Leave a part of the content out."""
        for first, last in self._runs(max(start, self.done), end):
            if self.at[first] >= 0:
                self.writer.drop(self.at[first], self.at[last - 1] + 1, reason)

    def _runs(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Cut a part of the content where it is not continuous in the source."""
        if start >= end:
            return
        at = self.at
        if at[end - 1] - at[start] == end - 1 - start and at[start] >= 0:
            yield start, end
            return
        first = start
        for index in range(start + 1, end + 1):
            if index == end or at[index] != (at[index - 1] + 1 if at[index - 1] >= 0 else -1):
                yield first, index
                first = index

    def write(self, tokens: list[Token], start: int = 0) -> int:
        """Write the tokens of inline content from `start` on; returns where they end."""
        offset = start  # of a nested parse: an image's text is parsed by itself
        position = start
        for token in tokens:
            kind = token.type
            if kind == "text":
                if token.content:
                    begin = self._find(token.content, position)
                    position = begin + len(token.content)
                    self._keep_text(begin, position)
            elif kind in ("softbreak", "hardbreak"):
                position = self._find("\n", position) + 1
                self.writer.separate(1)
            elif kind == "code_inline":
                begin, position = (offset + bound for bound in token.meta["span"])
                self._write_code(token, begin, position)
            elif kind == "text_special":
                position = self._write_special(token, position)
            elif kind == "html_inline":
                begin = self._find(token.content, position)
                position = begin + len(token.content)
                self._drop_tag(token.content, begin, position)
            elif kind == "link_open":
                position = self._find("<" if token.info == "auto" else "[", position) + 1
            elif kind == "link_close" and token.info != "auto":
                end = offset + token.meta["span"][1]
                self.drop(position, position + 1, MARKUP)
                self.drop(position + 1, end, LINK_TARGET)
                position = end
            elif kind == "link_close":
                position = self._find(">", position) + 1
            elif kind == "image":
                begin, end = (offset + bound for bound in token.meta["span"])
                text_end = self.write(token.children or [], begin + 2)
                text_end = max(text_end, begin + 2 + len(token.content))
                self.drop(text_end, text_end + 1, MARKUP)
                self.drop(text_end + 1, end, LINK_TARGET)
                position = end
            elif token.markup:  # emphasis
                position = self._find(token.markup, position) + len(token.markup)
        return position

    def _find(self, wanted: str, position: int) -> int:
        """Where the next piece begins: here, but for white space that the parser leaves out."""
        if self.content.startswith(wanted, position):
            return position
        found = self.content.find(wanted, position)
        return found if found >= 0 else position

    def _keep_text(self, start: int, end: int) -> None:
        """Write text, without the directives in it."""
        end = min(end, len(self.content))
        for first, last in self.directives:
            if last <= start or last <= self.done:
                continue
            if first >= end:
                break
            self.keep(start, first)
            self.drop(first, last, DIRECTIVE)
            start = self.done = last
        self.keep(start, end)

    def _write_code(self, token: Token, start: int, end: int) -> None:
        start, end = start + len(token.markup), end - len(token.markup)
        if end - start == len(token.content) + 2:  # one blank on either side belongs to the marks
            start, end = start + 1, end - 1
        self.keep(start, end)

    def _write_special(self, token: Token, position: int) -> int:
        """An escaped character or an entity."""
        start = self._find(token.markup, position)
        end = start + len(token.markup)
        if token.markup.endswith(token.content):
            self.keep(end - len(token.content), end)
        elif start >= self.done:
            self.writer.add(token.content, self.at[start])
            self.drop(start, end, MARKUP)
        return end

    def _drop_tag(self, tag: str, start: int, end: int) -> None:
        self.drop(start, end, COMMENT if tag.startswith("<!--") else HTML_TAG)
        if not _stands_inside(tag):
            self.writer.blank()

    def write_html(self) -> None:
        """Write the text of an HTML block, without indentation and empty lines."""
        position = 0
        for match in _HTML.finditer(self.content):
            self._write_html_text(position, match.start())
            position = match.end()
            self._drop_tag(match.group(), match.start(), position)
        self._write_html_text(position, len(self.content))

    def _write_html_text(self, start: int, end: int) -> None:
        for number, line in enumerate(self.content[start:end].split("\n")):
            if number:
                self.writer.separate(1)
            stop = start + len(line)
            if line.strip():
                self._write_html_line(stop - len(line.lstrip()) if number else start, start + len(line.rstrip()))
            start = stop + 1

    def _write_html_line(self, start: int, end: int) -> None:
        for match in _ENTITY.finditer(self.content, start, end):
            character = html.unescape(match.group())
            if character != match.group():
                self.keep(start, match.start())
                self.writer.add(character, self.at[match.start()])
                self.drop(match.start(), match.end(), MARKUP)
                start = match.end()
        self.keep(start, end)


def _directives(content: str) -> Iterator[tuple[int, int]]:
    """What directives take up in the content, but for the description of an image."""
    for match in _DIRECTIVES.finditer(content):
        start, end = match.span()
        described = _ALT_TEXT.search(content, start, end)
        if described is not None and described.group(1):
            yield start, described.start(1)
            start = described.end(1)
        yield start, end


def _stands_inside(tag: str) -> bool:
    """Whether a tag may stand within a word without cutting it."""
    name = _TAG_NAME.match(tag)
    return tag.startswith("<!--") or (name is not None and name.group(1).lower() in _INLINE_ELEMENTS)


_VISITS: dict[str, Callable[[_Walk, Token], None]] = {
    "front_matter": _Walk.visit_front_matter,
    "list_item_open": _Walk.visit_list_item,
    "list_item_close": _Walk.visit_list_item_close,
    "inline": _Walk.visit_inline,
    "table_open": _Walk.visit_table,
    "tr_open": _Walk.visit_row,
    "th_open": _Walk.visit_cell,
    "th_close": _Walk.visit_cell_close,
    "td_open": _Walk.visit_cell,
    "td_close": _Walk.visit_cell_close,
    "fence": _Walk.visit_code,
    "code_block": _Walk.visit_code,
    "html_block": _Walk.visit_html,
}
