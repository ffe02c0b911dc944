"""Terms hidden whole: all pieces must be right, in a model made by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from acclimate.evaluation.term_questions import (
    Hit,
    Occurrence,
    compare_terms,
    find_occurrences,
    pieces_per_word,
    term_question,
)
from acclimate.evaluation.terms import FoundTerm
from acclimate.evaluation.units import Reading
from acclimate.scoring.questions import ask, asked_places
from tests.evaluation.test_sentences import reading


class Knows(torch.nn.Module):
    """Says the same pieces at every mask: the first ones of `said` in turn, from left to right in each text."""

    def __init__(self, said: list[int], size: int) -> None:
        super().__init__()
        self.said, self.size = said, size
        self.anything = torch.nn.Parameter(torch.zeros(1))
        self.config = SimpleNamespace(vocab_size=size, model_type="bert", is_encoder_decoder=False)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        logits = torch.zeros(*input_ids.shape, self.size)
        for row, ids in enumerate(input_ids.tolist()):
            for turn, place in enumerate(place for place, token in enumerate(ids) if token == 4):
                logits[row, place, self.said[turn % len(self.said)]] = 5.0
        return SimpleNamespace(logits=logits)


def term(text: str) -> FoundTerm:
    return FoundTerm(tuple(text.split()), text, 5.0, 9, 0)


def pieces(read: Reading, text: str) -> list[int]:
    return [int(read.tokenizer.convert_tokens_to_ids(piece)) for piece in text.split()]


@pytest.mark.parametrize(
    ("said", "found"),
    [("z ##o ##n ##e", True), ("z ##o ##n ##n", False), ("n ##o ##n ##e", False)],
)
def test_all_pieces_must_be_right(tiny_bert: Path, said: str, found: bool) -> None:
    read = reading(tiny_bert, "the zone of the node")
    (occurrence,) = find_occurrences([term("zone")], read, 5)
    asked = term_question(occurrence, read)
    assert asked is not None
    assert asked.places.tolist() == asked_places(asked.fields).tolist() == [1, 2, 3, 4]
    model = Knows(pieces(read, said), len(read.tokenizer))
    (answer,) = ask(model, read.objective, [asked.fields])
    assert asked.found(answer) is found


def test_a_term_is_hidden_wherever_it_stands(tiny_bert: Path) -> None:
    read = reading(tiny_bert, "the node pool of a node and the node pool")
    found = find_occurrences([term("node pool")], read, 5)
    assert [(one.start, one.end) for one in found] == [(4, 13), (32, 41)]
    asked = term_question(found[0], read)
    assert asked is not None
    text = read.tokenizer.decode(asked.fields["input_ids"]).replace("[MASK]", "_")
    # `pool` is p ##o ##o ##l; the node without a pool stays.
    assert " ".join(text.split()) == "[CLS] the _ _ _ _ _ of a node and the _ _ _ _ _ [SEP]"
    # The other occurrence is no answer to this question.
    model = Knows([*pieces(read, "node p ##o ##o ##l"), *pieces(read, "the") * 5], len(read.tokenizer))
    (answer,) = ask(model, read.objective, [asked.fields])
    assert asked.found(answer)


def test_occurrences_are_limited_and_told_apart_by_unit(tiny_bert: Path) -> None:
    read = reading(tiny_bert, *(["the zone and Zone"] * 6))
    found = find_occurrences([term("zone"), term("node")], read, 7)
    assert len(found) == 7 and {one.term for one in found} == {0}
    again = find_occurrences([term("zone"), term("node")], read, 7)
    assert [vars(one) for one in again] == [vars(one) for one in found]


def test_what_cannot_be_asked_for_is_no_question(tiny_bert: Path) -> None:
    read = reading(tiny_bert, "the 猫猫 of the network")
    assert term_question(Occurrence(0, 0, 4, 6), read) is None  # unknown characters
    assert term_question(Occurrence(0, 0, 14, 17), read) is None  # a part of a token


def test_the_table_of_terms(tiny_bert: Path) -> None:
    texts = [f"the zone {word}" for word in "abcdef"]
    read = reading(tiny_bert, *texts, "the node")
    terms = [term("zone"), term("node"), term("new data")]
    asked = [term_question(one, read) for one in find_occurrences(terms, read, 10)]
    assert len(asked) == 7 and None not in asked
    # `zone` was found once before and five times after, `node` before only; `new data` is nowhere.
    hits = []
    for number, one in enumerate(asked):
        assert one is not None
        is_zone = one.occurrence.term == 0
        hits.append(Hit(one, number == 0 or not is_zone, is_zone and number < 5))
    found = compare_terms(terms, read, hits, resamples=500, general_pieces=1.5)
    assert [(one.term, one.asked, one.before, one.after, one.gain) for one in found.terms] == [
        ("zone", 6, 1, 5, pytest.approx(4 / 6)),
        ("node", 1, 1, 0, -1.0),
        ("new data", 0, 0, 0, None),
    ]
    assert (found.asked, found.before, found.after) == (7, pytest.approx(2 / 7), pytest.approx(5 / 7))
    assert found.difference is not None and found.difference.mean == pytest.approx(3 / 7)
    # Per word: zone 4, node 1, new data 2 / 2.
    assert found.mean_pieces == pytest.approx((4 + 1 + 1) / 3)
    assert found.terms[2].pieces == 2 and found.general_pieces == 1.5
    few = compare_terms(terms, read, hits[:4], resamples=500, general_pieces=None)
    assert few.difference is None
    assert np.isfinite(few.mean_pieces)


def test_pieces_per_word_count_words_with_letters_only(tiny_bert: Path) -> None:
    # zone: 4 pieces, the: 1; marks and numbers are no words.
    assert pieces_per_word(reading(tiny_bert, "the zone, 42!").units) == pytest.approx(5 / 2)
    assert pieces_per_word(reading(tiny_bert, "42").units) is None
