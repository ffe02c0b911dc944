"""What an example shows of itself, token by token."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from acclimate.objectives import make_objective
from acclimate.objectives.base import IGNORE, Fields
from acclimate.objectives.clm import CausalLanguageModeling, CausalLanguageModelingSettings
from acclimate.objectives.inspection import (
    attention_regions,
    pieces_of,
    read_ids,
    tokens_of,
    verdicts_of,
)
from acclimate.objectives.mlm import MaskedLanguageModeling, MaskedLanguageModelingSettings
from acclimate.objectives.mlm_nsp import MaskedLanguageModelingWithNextSentence, SentencePairSettings
from acclimate.objectives.span_denoising import SpanDenoising, SpanDenoisingSettings
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.tokens.added import add_missing_tokens
from tests.objectives.tiny import (
    CLS,
    EOS,
    FIRST_REGULAR,
    MASK,
    PAD,
    SEP,
    decoder_vocabulary,
    memory_store,
    t5_vocabulary,
    tokenizer,
    vocabulary,
)

NONE = -1  # no place


class Store:
    """A `MemoryStore` that knows its documents' names."""

    def __init__(self, *documents: list[int]) -> None:
        self.inner = memory_store(documents)
        self.document_ids = [f"page {number}" for number in range(len(documents))]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __len__(self) -> int:
        return len(self.inner)


def fields(**values: list[int]) -> Fields:
    return {name: np.array(value, dtype=np.int64) for name, value in values.items()}


MLM = MaskedLanguageModeling(MaskedLanguageModelingSettings(), vocabulary(), max_length=16, seed=1)
CLM = CausalLanguageModeling(CausalLanguageModelingSettings(), decoder_vocabulary(bos=False), max_length=16, seed=1)
T5 = SpanDenoising(SpanDenoisingSettings(), t5_vocabulary(), max_length=16, seed=1)
NSP = MaskedLanguageModelingWithNextSentence(SentencePairSettings(), vocabulary(), max_length=16, seed=1)


def test_why_each_masked_token_is_a_target() -> None:
    # The store is 10 11 12 J 13 14 J. In the row 10 is masked, 11 is replaced by 20, 12 stays and is asked for.
    store: Any = Store([10, 11, 12], [13, 14])
    example = fields(
        input_ids=[CLS, MASK, 20, 12, SEP, CLS, 13, 14, SEP],
        labels=[IGNORE, 10, 11, 12, IGNORE, IGNORE, IGNORE, IGNORE, IGNORE],
        segment_ids=[0, 0, 0, 0, 0, 1, 1, 1, 1],
        input_places=[NONE, 0, 1, 2, NONE, NONE, 4, 5, NONE],
        label_places=[NONE, 0, 1, 2, NONE, NONE, NONE, NONE, NONE],
    )
    (row,) = tokens_of(MLM, example, store, tokenizer()).values()
    assert [token.why for token in row] == [None, "mask", "random", "kept", *[None] * 5]
    assert [token.piece for token in row] == ["[CLS]", "[MASK]", "w20", "w12", "[SEP]", "[CLS]", "w13", "w14", "[SEP]"]
    assert [token.label_piece for token in row[:5]] == [None, "w10", "w11", "w12", None]
    assert [token.label for token in row[:5]] == [None, 10, 11, 12, None]
    assert [token.kind for token in row[:3]] == ["special", "text", "text"]
    # Blanks are those of the original; a random token reads by itself.
    assert [token.label_text for token in row[1:4]] == ["w10", " w11", " w12"]
    assert [token.text for token in row[1:4]] == ["[MASK]", "w20", " w12"]
    assert [(piece.name, piece.start, piece.end, piece.documents) for piece in pieces_of(example, store)] == [
        ("0", 0, 3, ("page 0",)),
        ("1", 4, 6, ("page 1",)),
    ]
    (allowed,) = attention_regions(MLM, example).values()
    assert allowed.sum() == 5 * 5 + 4 * 4
    assert allowed[4, 0] and not allowed[4, 5]


