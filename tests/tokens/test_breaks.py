"""Where a row may break, told by tokens alone."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from acclimate.tokens.breaks import break_rule
from acclimate.tokens.encoding import BREAK, JOINT, WORD_START, encode_documents
from acclimate.tokens.tokenizers import plain_state

from .helpers import byte_bpe, documents


def pieces_before(model: dict[str, Any], *pieces: str, **parts: Any) -> list[bool]:
    """Whether a row may break before each piece of a vocabulary."""
    rule = break_rule({"model": {**model, "vocab": {p: n for n, p in enumerate(pieces)}}, "added_tokens": [], **parts})
    return rule.before.tolist()


def test_word_pieces_break_but_before_their_continuations() -> None:
    model = {"type": "WordPiece", "continuing_subword_prefix": "##"}
    assert pieces_before(model, "the", "##s", ",", "使", "##使", "[UNK]") == [True, False, True, True, False, True]


def test_pieces_with_blanks_break_there_and_at_what_is_no_letter() -> None:
    model = {"type": "Unigram"}
    assert pieces_before(model, "▁the", "the", "▁", "3", ",", "使用", "の", "한국", "ก") == [
        *(True, False, True, False),
        *(True, True, True, False, True),
    ]
    # A mark goes with the character before it; `<0x0A>` is a line break, `<0xE4>` begins a Chinese character, `<0xBD>`
    # stands within one, `<0xC3>` begins a letter.
    assert pieces_before(model, "\u0301a", "<0x0A>", "<0xE4>", "<0xBD>", "<0xC3>", "<0x41>") == [
        *(False, True, True),
        *(False, False, False),
    ]


def test_byte_level_pieces_are_read_as_bytes() -> None:
    parts = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}]}}
    # `Ġ` is a blank, `Ċ` a line break; `ä½¿` are the bytes of 使, `ä` and `ä½` the first of them, `½¿` the others; `Ã©`
    # is é, `í` the first of Korean ones, `ðŁĺ` of an emoji.
    pieces = ["Ġthe", "the", "Ċ", "ä½¿", "ä", "ä½", "½¿", "Ã©", "í", "ðŁĺ", "'s"]
    expected = [True, False, True, True, True, True, False, False, False, True, True]
    assert pieces_before({"type": "BPE"}, *pieces, **parts) == expected


def test_a_word_may_end_with_its_last_piece() -> None:
    rule = break_rule(
        {
            "model": {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": {"a": 0, "b</w>": 1, ".": 2}},
            "added_tokens": [],
        }
    )
    # ab | . | b | a
    assert rule.breaks(np.array([0, 1, 2, 1, 0])).tolist() == [False, False, True, False, True]


def test_ids_beyond_the_vocabulary_break() -> None:
    state = {"model": {"type": "BPE", "vocab": {"a": 0}}, "added_tokens": [{"id": 2, "content": "<x>"}]}
    assert break_rule(state).before.tolist() == [False, True, True]


def test_words_by_themselves_all_break() -> None:
    assert pieces_before({"type": "WordLevel"}, "a", "b") == [True, True]


def test_every_id_of_a_real_tokenizer_has_its_rule(real_tokenizer: tuple[str, Any]) -> None:
    _, tokenizer = real_tokenizer
    rule = break_rule(json.loads(plain_state(tokenizer)))
    assert len(rule.before) >= len(tokenizer.get_vocab())
    assert rule.before.any() and not rule.before.all()


@pytest.mark.parametrize("text", ["The cat's naïve: a.b,c (x_1)\n\n- don't stop", "e\u0301te\u0301 déjà vu 3.14"])
def test_a_break_never_falls_within_a_word_of_letters(real_tokenizer: tuple[str, Any], text: str) -> None:
    name, tokenizer = real_tokenizer
    (encoded,) = encode_documents(documents(text), tokenizer)
    within = np.flatnonzero((encoded.flags & (BREAK | WORD_START | JOINT)) == BREAK)
    tokens = tokenizer.convert_ids_to_tokens(encoded.ids[within].tolist())
    assert not tokens, (name, tokens)
    assert (encoded.flags & BREAK != 0).sum() > 3


def test_breaks_of_bytes_by_hand() -> None:
    (encoded,) = encode_documents(documents("ab c.d"), byte_bpe(), layers=())
    # a b ␠ c . d and the end token, a joint
    assert np.flatnonzero(encoded.flags & BREAK).tolist() == [0, 2, 4]
    (encoded,) = encode_documents(documents("a\n  (b"), byte_bpe(), layers=())
    # a ⏎ ␠ ␠ ( b: blanks go with what is behind them
    assert np.flatnonzero(encoded.flags & BREAK).tolist() == [0, 1]
