"""What is within a block of Markdown: text, code, links, tags, directives, each character accounted for."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from markdown_it.token import Token

from acclimate.corpus.readers.spans import MARKUP, SpanWriter

COMMENT = "markdown_comment"
DIRECTIVE = "markdown_directive"
HTML_TAG = "markdown_html_tag"
LINK_TARGET = "markdown_link_target"


# Directives of documentation platforms: `[!NOTE]`, `[!INCLUDE [name](target)]`; `:::zone pivot="x"` up to the end of
# the line or the closing colons; `:::image … :::` also within a line.
_DIRECTIVES = re.compile(
    r"(?<!\\)\[![A-Za-z][\w-]*(?:[^\[\]\n]|\[[^\[\]\n]*\](?:\([^()\n]*\))?)*\]"
    r"|(?m:^)[ \t]*:{3,}[^\n]*?(?::{3,}(?=[^\n:]|$|\n)|(?=\n|$))"
    r"|:{3}(?:image|icon|code|video)\b[^\n]*?:{3}"
)
_ALT_TEXT = re.compile(r'\balt-text="([^"\n]*)"')
_HTML = re.compile(
    r"<!--.*?(?:-->|\Z)"
    r"|<(?P<element>script|style)\b.*?(?:</(?P=element)\s*>|\Z)"
    r"|<[?!/]?[A-Za-z](?:[^<>\"']|\"[^\"]*\"|'[^']*')*>",
    re.DOTALL | re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_TAG_NAME = re.compile(r"</?\s*([A-Za-z][\w-]*)")
# Elements that stand within a word or sentence; any other one keeps what is around it apart.
_INLINE_ELEMENTS = {
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd", "mark", "q",
    "ruby", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var", "wbr",
}  # fmt: skip


class InlineWriter:
    """Writes the content of one block; positions are those in the content unless said otherwise.

    Args:
        writer: where the text goes.
        content: what the parser took for the block's content.
        at: position in the source of each of its characters.
    """

    def __init__(self, writer: SpanWriter, content: str, at: list[int]) -> None:
        self.writer = writer
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
