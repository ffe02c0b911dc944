"""HTML read back, strictly: elements that are not closed, or closed wrongly, are an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "wbr"}


@dataclass
class Element:
    name: str
    attributes: dict[str, str | None]
    children: list[Element | str] = field(default_factory=list)

    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text() for child in self.children)

    def all(self, name: str | None = None, class_: str | None = None) -> list[Element]:
        """The elements below it of a name, or with a class."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if name in (None, child.name) and (class_ is None or class_ in (child.get("class") or "").split()):
                    found.append(child)
                found += child.all(name, class_)
        return found

    def one(self, name: str | None = None, class_: str | None = None) -> Element:
        (found,) = self.all(name, class_)
        return found

    def get(self, name: str) -> str | None:
        return self.attributes.get(name)

    def rows(self) -> list[list[str]]:
        """The cells of a table."""
        return [[cell.text() for cell in row.all() if cell.name in ("th", "td")] for row in self.all("tr")]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("root", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in {tag}"
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].name == tag, f"</{tag}> where {self.open[-1].name} is open"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def parse(html: str) -> Element:
    """The elements of a page or of a part of one."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert len(reader.open) == 1, f"not closed: {[element.name for element in reader.open[1:]]}"
    return reader.root
