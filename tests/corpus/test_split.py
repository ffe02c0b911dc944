"""Which documents are held out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from acclimate.corpus.split import Blocks, Split, name_hash


def choose(names: list[str], share: float) -> list[bool]:
    split = Split(share)
    for name in names:
        split.show(name_hash(name), name)
    return [split.is_held_out(name_hash(name), name) for name in names]


@given(st.lists(st.text(max_size=5), unique=True, max_size=40), st.floats(0, 0.99))
def test_both_sides_have_one_where_there_are_two(names: list[str], share: float) -> None:
    chosen = choose(names, share)
    if len(names) < 2 or share == 0:
        assert not any(chosen)
    else:
        assert 0 < sum(chosen) < len(names)


def test_the_share_is_about_what_was_asked_for() -> None:
    # 10,000 independent draws of 5 %: 500 ± 22; five deviations
    assert abs(sum(choose([f"docs/{number}.md" for number in range(10_000)], 0.05)) - 500) < 110


def test_a_document_keeps_its_side_when_others_come_and_go() -> None:
    few = [f"{number}.md" for number in range(200)]
    many = few + [f"new/{number}.md" for number in range(500)]
    assert choose(few, 0.2) == choose(many, 0.2)[:200]


def test_equal_names_of_several_sources_are_told_apart_in_a_tiny_corpus() -> None:
    split = Split(0.05)
    for unit in ("a/README.md", "b/README.md"):
        split.show(name_hash("README.md"), unit)
    held_out = [split.is_held_out(name_hash("README.md"), unit) for unit in ("a/README.md", "b/README.md")]
    assert sorted(held_out) == [False, True]


def test_the_hash_never_changes() -> None:
    # An edited corpus keeps its sides over versions of this package, too.
    assert name_hash("docs/a.md") == int.from_bytes(bytes.fromhex("ad311d9dab800abe"), "big")


def test_blocks_end_after_fifty_lines_or_ten_thousand_characters() -> None:
    short = Blocks()
    assert [short.next(26) for _ in range(101)] == [0] * 50 + [1] * 50 + [2]
    # A line of 10,000 characters is a block by itself; three of 4,000 are one, since the second leaves room.
    assert [Blocks.next(long, 10_000) for long in [Blocks()] for _ in range(3)] == [0, 1, 2]
    middling = Blocks()
    assert [middling.next(4_000) for _ in range(7)] == [0, 0, 0, 1, 1, 1, 2]
