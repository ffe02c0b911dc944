"""Where sentences start: English, Chinese and mixed text, and which token that is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.tokens.sentences import batch_sentence_starts, sentence_starts
from acclimate.tokens.tokenizers import plain_backend
from acclimate.tokens.words import word_starts

from .helpers import byte_bpe, word_piece


def cut(text: str) -> list[str]:
    starts = sentence_starts(text)
    return [text[start:end] for start, end in zip(starts, [*starts, len(text)][1:], strict=True)]


# `|` marks where a sentence starts, the first one aside.
ENGLISH = [
    "One. |Two! |Three? |Four?! |Five... |Six",
    "Dr. Smith met Mr. Jones, e.g. at 5 p.m. on Jan. 5. |He left.",
    "J. R. R. Tolkien wrote it. |See Fig. 3 and No. 7, i.e. the last. |No. |Yes.",
    "The U.S. Government said so. |That was in the U.S. |He left.",
    "Plan B. |The next one is Vitamin C, by A. Szent.",
    "It costs $3.50 in version 2.1. |Use Node.js or a.b/c?d=e&f!g. |Done",
    "It is in 1999. |Then came 2000. |See Smith et al. (2019), Inc. and Co. as well.",
    '"Really?" she said. |"Yes." |(It ended.) |[It did.] |He left.',
    "He asked: “Why?” |“So.” |‘Then.’ |It’s done.",
    "**Bold.** |_Slanted._ |`code.` |`code` begins here. |Then not. or so… |Well… |Yes… no",
    "He said wait... and went. |Etc. and so on. |Bread, milk, etc. |The end.",
    "Wait ... |What? , he said. |(Who?) ; no! ! . . |No",
    "NBSP.\u00a0|Next A.\u00a0Smith came.\u3000|End",
]
CHINESE = [
    "何谓礼？|纪纲是也；|何谓分？|君臣是也。",
    "子曰：「學而時習之，不亦說乎？」|有朋自遠方來……|不亦樂乎！！|「好。」|他說。|『對！』|她笑了。",
    "他说：“走吧！”|（他走了。）|“是的。’”|好。",
    "“走吧！”，他说。|“嗯。”、“好！”；|是",  # a comma goes on
    "看过《怎么办？》的人。|他",
    '他说："走吧。"|他走了。|"来。|我走。"|她说。',  # straight quotes: every second one closes
    "好的!|他走了?|走了.也算",
    "对？！|不对！？|真的。。。|嗯｡|哦",
]
MIXED = [
    "使用 Azure。|It is a cloud. |它很好！|e.g. 这个. |Next",
    "See 「中文。」|Then English. |中文 and English。|end。",
    "版本 2.1 支持 Node.js。|v1.2 不支持。",
]
LINES = [
    "# Title\n\n|First.\n|Second\n \t\n|third",
    "wrapped at some\nwidth. |And so\non.\n|New line",
    "- an item\n|- another\n|1. First. |It is.\n|2.1. Second\n|iv. Fourth\n|a. letter",
    "by Mr.\nSmith and J.\nDoe, i.e.\nBoth.\n|.NET is new",
    "CR is a blank.\r\n|Next\r\nand so on",
    "第一行\n|第二行，\n|English\nquoted",
]


@pytest.mark.parametrize("marked", ENGLISH + CHINESE + MIXED + LINES)
def test_by_hand(marked: str) -> None:
    assert cut(marked.replace("|", "")) == marked.split("|")


def test_rows_of_a_table_are_sentences() -> None:
    assert cut("Cell | cell\nCell | x.") == ["Cell | cell\n", "Cell | x."]


@pytest.mark.parametrize(
    ("text", "starts"), [("", []), (" \n\t", []), ("  a", [2]), (". . .", [0]), ("\n\n。a", [2, 3])]
)
def test_edges(text: str, starts: list[int]) -> None:
    assert sentence_starts(text) == starts


TEXTS = st.text(st.sampled_from("aZ1.!?…。！？；」”\"')(*`|,，字 \n\r\t\u00a0é\U0001f600") | st.characters())


@given(TEXTS)
def test_sentences_begin_visibly_and_lose_nothing(text: str) -> None:
    starts = sentence_starts(text)
    assert starts == sorted(set(starts))
    assert not any(text[start].isspace() for start in starts)
    assert "".join(cut(text)) == text.lstrip()


@given(TEXTS, TEXTS)
def test_a_blank_line_parts_texts(one: str, two: str) -> None:
    both = f"{one}\n\n{two}"
    assert sentence_starts(both) == sentence_starts(one) + [len(one) + 2 + start for start in sentence_starts(two)]


@pytest.mark.parametrize("text", ["\n", '。"', ". ", "(", ".((", "a.\n ", "!", "Mr. "])
def test_hostile_text_takes_no_longer_than_other(text: str) -> None:
    # 200,000 characters; whatever is quadratic in them would take minutes.
    begin = time.perf_counter()
    sentence_starts(text * (200_000 // len(text)))
    assert time.perf_counter() - begin < 10


# ---- tokens ---------------------------------------------------------------------------------------------------------


def token_starts(backend: Any, *texts: str) -> tuple[list[list[str]], list[int]]:
    """The tokens of the texts, and the numbers of those that start a sentence."""
    encodings = [backend.encode(text, add_special_tokens=False) for text in texts]
    offsets = [encoding.offsets for encoding in encodings]
    bounds = np.array([bound for part in offsets for bound in part], np.int64).reshape(-1, 2)
    words = np.concatenate([word_starts(text, part) for text, part in zip(texts, offsets, strict=True)])
    counts = np.array([len(part) for part in offsets])
    flags = batch_sentence_starts(texts, bounds[:, 0], bounds[:, 1], counts, words)
    assert not (flags & ~words).any()
    return [encoding.tokens for encoding in encodings], np.flatnonzero(flags).tolist()


def test_the_token_of_a_sentence() -> None:
    backend = plain_backend(word_piece("a", "##b", ".", "c", "C"))
    tokens, starts = token_starts(backend, "ab c. C ab. ab", "c", "", "ab.\n\nab")
    assert tokens == [
        ["a", "##b", "c", ".", "C", "a", "##b", ".", "a", "##b"],
        ["c"],
        [],
        ["a", "##b", ".", "a", "##b"],
    ]
    # `. ab` goes on in lower case; each text begins a sentence; a blank line does.
    assert starts == [0, 4, 10, 11, 14]


def test_blanks_belong_to_the_sentence_after_them() -> None:
    # Bytes: `A . Ġ B . Ċ Ċ C`; a blank is a token of its own here, and begins the word after it.
    tokens, starts = token_starts(plain_backend(byte_bpe(use_regex=False)), "Ax. Bx.\n\nCx")
    assert tokens == [["A", "x", ".", "Ġ", "B", "x", ".", "Ċ", "Ċ", "C", "x"]]
    assert starts == [0, 3, 7]


def test_of_the_bytes_of_a_character_the_first_starts_the_sentence() -> None:
    tokens, starts = token_starts(plain_backend(byte_bpe()), "好。他")
    assert len(tokens[0]) == 9
    assert starts == [0, 6]


def test_a_text_that_begins_with_what_is_dropped() -> None:
    # Control characters have no token; the sentence begins with the first that has one, also in the next text.
    _, starts = token_starts(plain_backend(word_piece("a", "b", ".")), "\x01\x02a. \x03", "b")
    assert starts == [0, 2]


def test_real_tokenizers_agree_on_sentences(real_tokenizer: tuple[str, Any]) -> None:
    name, tokenizer = real_tokenizer
    text = "It is new. He wrote e.g. the code.\n\nThe end! 子曰：「學而時習之，不亦說乎？」有朋自遠方來。Done."
    _, starts = token_starts(plain_backend(tokenizer), text)
    assert len(sentence_starts(text)) == len(starts) == 6, name


def test_speed(shared_data: Path) -> None:
    pages = sorted((shared_data / "corpora" / "azure-docs" / "azure-security-docs").rglob("*.md"))
    texts = [page.read_text("utf-8-sig") for page in pages]
    begin = time.perf_counter()
    count = sum(len(sentence_starts(text)) for text in texts)
    rate = sum(map(len, texts)) / (time.perf_counter() - begin)
    assert count > 20_000
    assert rate > 3e6, "characters a second; 30 million are usual"
