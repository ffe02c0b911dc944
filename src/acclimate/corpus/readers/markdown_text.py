"""From Markdown to plain text, with every character of the source accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline, backtick, image, link
from markdown_it.token import Token
from mdit_py_plugins.front_matter import front_matter_plugin

from acclimate.corpus.readers.markdown_inline import LINK_TARGET, InlineWriter
from acclimate.corpus.readers.spans import SpanWriter

FRONT_MATTER = "markdown_front_matter"

CELL_SEPARATOR = " | "
_MAX_NESTING = 60


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
        InlineWriter(self.writer, token.content, at).write(token.children or [])

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
        InlineWriter(self.writer, content, at).keep(begin, len(content.rstrip("\n")))

    def visit_html(self, token: Token) -> None:
        assert token.map is not None
        self.begin_block()
        content = token.content
        InlineWriter(self.writer, content, self._locate(content, token.map[0], exact=True)).write_html()

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
