"""What objectives know of a tokenizer."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from transformers import AddedToken

from acclimate.objectives.vocabulary import Vocabulary
from acclimate.tokens.added import add_missing_tokens
from acclimate.tokens.tokenizers import Frame
from tests.objectives.tiny import CLS, FIRST_REGULAR, MASK, PAD, SEP, tokenizer, vocabulary


def test_of_a_bert_tokenizer() -> None:
    found, expected = Vocabulary.of(tokenizer()), vocabulary()
    for name in Vocabulary.__dataclass_fields__:
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    assert (found.pad_id, found.mask_id, found.sep_id, found.eos_id) == (PAD, MASK, SEP, None)
    assert found.frame == Frame((CLS,), (SEP,))
    assert found.regular_ids[0] == FIRST_REGULAR


def test_added_control_tokens_are_special_and_added_words_are_not() -> None:
    plain = tokenizer()
    plain.add_tokens([AddedToken("<control>", special=True), AddedToken("word", special=False)])
    found = Vocabulary.of(plain)
    control, word = plain.convert_tokens_to_ids(["<control>", "word"])
    assert found.special[control] and not found.special[word]
    assert control not in found.regular_ids and word in found.regular_ids
    assert found.size == len(plain) == 102


def test_sentinels_are_special_and_in_order() -> None:
    added, _ = add_missing_tokens(tokenizer(), ("pad", "eos", "sentinels"))
    found = Vocabulary.of(added, decoder_start_id=PAD)
    assert found.sentinels[:2] == tuple(added.convert_tokens_to_ids(["<extra_id_0>", "<extra_id_1>"]))
    assert len(found.sentinels) == 100
    assert found.special[list(found.sentinels)].all()
    assert found.eos_id is not None and found.special[found.eos_id]
    assert found.decoder_start_id == PAD


@pytest.mark.parametrize("make", [vocabulary, lambda: Vocabulary.of(tokenizer())])
def test_it_travels_to_workers(make: object) -> None:
    found = make()  # type: ignore[operator]
    again = pickle.loads(pickle.dumps(found))
    for name in Vocabulary.__dataclass_fields__:
        assert np.array_equal(getattr(found, name), getattr(again, name)), name
