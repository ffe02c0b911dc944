"""Pseudo-log-likelihood: against a loop over masks in plain transformers, with the rest of the word masked as well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from acclimate.evaluation.sentences import SentenceQuestions, compare_sentences, sentence_questions, word_by_word
from acclimate.evaluation.units import Reading, Unit, encode_units
from acclimate.objectives import make_objective
from acclimate.scoring.questions import Answer, ask


def reading(folder: Path, *texts: str, max_length: int = 64) -> Reading:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    objective = make_objective("mlm", {}, tokenizer, max_length=max_length, seed=0)
    units = [Unit(number, f"{number}.md", "", text) for number, text in enumerate(texts)]
    return Reading(objective, tokenizer, encode_units(units, tokenizer))


def test_the_sum_over_masks_is_that_of_a_loop(tiny_bert: Path) -> None:
    # `zone` and `x` are not in the vocabulary: z ##o ##n ##e.
    text = "the zone of the node"
    read = reading(tiny_bert, text)
    encoded = read.units[0]
    tokens = read.tokenizer.convert_ids_to_tokens(encoded.ids.tolist())
    assert tokens == ["the", "z", "##o", "##n", "##e", "of", "the", "node"]
    model = AutoModelForMaskedLM.from_pretrained(tiny_bert).eval()
    expected = []
    for place, last in enumerate([1, 5, 5, 5, 5, 6, 7, 8]):  # where the word of each token ends
        framed = torch.tensor([[2, *encoded.ids.tolist(), 3]])
        framed[0, place + 1 : last + 1] = read.tokenizer.mask_token_id
        with torch.no_grad():
            shares = model(framed).logits[0, place + 1].log_softmax(-1)
        expected.append(float(shares[encoded.ids[place]]))
    asked = [one for one in word_by_word(read.objective, encoded.ids, encoded.word_starts) if one is not None]
    answers = ask(model, read.objective, asked)
    assert [-float(answer.losses[0]) for answer in answers] == pytest.approx(expected, abs=1e-4)
    found = compare_sentences(SentenceQuestions(tuple(asked), (0,) * 8, (0,) * 8), answers, answers, 100)
    assert found is not None
    assert found.before == found.after == pytest.approx(np.mean(expected), abs=1e-4)
    assert (found.difference.mean, found.num_tokens, found.num_units) == (0.0, 8, 1)


def test_the_difference_is_per_token_and_over_units() -> None:
    def answers(*losses: float) -> list[Answer]:
        return [Answer(np.array([0]), np.array([loss]), np.array([1])) for loss in losses]

    # Sentence 0 has two tokens, sentence 1 one: before -(1 + 3) and -2, after -(1 + 1) and -5. Two units are too few,
    # so that sentences are drawn.
    asked = SentenceQuestions(({}, {}, {}), (4, 4, 9), (0, 0, 1))
    found = compare_sentences(asked, answers(1, 3, 2), answers(1, 1, 5), 1000)
    assert found is not None
    assert (found.before, found.after) == (pytest.approx(-6 / 3), pytest.approx(-7 / 3))
    assert found.difference.mean == pytest.approx(-1 / 3)
    # Only sentence 0 was drawn: +2 over 2 tokens; only sentence 1: -3.
    assert (found.difference.low, found.difference.high) == (pytest.approx(-3), pytest.approx(1))
    # Six units of two sentences each: units are drawn.
    twice = SentenceQuestions(({},) * 12, (1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6), tuple(range(12)))
    over_units = compare_sentences(twice, answers(*[1, 2] * 6), answers(*[2, 1] * 6), 100)
    assert over_units is not None and over_units.num_units == 6
    assert (over_units.difference.low, over_units.difference.high) == (0.0, 0.0)
    assert compare_sentences(SentenceQuestions(), [], [], 100) is None


def test_sentences_come_from_as_many_units_as_there_are(tiny_bert: Path) -> None:
    texts = [f"The node {word} runs. The data is new. You can use the model." for word in ("a", "b", "c", "d")]
    asked = sentence_questions(reading(tiny_bert, *texts), 4)
    assert set(asked.units) == {0, 1, 2, 3}
    assert len(asked.fields) == len(asked.units)
    # Again the same; and with fewer sentences than units, one of each.
    assert sentence_questions(reading(tiny_bert, *texts), 4).units == asked.units
    assert len(set(sentence_questions(reading(tiny_bert, *texts), 2).units)) == 2


def test_a_long_sentence_is_cut_and_what_says_nothing_is_left_out(tiny_bert: Path) -> None:
    long = "the node of the data " * 40
    asked = sentence_questions(reading(tiny_bert, long, "1 2 3 4 5 6", "the"), 9)
    assert set(asked.units) == {0}
    assert 40 < len(asked.fields) <= 64
    assert max(len(fields["input_ids"]) for fields in asked.fields) <= 64
