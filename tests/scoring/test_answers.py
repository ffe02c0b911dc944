"""What models put in blanks, and what they think of the right answer: against a plain forward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertConfig, BertForPreTraining, PreTrainedTokenizerFast

from acclimate.errors import DataError
from acclimate.models.directed import direct
from acclimate.scoring.answers import (
    Answer,
    LeftToRightAsker,
    MaskedAsker,
    SpanAsker,
    encode_filled,
    likeliest_together,
)
from acclimate.scoring.spans import SpanCandidate
from tests.models.tiny import tiny_model
from tests.objectives.test_matrix import matrix_tokenizer


@pytest.fixture(scope="module")
def bert(tiny_bert: Path) -> tuple[Any, Any]:
    torch.manual_seed(1)
    return AutoModelForMaskedLM.from_pretrained(tiny_bert).eval(), AutoTokenizer.from_pretrained(tiny_bert)


def log_probabilities(model: Any, ids: Sequence[int]) -> torch.Tensor:
    with torch.inference_mode():
        output = model(input_ids=torch.tensor([list(ids)]))
        return (output.logits if hasattr(output, "logits") else output.prediction_logits)[0].log_softmax(-1)


def rank(said: torch.Tensor, token: int) -> int:
    return said.argsort(descending=True).tolist().index(token) + 1


# ---- sequences of tokens that are chosen independently --------------------------------------------------------------


def test_the_likeliest_pairs_are_those_of_the_largest_products() -> None:
    said = torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.1, 0.4]]).log()
    found = [(ids, math.exp(total)) for ids, total in likeliest_together(said, 4)]
    # 0.6 x 0.5, 0.6 x 0.4, 0.3 x 0.5, 0.3 x 0.4.
    assert [ids for ids, _ in found] == [[0, 0], [0, 2], [1, 0], [1, 2]]
    assert [probability for _, probability in found] == pytest.approx([0.30, 0.24, 0.15, 0.12])


# ---- which tokens an answer has --------------------------------------------------------------------------------------


def tokens_of(tokenizer: Any, text: str, *expected: str | None, **options: Any) -> tuple[list[str], list[list[str]]]:
    found = encode_filled(tokenizer, text, expected, mask=str(tokenizer.mask_token), framed=False, **options)
    tokens = tokenizer.convert_ids_to_tokens(found.ids)
    return tokens, [[tokens[place] for place in blank] for blank in found.blanks]


def test_an_answer_has_the_tokens_that_it_has_in_its_text(bert: tuple[Any, Any]) -> None:
    _, tokenizer = bert
    assert tokens_of(tokenizer, "the [MASK] is", "model") == (["the", "model", "is"], [["model"]])
    assert tokens_of(tokenizer, "the m[MASK] is", "od") == (["the", "m", "##o", "##d", "is"], [["##o", "##d"]])
    assert tokens_of(tokenizer, "之[MASK]人", "王")[1] == [["王"]]
    assert tokens_of(tokenizer, "the [MASK] [MASK]", None, "cloud")[1] == [["[MASK]"], ["cloud"]]


def test_the_blank_before_a_word_is_its_own() -> None:
    """As in byte-level BPE, where a word has its blank in its first token."""
    pieces = ["a", "b", "Ġ", "Ġa", "Ġab", "ab", "[MASK]"]
    backend = Tokenizer(
        models.BPE({piece: index for index, piece in enumerate(pieces)}, [("Ġ", "a"), ("Ġa", "b"), ("a", "b")])
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, mask_token="[MASK]")
    assert tokens_of(tokenizer, "b [MASK] b", "ab")[1] == [["Ġab"]]
    # Where nothing is expected, the blank is left to the mask if it is the word's.
    assert tokens_of(tokenizer, "b [MASK] b", None)[0] == ["b", "Ġ", "[MASK]", "Ġ", "b"]
    assert tokens_of(tokenizer, "b [MASK] b", None, joined=True)[0] == ["b", "[MASK]", "Ġ", "b"]


# ---- masked models ---------------------------------------------------------------------------------------------------


def test_one_mask(bert: tuple[Any, Any]) -> None:
    model, tokenizer = bert
    said = log_probabilities(model, tokenizer("the [MASK] is new")["input_ids"])[2]
    (found,) = MaskedAsker(model, tokenizer).ask("the [MASK] is new", ["cloud"])
    token = tokenizer.convert_tokens_to_ids("cloud")
    assert found.rank == rank(said, token)
    assert found.probability == pytest.approx(float(said[token].exp()), rel=1e-4)
    best = said.topk(5)
    assert [text for text, _ in found.guesses] == tokenizer.convert_ids_to_tokens(best.indices.tolist())
    assert [probability for _, probability in found.guesses] == pytest.approx(best.values.exp().tolist(), rel=1e-4)
    (unknown,) = MaskedAsker(model, tokenizer).ask("the [MASK] is new", [None])
    assert unknown == Answer(found.guesses)


def test_an_answer_of_several_pieces_has_as_many_masks(bert: tuple[Any, Any]) -> None:
    model, tokenizer = bert
    pieces = tokenizer.convert_tokens_to_ids(["k", "##u"])
    mask, (cls, the, is_, sep) = 4, tokenizer("the is")["input_ids"]
    said = log_probabilities(model, [cls, the, mask, mask, is_, sep])[2:4]
    (found,) = MaskedAsker(model, tokenizer).ask("the [MASK] is", ["ku"])
    assert found.probability == pytest.approx(math.exp(float(said[0, pieces[0]] + said[1, pieces[1]])), rel=1e-4)
    assert found.rank == max(rank(said[0], pieces[0]), rank(said[1], pieces[1]))
    assert len(found.guesses) == 5


def test_several_blanks_are_asked_at_once(bert: tuple[Any, Any]) -> None:
    model, tokenizer = bert
    said = log_probabilities(model, tokenizer("[MASK] 之 [MASK]")["input_ids"])
    first, second = MaskedAsker(model, tokenizer).ask("[MASK]之[MASK]", ["王", None])
    assert first.rank == rank(said[1], tokenizer.convert_tokens_to_ids("王"))
    assert second.rank is None
    assert second.guesses[0][0] == tokenizer.convert_ids_to_tokens(int(said[3].argmax()))


def test_an_answer_that_the_vocabulary_lacks_has_no_rank(bert: tuple[Any, Any]) -> None:
    (found,) = MaskedAsker(*bert).ask("之[MASK]", ["霾"])
    assert (found.rank, found.probability) == (None, None)
    assert len(found.guesses) == 5


def test_what_cannot_be_asked(bert: tuple[Any, Any]) -> None:
    asker = MaskedAsker(*bert)
    with pytest.raises(DataError, match="longer than the model's 64 positions"):
        asker.ask("the " * 70 + "[MASK]", ["cloud"])
    with pytest.raises(DataError, match="no token for"):
        asker.ask("the [MASK]", ["\u200b"])


def test_a_head_with_a_second_verdict(bert: tuple[Any, Any]) -> None:
    _, tokenizer = bert
    torch.manual_seed(2)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    model = BertForPreTraining(config).eval()
    said = log_probabilities(model, tokenizer("the [MASK]")["input_ids"])[2]
    (found,) = MaskedAsker(model, tokenizer).ask("the [MASK]", ["cloud"])
    assert found.rank == rank(said, tokenizer.convert_tokens_to_ids("cloud"))


def test_a_decoder_of_mntp_tells_a_token_from_the_position_before(tmp_path: Path) -> None:
    tokenizer, model = matrix_tokenizer("decoder"), tiny_model("llama", "AutoModelForCausalLM")
    direct(model, "both")
    # `<s> w5 <mask> w7`: ids 0, 5, 4, 7; what stands at 2 is told at 1.
    said = log_probabilities(model, [0, 5, 4, 7])[1]
    (found,) = MaskedAsker(model, tokenizer, from_before=True).ask("w5 [MASK] w7", ["w9"])
    assert found.rank == rank(said, 9)
    assert found.probability == pytest.approx(float(said[9].exp()), rel=1e-4)
    tokenizer.backend_tokenizer.post_processor = None
    with pytest.raises(DataError, match="begins with a blank"):
        MaskedAsker(model, tokenizer, from_before=True).ask("[MASK] w7", [None])


# ---- decoders --------------------------------------------------------------------------------------------------------


def test_a_decoder_is_asked_by_what_stands_before() -> None:
    tokenizer, model = matrix_tokenizer("decoder"), tiny_model("gpt2", "AutoModelForCausalLM")
    said = log_probabilities(model, [0, 5, 8, 9])
    (found,) = LeftToRightAsker(model, tokenizer).ask("w5 [MASK] w7", ["w8 w9 w10"])
    assert found.probability == pytest.approx(math.exp(float(said[1, 8] + said[2, 9] + said[3, 10])), rel=1e-4)
    assert found.rank == max(rank(said[1], 8), rank(said[2], 9), rank(said[3], 10))
    best = said[1].topk(5)
    assert [probability for _, probability in found.guesses] == pytest.approx(best.values.exp().tolist(), rel=1e-4)
    # What stands behind is not seen.
    assert LeftToRightAsker(model, tokenizer).ask("w5 [MASK]", ["w8 w9 w10"]) == [found]


def test_a_second_blank_is_read_behind_the_first_ones_answer() -> None:
    tokenizer, model = matrix_tokenizer("decoder"), tiny_model("gpt2", "AutoModelForCausalLM")
    asker = LeftToRightAsker(model, tokenizer)
    _, second = asker.ask("w5 [MASK] w7 [MASK]", ["w6", "w8"])
    assert [second] == asker.ask("w5 w6 w7 [MASK]", ["w8"])
    (alone,) = asker.ask("w5 w6 w7 [MASK]", [None])
    assert alone == Answer(second.guesses)
    with pytest.raises(DataError, match="whose answer is not given"):
        asker.ask("w5 [MASK] w7 [MASK]", [None, "w8"])


def test_a_prompt_is_seen_as_a_whole_where_the_model_sees_so() -> None:
    tokenizer, model = matrix_tokenizer("decoder"), tiny_model("llama", "AutoModelForCausalLM")
    direct(model, "prefix")
    with torch.inference_mode():
        said = model(input_ids=torch.tensor([[0, 5, 6, 8]]), prefix_length=3).logits[0].log_softmax(-1)
    (found,) = LeftToRightAsker(model, tokenizer).ask("w5 w6 [MASK]", ["w8 w9"])
    assert found.probability == pytest.approx(math.exp(float(said[2, 8] + said[3, 9])), rel=1e-4)
    causal = log_probabilities(tiny_model("llama", "AutoModelForCausalLM"), [0, 5, 6, 8])
    assert found.probability != pytest.approx(math.exp(float(causal[2, 8] + causal[3, 9])), rel=1e-2)


def test_nothing_before_the_blank() -> None:
    tokenizer, model = matrix_tokenizer("decoder"), tiny_model("gpt2", "AutoModelForCausalLM")
    assert LeftToRightAsker(model, tokenizer).ask("[MASK]", ["w8"])[0].rank is not None  # behind `<s>`
    tokenizer.backend_tokenizer.post_processor = None
    with pytest.raises(DataError, match="nothing stands before the blank"):
        LeftToRightAsker(model, tokenizer).ask("[MASK]", ["w8"])


# ---- spans -----------------------------------------------------------------------------------------------------------


class Scripted:
    """A filler that says what it is told to."""

    def fill(self, text: str, *, top_k: int = 5) -> list[SpanCandidate]:
        said = [("in the", "x"), ("on", "x"), ("in the", "y"), None, ("at", "z")]
        return [SpanCandidate(-float(number), spans, text) for number, spans in enumerate(said)][:top_k]


def test_spans_are_told_once_each_best_first() -> None:
    first, second = SpanAsker(Scripted()).ask("[MASK] [MASK]", ["at", "w"])
    assert first.guesses == (("in the", 1.0), ("on", math.exp(-1)), ("at", math.exp(-4)))
    assert (first.rank, first.probability) == (3, math.exp(-4))
    assert [text for text, _ in second.guesses] == ["x", "y", "z"]
    assert (second.rank, second.probability) == (None, None)
