"""HTML by small functions: what is text is escaped, what is markup stays.

Every text goes through `readable` and MarkupSafe's `escape`, whoever wrote it: there is no other way in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

# What a page cannot hold, or what would turn letters around: controls, marks of direction, halves of surrogate pairs.
_UNREADABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
# Elements that have no end.
_VOID = frozenset({"meta", "wbr"})

Child = str | None


def readable(text: object) -> str:
    """A text without what no page can hold, or what changes the order of letters around it; each of them is `�`."""
    return _UNREADABLE.sub("\N{REPLACEMENT CHARACTER}", str(text))


def shortened(text: str, length: int) -> str:
    """At most `length` characters; what is cut off is shown by an ellipsis."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def tag(name: str, /, *children: Child, **attributes: object) -> Markup:
    """An element. Texts are escaped, `Markup` stays, None is left out.

    Args:
        attributes: by name, `_` for `-`, and at the end for names that Python has taken (`class_`); None and False are
            left out, True has no value.
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(_name(key), readable("" if value is True else value))
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup("<{}{}>").format(Markup(name), written)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, join(children))


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def text_of(child: str) -> Markup:
    """A text escaped; what is markup already, as it is."""
    return child if isinstance(child, Markup) else escape(readable(child))


def join(children: Iterable[Child], between: str = "") -> Markup:
    """Texts and markup one behind the other."""
    return escape(between).join(text_of(child) for child in children if child is not None)


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[Child]],
    *,
    caption: str,
    numeric: bool = True,
    class_: str | None = None,
) -> Markup:
    """A table whose rows begin with what they are about; it scrolls by itself where it is too wide.

    Args:
        caption: what the table shows, for those who hear the page.
        numeric: whether the columns behind the first are figures.
    """
    cells = "number" if numeric else None
    top = tag("tr", *(tag("th", name, scope="col", class_=cells if index else None) for index, name in enumerate(head)))
    lines = [
        tag(
            "tr",
            *(
                tag("td", cell or "", class_=cells) if index else tag("th", cell or "", scope="row")
                for index, cell in enumerate(row)
            ),
        )
        for row in rows
    ]
    inner = tag("table", tag("caption", caption), tag("thead", top), tag("tbody", *lines), class_=class_)
    # It can be scrolled by keys too.
    return tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def prose(text: str) -> Markup:
    """A sentence in which `backticks` stand around code, as messages have them."""
    parts = text.split("`")
    # A lone one is a letter like any other.
    if len(parts) % 2 == 0:
        return text_of(text)
    return join(tag("code", part) if index % 2 else part for index, part in enumerate(parts))


def details(summary: str, *children: Child) -> Markup:
    """What is there to open."""
    return tag("details", tag("summary", summary), *children)


def paragraph(text: str, class_: str | None = None) -> Markup:
    return tag("p", text, class_=class_)
