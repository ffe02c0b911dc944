"""Bytes of a text by token: the sums are exact whatever a tokenizer does to the text."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.tokens.byte_counts import batch_num_bytes, spread_bytes, token_num_bytes
from acclimate.tokens.tokenizers import plain_backend

from .helpers import byte_bpe, word_piece

# No lone surrogates: a corpus has none, and they have no UTF-8.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(" \n\tab.é字\u0301\u00a0\U0001f600"))


@cache
def backends() -> dict[str, Any]:
    return {
        "drops blanks, accents and control characters": plain_backend(
            word_piece("a", "b", "##b", "e", strip_accents=True)
        ),
        "several tokens a character": plain_backend(byte_bpe()),
        "blanks within the offsets": plain_backend(byte_bpe(trim_offsets=False)),
        "blanks outside the offsets": plain_backend(byte_bpe(trim_offsets=True)),
    }


def test_by_hand() -> None:
    # `a é字 ` with tokens `a`, `é` and `字`: a and a blank, two bytes, three bytes and a blank
    assert token_num_bytes("a é字 ", [0, 2, 3]).tolist() == [2, 2, 4]


def test_what_stands_before_the_first_token_is_its_own() -> None:
    assert token_num_bytes("  a b", [2, 4]).tolist() == [4, 1]


def test_of_tokens_with_one_start_the_last_has_it_all() -> None:
    assert token_num_bytes("a字b", [0, 1, 1, 1, 2]).tolist() == [1, 0, 0, 3, 1]


def test_starts_out_of_order_give_no_negative_count() -> None:
    assert token_num_bytes("abcd", [0, 3, 1, 3]).tolist() == [3, 0, 0, 1]


def test_texts_side_by_side() -> None:
    # The second has no tokens; the bytes of the third begin anew.
    counts = batch_num_bytes(["ab", "  ", "é c"], np.array([0, 1, 0, 2]), np.array([2, 0, 2]))
    assert counts.tolist() == [1, 1, 3, 1]


@pytest.mark.parametrize("name", backends())
@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_sums_are_exact(name: str, texts: list[str]) -> None:
    encodings = [backends()[name].encode(text, add_special_tokens=False) for text in texts]
    starts = np.array([start for encoding in encodings for start, _ in encoding.offsets], np.int64)
    lengths = np.array([len(encoding.ids) for encoding in encodings])
    num_bytes = batch_num_bytes(texts, starts, lengths)
    assert (num_bytes >= 0).all()
    for part, text in zip(np.split(num_bytes, np.cumsum(lengths)[:-1]), texts, strict=True):
        assert part.sum() == (len(text.encode()) if len(part) else 0)


def test_sums_are_exact_for_real_tokenizers(real_tokenizer: tuple[str, Any]) -> None:
    text = " Naïve  café—\u00a0“x”\r\n\n使用语言模型 ﬁ ½ \U0001f600\u200d e\u0301 \x00\ufeff한국어 "
    encoding = plain_backend(real_tokenizer[1]).encode(text, add_special_tokens=False)
    assert token_num_bytes(text, [start for start, _ in encoding.offsets]).sum() == len(text.encode())


@given(st.integers(0, 1000), st.integers(1, 50))
def test_shares_are_equal_and_sum_up(num_bytes: int, num_tokens: int) -> None:
    shares = spread_bytes(num_bytes, num_tokens)
    assert shares.sum() == num_bytes
    assert shares.max() - shares.min() <= 1


def test_nothing_to_spread_over() -> None:
    assert spread_bytes(5, 0).tolist() == []
