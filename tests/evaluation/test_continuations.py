"""Continuations: which beginnings are chosen, and how each kind of model goes on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from acclimate.corpus import Document
from acclimate.errors import DataError
from acclimate.evaluation.continuations import (
    Beginning,
    choose_beginnings,
    continue_each,
    is_written_by,
    side_by_side,
)
from acclimate.scoring.spans import MAX_SPAN
from tests.evaluation.test_probes import ready
from tests.objectives.test_matrix import matrix_tokenizer


def document(name: str, text: str) -> Document:
    return Document(id=name, text=text, group=name, metadata={})


def words(number: int) -> str:
    return " ".join(f"w{5 + index % 90}" for index in range(number))


def test_a_beginning_has_32_tokens_and_so_has_what_follows() -> None:
    (found,) = choose_beginnings([document("a", words(80))], matrix_tokenizer("decoder"), 3)
    assert found.document == "a"
    assert found.prompt == words(32)
    assert found.prompt + found.actual == words(64)


def test_of_a_short_document_half_is_the_beginning() -> None:
    tokenizer = matrix_tokenizer("decoder")
    (found,) = choose_beginnings([document("a", words(20)), document("b", words(15))], tokenizer, 3)
    assert (found.prompt, found.prompt + found.actual) == (words(10), words(20))


def test_no_word_is_cut(tiny_bert: Any) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    # Tokens: 8 letters of `zqzqzqzq`, then a word of 12 letters, of which the half of all tokens, 10, would take two.
    (found,) = choose_beginnings([document("a", "zqzqzqzq qzqzqzqzqzqz")], tokenizer, 1)
    assert (found.prompt, found.actual) == ("zqzqzqzq", " qzqzqzqzqzqz")
    (found,) = choose_beginnings([document("b", "不之以为人也其有而子上下大王臣曰")], tokenizer, 1)
    assert (found.prompt, found.actual) == ("不之以为人也其有", "而子上下大王臣曰")
    assert choose_beginnings([document("c", "zq" * 20)], tokenizer, 1) == []


def test_which_documents_are_chosen_depends_on_their_ids_alone() -> None:
    documents = [document(f"d{number}", words(40 + number)) for number in range(9)]
    tokenizer = matrix_tokenizer("decoder")
    chosen = choose_beginnings(documents, tokenizer, 4)
    assert len(chosen) == 4
    assert choose_beginnings(reversed(documents), tokenizer, 4) == chosen
    assert choose_beginnings(documents, tokenizer, 2) == chosen[:2]
    assert choose_beginnings(documents, tokenizer, 0) == []


BEGINNINGS = [Beginning("a", "w5 w6 w7", " w8"), Beginning("b", "w9 w10", " w11")]


def test_a_decoder_takes_the_likeliest_token_whatever_its_settings() -> None:
    model, objective, tokenizer = ready("clm", "gpt2", {})
    # The prompt behind `<s>`, token by token, until `</s>` (2) or 32 tokens.
    ids = [0, 5, 6, 7]
    with torch.inference_mode():
        while ids[-1] != 2 and len(ids) < 4 + 32:
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    expected = tokenizer.decode([token for token in ids[4:] if token > 4])
    own = {"do_sample": True, "temperature": 5.0, "repetition_penalty": 9.0, "no_repeat_ngram_size": 1}
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=2, pad_token_id=1, **own)
    found = continue_each(model, objective, tokenizer, BEGINNINGS)
    assert len(found) == 2
    assert found[0].strip() == expected
    assert len(expected.split()) > 3


@pytest.mark.parametrize(
    ("name", "model_type", "options"),
    [
        ("prefix_lm", "llama", {}),
        ("prefix_lm", "llama", {"variant": "blank_infilling"}),
        ("span_denoising", "t5", {}),
        ("mass", "bart", {}),
        ("text_infilling", "bart", {}),
    ],
)
def test_models_that_write_go_on_in_their_way(name: str, model_type: str, options: dict[str, Any]) -> None:
    model, objective, tokenizer = ready(name, model_type, options)
    assert is_written_by(objective, objective.families[0] if name != "prefix_lm" else "decoder")
    found = continue_each(model, objective, tokenizer, BEGINNINGS)
    assert len(found) == 2
    assert all(len(text.split()) <= max(32, MAX_SPAN + 4) for text in found)
    assert found == continue_each(model, objective, tokenizer, BEGINNINGS)
    if name == "mass":
        assert all(text.split() for text in found)  # it tells a piece of given length


@pytest.mark.parametrize(("name", "model_type"), [("mlm", "bert"), ("mntp", "llama"), ("prefix_lm", "bert")])
def test_models_that_fill_masks_continue_nothing(name: str, model_type: str) -> None:
    model, objective, tokenizer = ready(name, model_type, {})
    with pytest.raises(DataError, match="continues no texts"):
        continue_each(model, objective, tokenizer, BEGINNINGS)


def test_no_beginnings() -> None:
    model, objective, tokenizer = ready("clm", "gpt2", {})
    assert continue_each(model, objective, tokenizer, []) == []


def test_side_by_side() -> None:
    first, _ = side_by_side(BEGINNINGS, [" x", " y"], [" z", " u"])
    assert first.to_json() == {"prompt": "w5 w6 w7", "before": " x", "after": " z", "actual": " w8", "document": "a"}