def test_a_decoder_reads_its_first_token_and_predicts_the_end() -> None:
    store: Any = Store([10, 11])
    subject = CLM
    plan = subject.plan(store, isolate="group", packed=True)
    example = subject.example(store, plan, 0)
    (row,) = tokens_of(subject, example, store, tokenizer()).values()
    assert [(token.id, token.why, token.kind) for token in row] == [
        (10, None, "text"),
        (11, "next", "text"),
        (EOS, "end", "joint"),
    ]
    assert attention_regions(subject, example)["row"].astype(int).tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_sentinels_stand_for_what_the_decoder_tells() -> None:
    # Two texts: 10 11 12 13 without 11 12, and 20 21 without 21. Sentinels are 99, 98, …; each text begins anew.
    store: Any = Store([10, 11, 12, 13], [20, 21])
    example = fields(
        input_ids=[10, 99, 13, EOS, 20, 99, EOS],
        segment_ids=[0, 0, 0, 0, 1, 1, 1],
        decoder_input_ids=[PAD, 99, 11, 12, PAD, 99, 21],
        labels=[99, 11, 12, EOS, 99, 21, EOS],
        decoder_segment_ids=[0, 0, 0, 0, 1, 1, 1],
        input_places=[0, NONE, 3, NONE, 5, NONE, NONE],
        label_places=[NONE, 1, 2, NONE, NONE, 6, NONE],
    )
    sides = tokens_of(T5, example, store, tokenizer())
    assert [token.stands_for for token in sides["encoder"]] == [None, "w11 w12", None, None, None, "w21", None]
    # What follows a sentinel keeps its blank.
    assert [token.text for token in sides["encoder"][:3]] == ["w10", "w99", " w13"]
    assert [token.why for token in sides["decoder"]] == [
        "sentinel",
        "taken out",
        "taken out",
        "end",
        "sentinel",
        "taken out",
        "end",
    ]
    assert [token.id for token in sides["decoder"]] == [PAD, 99, 11, 12, PAD, 99, 21]
    assert [token.kind for token in sides["decoder"][:3]] == ["special", "special", "text"]
    assert [(piece.start, piece.end) for piece in pieces_of(example, store)] == [(0, 4), (5, 7)]
    regions = attention_regions(T5, example)
    assert {side: allowed.shape for side, allowed in regions.items()} == {
        "encoder": (7, 7),
        "decoder": (7, 7),
        "decoder to encoder": (7, 7),
    }
    # The second decoder's text sees its own tokens up to itself, and all of the second encoder's text.
    assert regions["decoder"][5].astype(int).tolist() == [0, 0, 0, 0, 1, 1, 0]
    assert regions["decoder to encoder"][5].astype(int).tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert regions["encoder"][5].astype(int).tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_a_pair_names_its_halves_and_the_right_answer() -> None:
    store: Any = Store([10, 11, 12, 13], [20, 21, 22, 23])
    plan = NSP.plan(store, isolate="document", packed=False)
    shown = [NSP.example(store, plan, key) for key in range(20)]
    for example in shown:
        verdict = verdicts_of(NSP, example)
        first, second = pieces_of(example, store)
        assert (first.name, second.name) == ("A", "B")
        # B is of the same document just where the answer is "next".
        assert verdict == {"nsp": "next" if first.documents == second.documents else "random"}
        (row,) = tokens_of(NSP, example, store, tokenizer()).values()
        assert [token.token_type for token in row] == example["token_type_ids"].tolist()
    assert {verdicts_of(NSP, example)["nsp"] for example in shown} == {"next", "random"}
    assert verdicts_of(MLM, shown[0]) == {}


