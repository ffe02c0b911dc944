"""Word starts: by hand, against a plain reference on every kind of tokenizer, and as properties."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import rjieba
from hypothesis import given
from hypothesis import strategies as st

from acclimate.tokens.tokenizers import plain_backend
from acclimate.tokens.words import batch_word_starts, token_bounds, word_starts

from .helpers import byte_bpe, word_piece


def characters(text: str) -> list[tuple[int, int]]:
    return [(index, index + 1) for index in range(len(text))]


def words_of(text: str, offsets: list[tuple[int, int]]) -> list[str]:
    """The stretches of text that the tokens of each word cover."""
    starts = word_starts(text, offsets)
    places = [offset[0] for offset, start in zip(offsets, starts, strict=True) if start]
    return [text[first:end] for first, end in zip(places, [*places[1:], len(text)], strict=True)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("isn't it", ["isn", "'", "t", " it"]),
        ("v1.29 re-used", ["v1", ".", "29", " re", "-", "used"]),
        ("snake_case", ["snake", "_", "case"]),
        ("naïve nai\u0308ve", ["naïve", " nai\u0308ve"]),
        ("第3章Azure很快。", ["第", "3", "章", "Azure", "很快", "。"]),
        ("使用语言模型来预测", ["使用", "语言", "模型", "来", "预测"]),
        ("日本語のテキストです", ["日本", "語", "の", "テキスト", "です"]),
        ("한국어 텍스트", ["한국어", " 텍스트"]),
        ("नमस्ते दुनिया", ["नमस्ते", " दुनिया"]),
        ("ภาษาไทย", ["ภ", "า", "ษ", "า", "ไ", "ท", "ย"]),
        ("มี่", ["มี่"]),  # one letter, two marks on it
        ("می‌خواهم", ["می‌خواهم"]),  # a zero-width non-joiner within a Persian word
        ("\ue000\ue001字", ["\ue000", "\ue001", "字"]),  # private use: unknown characters, each by itself
        ("葛\U000e0100城", ["葛\U000e0100", "城"]),  # a variation selector stays with its character
        ("a\u0301 \u0301b", ["a\u0301", " \u0301b"]),  # a mark after a blank begins a word
        ("a  b\n", ["a", "  b", "\n"]),  # blanks go with the next word; at the end there is none
        ("\n\n", ["\n\n"]),
        ("😀👍🏽", ["😀", "👍", "🏽"]),
    ],
)
def test_words_of_a_text_cut_into_characters(text: str, words: list[str]) -> None:
    assert words_of(text, characters(text)) == words


def test_pieces_of_a_word_and_a_lone_space_marker() -> None:
    # "deploy the": tokens `▁`, `deploy`, `▁the`, then `s` of nothing that the text shows as a word of its own.
    #  text   d e p l o y _ t h e s
    #  index  0 1 2 3 4 5 6 7 8 9 10
    text = "deploy thes"
    offsets = [(0, 0), (0, 6), (6, 7), (7, 10), (10, 11)]
    # The empty first token and `deploy` are the first word; the lone blank opens the second, `the` and `s` go on.
    assert word_starts(text, offsets).tolist() == [True, False, True, False, False]


def test_a_token_over_several_words_counts_for_the_first_of_them() -> None:
    # Tokenizers without a pre-tokenizer have tokens such as `of the`; the next token, `ory`, goes on with `theory`.
    text = "of theory now"
    assert word_starts(text, [(0, 6), (6, 9), (9, 13)]).tolist() == [True, True, True]


def test_trimmed_offsets_or_not() -> None:
    text = "one two"
    assert word_starts(text, [(0, 3), (3, 7)]).tolist() == word_starts(text, [(0, 3), (4, 7)]).tolist() == [True, True]


def test_bytes_of_one_character_are_one_word() -> None:
    # 龘 has three bytes, each a token with the same offsets; é two.
    tokenizer = byte_bpe(trim_offsets=True)
    encoding = plain_backend(tokenizer).encode("龘é", add_special_tokens=False)
    assert len(encoding.ids) == 5
    assert word_starts("龘é", encoding.offsets).tolist() == [True, False, False, True, False]


@pytest.mark.parametrize("trim_offsets", [None, False, True])
@pytest.mark.parametrize("use_regex", [True, False])
def test_byte_level_tokens_start_words_where_the_text_does(trim_offsets: bool | None, use_regex: bool) -> None:
    text = "It's new.\n  Run it"
    encoding = plain_backend(byte_bpe(trim_offsets=trim_offsets, use_regex=use_regex)).encode(text)
    #  I t ' s _ n e w . \n _ _ R u n _ i t   (each byte a token; blanks open the word after them)
    #  1 0 1 1 1 0 0 0 1 1  0 0 0 0 0 1 0 0
    assert word_starts(text, encoding.offsets).astype(int).tolist() == [
        *(1, 0, 1, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0)
    ]  # fmt: skip


def test_a_normaliser_that_changes_lengths() -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    # NFKC makes of the ligature ﬁ two characters and of the ellipsis three; offsets refer to the text as it came.
    letters = ["▁", "f", "i", "n", "e", ".", "a"]
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), *((letter, -1.0) for letter in letters)], unk_id=0))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    text = "ﬁne… a"
    encoding = tokenizer.encode(text)
    assert encoding.tokens == ["▁", "f", "i", "n", "e", ".", ".", ".", "▁", "a"]
    assert word_starts(text, encoding.offsets).astype(int).tolist() == [1, 0, 0, 0, 0, 1, 0, 0, 1, 0]


def test_removed_characters_and_accents() -> None:
    tokenizer = plain_backend(word_piece("na", "##ive", "cafe", lowercase=True))
    text = "nai\u0308ve\x00 CAFÉ"
    encoding = tokenizer.encode(text, add_special_tokens=False)
    assert encoding.tokens == ["na", "##ive", "cafe"]
    assert word_starts(text, encoding.offsets).tolist() == [True, False, True]


def test_no_tokens() -> None:
    assert word_starts("  ", []).tolist() == []
    assert word_starts("", []).dtype == np.bool_


# The reference: words by a regular expression, tokens one by one.
_WORD = re.compile(r"[^\W_]+|[^\w\s]|_")
_HAN = re.compile(r"[\u3400-\u9fff]+")


def _reference(text: str, offsets: list[tuple[int, int]]) -> list[bool]:
    number, of = 0, [-1] * (len(text) + 1)
    for match in _WORD.finditer(text):
        for part in re.findall(r"[\u3400-\u9fff]+|[^\u3400-\u9fff]+", match.group()):
            first = text.index(part, match.start() if of[match.start()] < 0 else of.index(-1, match.start()))
            for word in rjieba.cut(part) if _HAN.match(part) else [part]:
                of[first : first + len(word)] = [number] * len(word)
                first, number = first + len(word), number + 1
    words = []
    for start, end in offsets:
        visible = next((place for place in range(start, end) if not text[place].isspace()), None)
        words.append(None if visible is None else of[visible])
    for index in reversed(range(len(words) - 1)):
        if words[index] is None:
            words[index] = words[index + 1]
    return [index == 0 or word != words[index - 1] for index, word in enumerate(words)]


_TEXTS = [
    "Azure's kube-proxy isn't re-indexed (v1.29) naïvely.",
    "def f(x_1):\n    return {'a': [1, 2.5e-3]}  # ok?\n\n```bash\naz aks create --name myAKS\n```",
    "使用语言模型来预测下一个词的概率，Azure很快。",
    "初命晋大夫魏斯、赵籍、韩虔为诸侯。臣光曰：天子之职莫大于礼。",
    "UPPER lower MiXeD ÄÖÜß 12,345.67 € ½ https://learn.microsoft.com/a?b=c#d",
]


@pytest.mark.parametrize("text", _TEXTS)
def test_every_kind_of_tokenizer_against_the_reference(real_tokenizer: tuple[str, Any], text: str) -> None:
    _, tokenizer = real_tokenizer
    encoding = plain_backend(tokenizer).encode(text, add_special_tokens=False)
    assert word_starts(text, encoding.offsets).tolist() == _reference(text, encoding.offsets)


def test_chinese_words_under_every_tokenizer_that_has_the_characters(real_tokenizer: tuple[str, Any]) -> None:
    name, tokenizer = real_tokenizer
    text = "使用语言模型来预测"
    encoding = plain_backend(tokenizer).encode(text, add_special_tokens=False)
    if max(end - start for start, end in encoding.offsets) > 2:
        pytest.skip(f"{name} takes the whole run for one unknown token")
    words = words_of(text, encoding.offsets)
    assert "".join(words) == text
    # Where no token reaches over two words, the words are jieba's.
    assert words == ["使用", "语言", "模型", "来", "预测"]


_text = st.text(st.sampled_from("ab1 \n.'_-é\u0301字使用语言\u3042\u30ab한ก\u0e35\ue000\u200d😀"), max_size=30)


@st.composite
def _tokenized(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]]]:
    """A text and tokens over it: ascending, some empty, some repeated (bytes of a character), some gaps."""
    text = draw(_text)
    offsets, place = [], 0
    while place < len(text):
        end = min(len(text), place + draw(st.integers(0, 4)))
        offsets += [(place, end)] * draw(st.integers(1, 2))
        place = max(end, place + draw(st.integers(0, 1)))
    return text, offsets


@given(_tokenized())
def test_the_first_token_starts_a_word_and_blanks_never_end_one(tokenized: tuple[str, list[tuple[int, int]]]) -> None:
    text, offsets = tokenized
    starts = word_starts(text, offsets)
    assert len(starts) == len(offsets)
    assert not len(starts) or starts[0]
    for index in range(1, len(offsets)):
        before = text[slice(*offsets[index - 1])]
        if not before.strip() and text[slice(*offsets[index])].strip():
            assert not starts[index], "a token of blanks belongs to the word after it"


@given(st.lists(_tokenized(), max_size=5))
def test_a_batch_is_the_texts_one_by_one(batch: list[tuple[str, list[tuple[int, int]]]]) -> None:
    starts, ends = token_bounds([offsets for _, offsets in batch])
    counts = np.array([len(offsets) for _, offsets in batch], np.int64)
    together = batch_word_starts([text for text, _ in batch], starts, ends, counts)
    apart = [word_starts(text, offsets) for text, offsets in batch]
    assert together.tolist() == [start for starts_of_one in apart for start in starts_of_one.tolist()]


@given(st.text(max_size=40))
def test_any_text_has_words(text: str) -> None:
    assert word_starts(text, characters(text)).shape == (len(text),)
