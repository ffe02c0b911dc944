"""Held-out text with its characters: which tokens a word has, and what stands around it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from acclimate.corpus import CorpusSettings, build_corpus
from acclimate.evaluation.units import Encoded, SourceNames, Unit, encode_units, read_units, unit_name
from acclimate.tokens.store import build_token_store
from acclimate.tokens.words import word_spans


def encoded(folder: Path, text: str) -> Encoded:
    (found,) = encode_units([Unit(0, "a.md", "", text)], AutoTokenizer.from_pretrained(folder))
    return found


def test_the_tokens_of_some_characters(tiny_bert: Path) -> None:
    text = "The  zone's node."
    one = encoded(tiny_bert, text)
    # the z ##o ##n ##e ' s node .
    assert len(one) == 9
    assert one.tokens_of(5, 9) == (1, 5)  # zone
    assert one.tokens_of(12, 16) == (7, 8)  # node
    assert one.tokens_of(0, 9) == (0, 5)  # both words with the blanks between
    assert one.tokens_of(4, 9) is None  # begins with a blank, at which no token begins
    assert one.tokens_of(17, 17) is None


def test_a_token_of_more_characters_is_none_of_a_words(tiny_bert: Path) -> None:
    one = encoded(tiny_bert, "nodes")  # node ##s would be two, but so is n ##o …: whole words only
    assert one.tokens_of(0, len("nodes")) is not None
    assert encoded(tiny_bert, "network").tokens_of(0, 3) is None  # `net` of the one token `network`


@given(st.integers(0, 30), st.integers(1, 4), st.integers(4, 20), st.booleans())
def test_a_window_holds_the_tokens_and_no_more_than_its_room(
    tiny_bert: Path, first: int, length: int, room: int, before_only: bool
) -> None:
    one = encoded(tiny_bert, "the zone of the node " * 5)
    last = min(first + length, len(one))
    begin, end = one.window(first, last, room, before_only=before_only)
    assert 0 <= begin <= first < last <= end <= len(one)
    assert end - begin <= room
    assert begin == 0 or begin == first or one.word_starts[begin]
    if before_only:
        assert end == last


@given(st.text(alphabet="ab1 .,\n中文é", max_size=40))
def test_word_spans_are_the_words(text: str) -> None:
    spans = word_spans(text).tolist()
    # In order, none empty, none with a blank in it; what is between them is blank.
    assert all(first < last for first, last in spans)
    assert all(one[1] <= other[0] for one, other in zip(spans, spans[1:], strict=False))
    assert not any(character.isspace() for first, last in spans for character in text[first:last])
    inside = {place for first, last in spans for place in range(first, last)}
    assert all(text[place].isspace() for place in set(range(len(text))) - inside)


def test_word_spans_by_hand() -> None:
    text = "v1 naïve, 中文分词"
    assert [text[first:last] for first, last in word_spans(text).tolist()] == ["v1", "naïve", ",", "中文", "分词"]
    assert word_spans("").shape == (0, 2)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines")
    (folder / "a").mkdir()
    (folder / "a" / "lines.txt").write_text("".join(f"the node {number}\n" for number in range(200)))
    sources = [{"path": str(folder / "a" / "lines.txt"), "unit": "line"}]
    settings = {"sources": sources, "held_out": 0.5, "min_chars": 0, "deduplicate": False}
    build_corpus(CorpusSettings.model_validate(settings), folder / "corpus")
    return folder / "corpus"


@pytest.mark.parametrize("isolate", ["group", "document"])
def test_lines_of_a_stretch_are_one_unit_unless_they_are_isolated(
    isolate: str, lines: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    from acclimate.corpus import open_corpus

    corpus = open_corpus(lines)
    store = build_token_store(corpus, "held_out", AutoTokenizer.from_pretrained(tiny_bert), tmp_path / "tokens")
    units = read_units(corpus, store, isolate)  # type: ignore[arg-type]
    texts = [document.text for document in corpus.documents("held_out")]
    if isolate == "document":
        assert [unit.text for unit in units] == texts
    else:
        assert len(units) == len(store.groups) and "\n".join(unit.text for unit in units) == "\n".join(texts)
        assert " … " in units[0].name
    # Units are known by the number of their group, as scores are.
    assert {unit.number for unit in units} == set(range(len(store.groups)))


def test_names() -> None:
    assert unit_name(["a.md"]) == "a.md" and unit_name(["a#1", "a#2", "a#3"]) == "a#1 … a#3"


class _Corpus:
    def __init__(self, *names: str) -> None:
        self.manifest = {"inputs": [{"name": name} for name in names]}


@pytest.mark.parametrize(
    ("names", "document", "source"),
    [
        (["aks", "aks-2"], "aks-2/articles/a.md", "aks-2"),
        (["aks", "notes.txt"], "notes.txt#7", "notes.txt"),
        ([""], "articles/aks/a.md", "articles"),
        ([""], "a.md", "."),
        ([""], "volumes.txt#3", "volumes.txt"),
    ],
)
def test_sources(names: list[str], document: str, source: str) -> None:
    assert SourceNames(_Corpus(*names)).of(document) == source  # type: ignore[arg-type]