def byte_level() -> tuple[PreTrainedTokenizerFast, Vocabulary]:
    """A tokenizer whose tokens are bytes: a Chinese character is three of them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({"<s>": 0, **{letter: index for index, letter in enumerate(alphabet, 1)}}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>"), decoder_vocabulary(257)


@pytest.mark.parametrize("text", ["a b  c", "水 至清", "café", "\tx\n", "\N{REPLACEMENT CHARACTER} x"])
def test_a_text_in_bytes_reads_as_it_was(text: str) -> None:
    bytes_, known = byte_level()
    ids = np.array(bytes_(text, add_special_tokens=False)["input_ids"])
    assert len(ids) == len(text.encode())
    # Ids below 5 are special in this vocabulary; none of the texts has them.
    assert (ids >= 5).all()
    texts = read_ids(bytes_, ids, np.zeros(len(ids), dtype=np.int64), known)
    assert len(texts) == len(ids) and "".join(texts) == text


def test_of_a_character_in_several_tokens_the_last_has_it() -> None:
    bytes_, known = byte_level()
    ids = np.array(bytes_("a水b", add_special_tokens=False)["input_ids"])
    assert read_ids(bytes_, ids, np.zeros(5, dtype=np.int64), known) == ["a", "", "", "水", "b"]


def test_ids_that_no_token_has_are_shown_as_numbers() -> None:
    # Embeddings may have more rows than the tokenizer has tokens.
    assert read_ids(tokenizer(), np.array([10, 130]), np.array([0, 0]), vocabulary()) == ["w10", "130"]


def test_a_prefix_is_seen_both_ways_and_the_rest_as_it_says() -> None:
    # Two pieces. The first: a prefix of one token, then two that are seen by later ones. The second: right to left.
    found = attention_regions(CLM, fields(segment_ids=[0, 0, 0, 1, 1], visibility=[0, 1, 1, 2, 2]))
    assert found["row"].astype(int).tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 0, 0, 1, 1],
        [0, 0, 0, 0, 1],
    ]


# ---- the newer objectives -------------------------------------------------------------------------------------------


def example_of(name: str, options: dict[str, Any], text: list[int], *, family: Any) -> tuple[Any, Any, Any]:
    """An objective, the first example of a text, and the store that it is from."""
    known = add_missing_tokens(tokenizer(), ["blanks", "eos"])[0]
    objective = make_objective(
        name,
        options,
        known,
        max_length=32,
        seed=3,
        family=family,
        decoder_start_id=SEP if family == "encoder-decoder" else None,
    )
    store = memory_store([text], joint=SEP)
    return objective, objective.example(store, objective.plan(store, isolate="document", packed=False), 0), store


def test_blanks_and_what_is_told_behind_the_text() -> None:
    text = list(range(20, 40))
    objective, found, store = example_of(
        "prefix_lm", {"variant": "blank_infilling", "noise_density": 0.4}, text, family="decoder"
    )
    known = add_missing_tokens(tokenizer(), ["blanks", "eos"])[0]
    row = tokens_of(objective, found, store, known)["row"]
    start, end = objective.vocabulary.blank_ids
    # The text with each mask in place of what it stands for is the whole text.
    first = next(place for place, token in enumerate(row) if token.id == start)
    part_a, part_b = row[:first], row[first:]
    whole = " ".join(
        token.stands_for or token.text.strip() for token in part_a if token.kind == "text" or token.label is None
    )
    assert [word for word in whole.replace("[CLS]", "").split()] == [f"w{token}" for token in text]
    assert sum(token.stands_for is not None for token in part_a) == sum(token.id == start for token in part_b) > 1
    assert all(token.label is None and token.why is None for token in part_a)
    # Behind a token stands the next, which is its label: nothing is shifted.
    for token, following in zip(part_b, [*part_b[1:], None], strict=True):
        last = following is None or following.id == start
        assert (token.label, token.why) == ((end, "blank end") if last else (following.id, "blank"))
    seen = attention_regions(objective, found)["row"]
    assert seen[:first, :first].all() and not seen[:first, first:].any()
    assert (seen[first:, first:] == np.tril(np.ones_like(seen[first:, first:]))).all() and seen[first:, :first].all()


def test_a_prefix_is_read_and_the_rest_predicted() -> None:
    objective, found, store = example_of("prefix_lm", {"prefix_ratio": 0.5}, list(range(20, 30)), family="decoder")
    row = tokens_of(objective, found, store, tokenizer())["row"]
    prefix = int((found["visibility"] == 0).sum())
    assert 1 < prefix < len(row) - 1
    assert [token.why for token in row] == [None] * prefix + ["next"] * (len(row) - prefix - 1) + ["end"]
    seen = attention_regions(objective, found)["row"]
    assert seen[:, :prefix].all() and not seen[:prefix, prefix:].any()


@pytest.mark.parametrize("name", ["mntp", "prefix_lm"])
def test_masks_of_mntp_and_unilm(name: str) -> None:
    options = {"mlm_probability": 0.9}
    family = "decoder" if name == "mntp" else "encoder"
    objective, found, store = example_of(name, options, list(range(20, 44)), family=family)
    row = tokens_of(objective, found, store, tokenizer())["row"]
    for token in row:
        if token.label is not None:
            expected = "mask" if token.id == MASK else "kept" if token.id == token.label else "random"
            assert token.why == expected
    assert {token.why for token in row} > {None, "mask"}


def test_a_text_that_is_written_out_whole() -> None:
    objective, found, store = example_of("text_infilling", {}, list(range(20, 30)), family="encoder-decoder")
    decoder = tokens_of(objective, found, store, tokenizer())["decoder"]
    told = [token for token in decoder if token.label is not None and token.label >= FIRST_REGULAR]
    assert [token.label for token in told] == list(range(20, 30))
    assert {token.why for token in told} == {"told"} and decoder[-1].why == "end"
