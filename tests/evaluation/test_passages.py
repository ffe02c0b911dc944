"""Passages token by token: their characters are the document's, and their surprise is the model's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from acclimate.evaluation.passages import compare_passages, passage_questions
from acclimate.evaluation.units import Reading, Unit, encode_units
from acclimate.objectives import make_objective
from acclimate.scoring.questions import Answer, ask
from tests.evaluation.test_sentences import reading
from tests.models.tiny import tiny_config
from tests.objectives.test_matrix import matrix_tokenizer


def test_a_passage_is_written_as_in_its_document(tiny_bert: Path) -> None:
    texts = [f"Node {word}:  the zone —\nuse the data, ünd more of it." for word in "abc"]
    read = reading(tiny_bert, *texts)
    asked = passage_questions(read, 12)
    assert len(asked.passages) == 2
    answers = [Answer(np.array([0]), np.array([1.0]), np.array([0])) for _ in asked.fields]
    for passage, (encoded, first, end) in zip(compare_passages(asked, None, answers), asked.passages, strict=True):
        assert len(passage.tokens) == end - first == 12
        written = "".join(token.text for token in passage.tokens)
        start = int(encoded.starts[first])
        assert encoded.unit.text[start:].startswith(written)
        assert all(token.before is None for token in passage.tokens)


def test_places_without_an_answer_are_empty(tiny_bert: Path) -> None:
    read = reading(tiny_bert, "the node 猫 of the data")
    asked = passage_questions(read, 6)
    answers = [Answer(np.arange(1) * 0 + place, np.array([0.5]), np.array([0])) for place in (0, 1, 3, 4, 5)]
    assert len(asked.fields) == 5  # the unknown token is not asked for
    (passage,) = compare_passages(asked, answers, answers)
    assert [token.after for token in passage.tokens] == [0.5, 0.5, None, 0.5, 0.5, 0.5]


def test_a_decoder_tells_all_tokens_at_once(tmp_path: Path) -> None:
    matrix_tokenizer("decoder").save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    objective = make_objective("clm", {}, tokenizer, max_length=64, seed=0)
    text = "w5 w9 w7 w8 w20 w6"
    read = Reading(objective, tokenizer, encode_units([Unit(0, "a", "", text)], tokenizer))
    asked = passage_questions(read, 6)
    assert len(asked.fields) == 1
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(tiny_config("llama")).eval()
    answers = ask(model, objective, asked.fields)
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.no_grad():
        shares = model(ids).logits[0].log_softmax(-1)
    expected = [-float(shares[place, ids[0, place + 1]]) for place in range(6)]
    (passage,) = compare_passages(asked, answers, answers)
    assert [token.after for token in passage.tokens] == pytest.approx(expected, abs=1e-4)
    assert [token.text for token in passage.tokens] == ["w5", " w9", " w7", " w8", " w20", " w6"]
