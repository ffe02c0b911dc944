"""Chunks of documents, and what becomes of one."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.corpus import Document
from acclimate.errors import DataError
from acclimate.tokens import encoding
from acclimate.tokens.encoding import (
    BREAK,
    IS_RANDOM,
    JOINT,
    LAYERS,
    SECOND_START,
    SENTENCE_START,
    WORD_START,
    Layer,
    encode_documents,
    id_dtype,
    make_chunks,
)
from acclimate.tokens.tokenizers import SAMPLE, encode_text

from .helpers import byte_bpe, documents, word_piece


@given(
    st.lists(st.tuples(st.text("ab", max_size=6), st.sampled_from("xy")), max_size=12),
    st.integers(1, 12),
    st.integers(1, 4),
)
def test_chunks_are_the_documents_in_order_and_know_where_groups_end(
    content: list[tuple[str, str]], characters: int, count: int
) -> None:
    texts = [Document(str(number), text, group) for number, (text, group) in enumerate(content)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "CHUNK_CHARACTERS", characters)
        patch.setattr(encoding, "CHUNK_DOCUMENTS", count)
        chunks = list(make_chunks(texts))
    assert [text for chunk in chunks for text in chunk.texts] == [document.text for document in texts]
    assert [name for chunk in chunks for name in chunk.ids] == [document.id for document in texts]
    ends = [before.group != after.group for before, after in pairwise(texts)] + [True] * bool(texts)
    assert [end for chunk in chunks for end in chunk.ends_group] == ends
    assert all(1 <= len(chunk.ids) <= count for chunk in chunks)
    assert all(sum(map(len, chunk.texts[:-1])) < characters for chunk in chunks)


def test_a_chunk_by_hand() -> None:
    # `ab` is `a ##b`; `zz` is unknown. Joints: BERT has no newline, so [SEP] = 3 both within and after groups.
    tokenizer = word_piece("a", "##b", "c")  # 5, 6, 7
    (encoded,) = encode_documents(documents("ab c", "zz", "", "c", groups="xxyy"), tokenizer)
    assert encoded.ids.tolist() == [5, 6, 7, 3, 1, 3, 3, 7, 3]
    assert encoded.ids.dtype == np.uint16
    word, joint, sentence = BREAK | WORD_START, WORD_START | JOINT, BREAK | WORD_START | SENTENCE_START
    assert encoded.flags.tolist() == [sentence, 0, word, joint, sentence, joint, joint, sentence, joint]
    assert encoded.bounds.tolist() == [[0, 3], [4, 5], [6, 6], [7, 8]]
    assert encoded.ends_group == [False, True, False, True]
    assert (encoded.num_characters, encoded.num_unknown) == (7, 1)


def test_sentences_within_a_document_are_flagged() -> None:
    # Within a group the newline joins lines, which is no sentence's start; within a document it begins one.
    tokenizer = byte_bpe()
    (encoded,) = encode_documents(documents("A.\n\nB. C", "a", groups="xx"), tokenizer)
    tokens = tokenizer.convert_ids_to_tokens(encoded.ids.tolist())
    assert tokens == ["A", ".", "Ċ", "Ċ", "B", ".", "Ġ", "C", "Ċ", "a", "<eos>"]
    # `B.` is an initial, so that `C` goes on.
    assert np.flatnonzero(encoded.flags & SENTENCE_START).tolist() == [0, 2, 9]


def pair(first: str, second: str, *, is_random: bool = False) -> Document:
    metadata = {"pair": {"second": len(first) + 1, "is_random": is_random}}
    return Document(f"{first}/{second}", f"{first}\n{second}", f"{first}/{second}", metadata)


def test_a_pair_whose_line_break_is_a_token() -> None:
    tokenizer = byte_bpe()
    (encoded,) = encode_documents([pair("Ab", "c", is_random=True), *documents("a"), pair("b", "c")], tokenizer)
    tokens = tokenizer.convert_ids_to_tokens(encoded.ids.tolist())
    assert tokens == ["A", "b", "Ċ", "c", "<eos>", "a", "<eos>", "b", "Ċ", "c", "<eos>"]
    sentence, joint = BREAK | WORD_START | SENTENCE_START, WORD_START | JOINT
    second = sentence | SECOND_START
    assert encoded.flags.tolist() == [
        *(sentence, 0, joint, second | IS_RANDOM, joint),
        *(sentence, joint),
        *(sentence, joint, second, joint),
    ]
    # The line break is a byte of the document's text.
    assert encoded.num_bytes.tolist() == [1, 1, 1, 1, 0, 1, 0, 1, 1, 1, 0]


def test_a_pair_whose_line_break_is_dropped() -> None:
    (encoded,) = encode_documents([pair("ab c", "ab", is_random=True)], word_piece("a", "##b", "c"))
    assert encoded.ids.tolist() == [5, 6, 7, 5, 6, 3]
    assert np.flatnonzero(encoded.flags & SECOND_START).tolist() == [3]
    assert np.flatnonzero(encoded.flags & IS_RANDOM).tolist() == [3]
    assert np.flatnonzero(encoded.flags & JOINT).tolist() == [5]
    assert encoded.num_bytes.tolist() == [1, 2, 2, 1, 1, 0]


def test_a_pair_whose_second_text_has_no_token() -> None:
    (encoded,) = encode_documents([pair("ab", "\x01"), *documents("ab")], word_piece("a", "##b"))
    assert encoded.ids.tolist() == [5, 6, 3, 5, 6, 3]
    assert not (encoded.flags & (SECOND_START | IS_RANDOM)).any()


def test_a_pair_of_a_slow_tokenizer() -> None:
    from transformers import ByT5Tokenizer

    (encoded,) = encode_documents([pair("ab", "c", is_random=True), *documents("")], ByT5Tokenizer())
    # bytes + 3; the line break is a token of its own, `</s>` is 1
    assert encoded.ids.tolist() == [100, 101, 13, 102, 1, 1]
    assert np.flatnonzero(encoded.flags & SECOND_START).tolist() == [3]
    assert np.flatnonzero(encoded.flags & IS_RANDOM).tolist() == [3]
    assert np.flatnonzero(encoded.flags & JOINT).tolist() == [2, 4, 5]
    assert np.flatnonzero(encoded.flags & SENTENCE_START).tolist() == [0, 3]


def test_pairs_of_real_tokenizers(real_tokenizer: tuple[str, Any]) -> None:
    _, tokenizer = real_tokenizer
    first, second = "The first one, i.e. this.", "the other: 使用语言模型"
    (encoded,) = encode_documents([pair(first, second, is_random=True)], tokenizer)
    (place,) = np.flatnonzero(encoded.flags & SECOND_START)
    start, end = encoded.bounds[0]
    ids = encoded.ids[start:end][encoded.flags[start:end] & JOINT == 0].tolist()
    num_first = int((encoded.flags[:place] & JOINT == 0).sum())
    assert tokenizer.decode(ids[:num_first]) == tokenizer.decode(encode_text(tokenizer, first))
    assert tokenizer.decode(ids[num_first:]) == tokenizer.decode(encode_text(tokenizer, second))
    assert encoded.num_bytes.sum() == len(f"{first}\n{second}".encode())


def test_newlines_join_lines_and_the_end_token_groups() -> None:
    tokenizer = byte_bpe()
    newline, a, b = (tokenizer.convert_tokens_to_ids(token) for token in "Ċab")
    (encoded,) = encode_documents(documents("a", "b", "a", groups="xxy"), tokenizer)
    assert encoded.ids.tolist() == [a, newline, b, 256, a, 256]


def test_joints_are_no_unknown_tokens() -> None:
    # GPT-2 has one token for everything special; as a joint it is not counted as unknown.
    tokenizer = byte_bpe()
    tokenizer.unk_token = "<eos>"
    (encoded,) = encode_documents(documents("a", "b"), tokenizer)
    assert encoded.num_unknown == 0


def test_without_a_separator_documents_touch() -> None:
    (encoded,) = encode_documents(documents("a", "a"), word_piece("a", special=False))
    assert encoded.ids.tolist() == [5, 5]
    assert encoded.bounds.tolist() == [[0, 1], [1, 2]]
    assert encoded.flags.tolist() == [BREAK | WORD_START | SENTENCE_START] * 2


_TOLD = {"words": WORD_START, "sentences": SENTENCE_START}


@given(
    st.lists(
        st.text(st.sampled_from("ab c.\n\u00e9\u4f7f\u7528\U0001f600\u0301[]MASK"), max_size=30), min_size=1, max_size=6
    ),
    st.sets(st.sampled_from(LAYERS)),
)
def test_layers_only_add(texts: list[str], layers: set[Layer]) -> None:
    for tokenizer in (byte_bpe(trim_offsets=True), word_piece("a", "##b", "c", ".", "使", "用", lowercase=True)):
        (full,) = encode_documents(documents(*texts), tokenizer)
        (part,) = encode_documents(documents(*texts), tokenizer, layers=layers)
        assert part.ids.tolist() == full.ids.tolist()
        assert part.bounds.tolist() == full.bounds.tolist()
        told = {"words", *layers} if "sentences" in layers else layers
        absent = sum(_TOLD[layer] for layer in _TOLD if layer not in told)
        # Joints are words by themselves in any case.
        inside = part.flags & JOINT == 0
        assert part.flags[inside].tolist() == (full.flags & ~np.uint8(absent))[inside].tolist()
        assert (part.num_bytes is None) == ("bytes" not in layers)
        if part.num_bytes is not None:
            assert full.num_bytes is not None and part.num_bytes.tolist() == full.num_bytes.tolist()


def test_pairs_need_no_layer() -> None:
    given = [pair("ab c", "ab", is_random=True), *documents("a")]
    (encoded,) = encode_documents(given, byte_bpe(), layers=())
    assert np.flatnonzero(encoded.flags & SECOND_START).tolist() == [5]
    assert np.flatnonzero(encoded.flags & IS_RANDOM).tolist() == [5]
    assert np.flatnonzero(encoded.flags & JOINT).tolist() == [4, 7, 9]
    assert np.flatnonzero(encoded.flags & BREAK).tolist() == [0, 2, 5, 8]


def test_real_tokenizers_give_the_same_ids_without_offsets(real_tokenizer: tuple[str, Any]) -> None:
    _, tokenizer = real_tokenizer
    texts = [
        SAMPLE,
        "naïve [MASK] </s> <0x0A> ▁ a\u0300\u0301\r\n\t x",
        "使用语言模型，來預測下一個詞。",
        "ﬁ Ⅷ ｶﾞ 한국어",
    ]
    (fast,) = encode_documents(documents(*texts), tokenizer, layers=())
    (full,) = encode_documents(documents(*texts), tokenizer)
    assert fast.ids.tolist() == full.ids.tolist()


def test_ids_have_sixteen_bits_where_they_fit() -> None:
    assert id_dtype(1 << 16) == np.uint16  # the highest id is then 65,535
    assert id_dtype((1 << 16) + 1) == np.uint32


def test_a_slow_tokenizer_has_no_words() -> None:
    from transformers import ByT5Tokenizer

    (encoded,) = encode_documents(documents("ab"), ByT5Tokenizer(), num_workers=2)
    assert encoded.ids.tolist() == [100, 101, 1]
    assert encoded.flags.tolist() == [BREAK | WORD_START | SENTENCE_START, BREAK | WORD_START, WORD_START | JOINT]


def _encode_all(num_workers: int | None) -> list[tuple[Any, ...]]:
    texts = documents(
        *(f"ab {'c ' * (n % 7)}zz ab" for n in range(200)), groups="".join("xy"[n // 3 % 2] for n in range(200))
    )
    tokenizer = word_piece("a", "##b", "c")
    return [
        (part.document_ids, part.ids.tolist(), part.flags.tolist(), part.bounds.tolist(), part.num_unknown)
        for part in encode_documents(texts, tokenizer, num_workers)
    ]


def test_any_number_of_workers_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "CHUNK_CHARACTERS", 100)
    alone = _encode_all(1)
    assert len(alone) > 10
    assert _encode_all(2) == _encode_all(3) == _encode_all(None) == alone


def test_the_environment_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "CHUNK_CHARACTERS", 100)
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    _encode_all(2)
    assert "TOKENIZERS_PARALLELISM" not in os.environ
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    _encode_all(2)
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"


def test_a_worker_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*args: object) -> None:
        os._exit(1)

    monkeypatch.setattr(encoding, "CHUNK_CHARACTERS", 100)
    monkeypatch.setattr(encoding, "batch_word_starts", die)  # the forked workers have it too
    with pytest.raises(DataError, match="num_workers=1"):
        _encode_all(2)


def test_documents_are_taken_as_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "CHUNK_CHARACTERS", 1)
    taken = 0

    def stream() -> Any:
        nonlocal taken
        for document in documents(*["ab"] * 500):
            taken += 1
            yield document

    first = next(iter(encode_documents(stream(), word_piece("a", "##b"), 2)))
    assert first.ids.tolist() == [5, 6, 3]
    assert taken <= 10, "two chunks a worker, a few more to look ahead, not the whole corpus"
