"""The account of a text made of spans."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from acclimate.corpus.readers.spans import MARKUP, SpanWriter


def test_what_lies_between_spans_is_markup_unless_dropped_for_a_reason() -> None:
    writer = SpanWriter("abcdefgh")
    writer.keep(1, 2)
    writer.drop(3, 5, "link")
    writer.keep(6, 7)
    assert writer.finish() == "bg"
    assert writer.removed == {MARKUP: 4, "link": 2}  # a, c, f, h and d, e


def test_line_feeds_between_blocks_are_those_of_the_source() -> None:
    writer = SpanWriter("a\n\n\nb\nc d")
    for start in (0, 4, 6, 8):
        writer.separate(2)
        writer.keep(start, start + 1)
    # three line feeds: two are kept; one: it is kept; none: one is added
    assert writer.finish() == "a\n\nb\nc\nd"
    assert (writer.removed, writer.added) == ({MARKUP: 2}, 1)


def test_reserved_parts_keep_their_reason() -> None:
    writer = SpanWriter("a [r]: b c", [(2, 8, "definition")])
    writer.keep(0, 1)
    writer.keep(9, 10)
    assert writer.finish() == "ac"
    assert writer.removed == {MARKUP: 2, "definition": 6}


def test_a_marker_without_text_is_dropped() -> None:
    writer = SpanWriter("- \n- a")
    writer.mark(0, 2)
    writer.unmark()
    writer.mark(3, 5)
    writer.keep(5, 6)
    assert writer.finish() == "- a"


SOURCE = "ab\n\ncd  ef\n|gh"
POSITIONS = st.integers(0, len(SOURCE))
STEPS = st.one_of(
    st.tuples(st.just("keep"), POSITIONS, POSITIONS),
    st.tuples(st.just("drop"), POSITIONS, POSITIONS),
    st.tuples(st.just("mark"), POSITIONS, POSITIONS),
    st.tuples(st.just("add"), POSITIONS, POSITIONS),
    st.tuples(st.sampled_from(["separate", "blank", "cell", "unmark"]), POSITIONS, POSITIONS),
)


@given(st.lists(STEPS, max_size=12))
def test_no_order_of_calls_books_a_character_twice(steps: list[tuple[str, int, int]]) -> None:
    writer = SpanWriter(SOURCE, [(4, 6, "reserved")])
    for name, first, last in steps:
        start, end = sorted((first, last))
        if name == "keep":
            writer.keep(start, end)
        elif name == "drop":
            writer.drop(start, end, "dropped")
        elif name == "mark":
            writer.mark(start, end)
        elif name == "add":
            writer.add("xyz"[: end - start], start)
        elif name == "separate":
            writer.separate(1 + first % 2)
        elif name == "blank":
            writer.blank()
        elif name == "cell":
            writer.next_cell(" | ")
        else:
            writer.unmark()
    text = writer.finish()
    assert len(SOURCE) + writer.added == len(text) + sum(writer.removed.values())
