"""Examples are not picked by hand: as many that lost as that gained, and some at random; each says which."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from acclimate.evaluation.examples import Asked, choose_examples, random_questions
from acclimate.evaluation.term_questions import Occurrence, TermQuestion, term_question
from acclimate.evaluation.units import Reading
from acclimate.scoring.questions import Answer
from tests.evaluation.test_sentences import reading


def asked(read: Reading, unit: int, term: int, start: int, end: int, before: float, after: float) -> Asked:
    question = term_question(Occurrence(term, unit, start, end), read)
    assert question is not None

    def answer(loss: float) -> Answer:
        places = question.places
        guesses = tuple(((int(token), math.exp(-loss)),) for token in question.encoded.ids[places])
        return Answer(places, np.full(len(places), loss), np.full(len(places), 2), guesses)

    return Asked(question, answer(before), answer(after))


def test_gains_losses_and_chance(tiny_bert: Path) -> None:
    read = reading(tiny_bert, *(f"the zone of node {word}" for word in "abcdefg"))
    terms = [
        asked(read, 0, 0, 4, 8, 5.0, 1.0),
        asked(read, 1, 0, 4, 8, 5.0, 2.0),  # the same term, of which the first one is shown
        asked(read, 2, 1, 12, 16, 3.0, 2.9),
        asked(read, 3, 1, 12, 16, 3.0, 7.0),
        asked(read, 4, 2, 4, 8, 3.0, 3.0),
    ]
    at_random = [asked(read, unit, -1, 12, 16, 1.0, 1.0) for unit in (5, 6)]
    found = choose_examples(terms, at_random, 6, read.tokenizer)
    assert [(example.why, example.source) for example in found] == [
        ("gained", "0.md"),
        ("gained", "2.md"),
        ("lost", "3.md"),
        ("random", "5.md"),
        ("random", "6.md"),
    ]
    first = found[0]
    # A mask for each piece of `zone`: z ##o ##n ##e.
    assert first.text == "the [MASK][MASK][MASK][MASK] of node a"
    assert first.expected == ("zone",) and [blank.expected for blank in first.blanks] == ["z", "o", "n", "e"]
    assert [(blank.rank_before, blank.rank_after) for blank in first.blanks] == [(3, 3)] * 4
    assert first.blanks[0].probability_before == pytest.approx(math.exp(-5))
    assert first.blanks[0].after[0].text == "z" and first.blanks[1].after[0].probability == pytest.approx(math.exp(-1))


def test_words_at_random_are_words_of_different_units(tiny_bert: Path) -> None:
    read = reading(tiny_bert, *(f"the zone, of node {word} 42" for word in "abcdefg"), "!!", "")
    found = random_questions(read, 5)
    assert len(found) == 5 and len({question.occurrence.unit for question in found}) == 5

    def word(question: TermQuestion) -> str:
        one = question.occurrence
        return question.encoded.unit.text[one.start : one.end]

    words = [word(question) for question in found]
    assert all(one.isalpha() for one in words)
    assert words == [word(question) for question in random_questions(read, 5)]
    assert len(random_questions(read, 50)) == 7  # two units have no words
