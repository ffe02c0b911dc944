"""Texts that token ids spell, and where tokens stand in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from acclimate.errors import ModelError
from acclimate.interop.surface import Surface
from acclimate.tokens.tokenizers import load_tokenizer, plain_backend
from acclimate.tokens.words import word_starts


def spelled(surface: Surface, ids: list[int]) -> tuple[str, list[str]]:
    """The text, and what each token is of it."""
    text, starts, ends = surface.text(ids)
    return text, [text[start:end] for start, end in zip(starts, ends, strict=True)]


def wordpiece(*words: str) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordPiece({word: index for index, word in enumerate(["[UNK]", *words])}))
    backend.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")


def byte_level() -> PreTrainedTokenizerFast:
    """A token for each byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({character: index for index, character in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def metaspace() -> PreTrainedTokenizerFast:
    """`▁` for blanks, and bytes for what is not in the vocabulary."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁so", "me", "▁text"]
    backend = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=0, byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


def test_wordpiece_joins_what_goes_on_and_chinese() -> None:
    tokenizer = wordpiece("key", "##s", "使", "用", ".")
    ids = tokenizer.convert_tokens_to_ids(["key", "##s", "使", "用", "key", "."])
    # No blank beside Chinese characters; one before a full stop changes no word.
    text, pieces = spelled(Surface(tokenizer), ids)
    assert text == " keys使用key ."
    assert pieces == [" key", "s", "使", "用", "key", " ."]


def test_metaspace_has_blanks_and_bytes() -> None:
    tokenizer = metaspace()
    # The bytes of é are C3 A9: both tokens stand for that one character.
    ids = tokenizer.convert_tokens_to_ids(["▁so", "me", "▁", "<0xC3>", "<0xA9>", "▁text"])
    assert spelled(Surface(tokenizer), ids) == (" some é text", [" so", "me", " ", "é", "é", " text"])


@given(st.text(max_size=30))
@settings(deadline=None)
def test_byte_level_spells_the_text(text: str) -> None:
    tokenizer, surface = _BYTES
    ids = tokenizer(text)["input_ids"]
    told, pieces = spelled(surface, ids)
    assert told == text
    assert pieces == [character for character in text for _ in character.encode("utf-8")]


@given(st.text(min_size=1, max_size=10), st.integers(0, 9), st.integers(1, 20))
@settings(deadline=None)
def test_a_text_may_begin_and_end_within_a_character(text: str, first: int, length: int) -> None:
    # Pieces of joined texts are cut anywhere.
    tokenizer, surface = _BYTES
    ids = tokenizer(text)["input_ids"][first : first + length]
    told, starts, ends = surface.text(ids)
    assert told.encode("utf-8", "surrogateescape") == text.encode()[first : first + length]
    assert (starts < ends).all() and len(starts) == len(ids)
    assert (np.diff(starts) >= 0).all() and (starts[1:] <= ends[:-1]).all()
    assert len(told) == (ends[-1] if ids else 0)


_BYTES = (byte_level(), Surface(byte_level()))


def test_no_tokens_spell_nothing() -> None:
    text, starts, ends = Surface(metaspace()).text([])
    assert text == "" and len(starts) == len(ends) == 0


def test_the_words_of_a_small_bert_are_those_of_its_texts(tiny_bert: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    text = "Create a service, don't run nodes: the data-set of 2024 is learning; it's new!"
    assert_same_words(tokenizer, text, 0.0)


# BERT's tokenizers drop line breaks, which stand between words of Chinese as nothing else does.
# Shares of tokens that start a word and are not told to, or the other way round, where the tokenizer knows the text.
@pytest.mark.parametrize(
    ("name", "most"), [("gpt2", 0.0), ("albert-base", 0.0), ("bert-base-uncased", 0.001), ("bert-base-chinese", 0.002)]
)
def test_the_words_of_real_texts(shared_data: Path, name: str, most: float) -> None:
    tokenizer = load_tokenizer(shared_data / "tokenizers" / name)
    corpus = "azure-docs" if name != "bert-base-chinese" else "zizhi-tongjian"
    files = [path for path in sorted((shared_data / "corpora" / corpus).rglob("*")) if path.suffix in (".md", ".txt")]
    assert files
    text = "\n".join(path.read_text(encoding="utf-8", errors="ignore")[:3000] for path in files[:8])
    assert_same_words(tokenizer, text, most)


def assert_same_words(tokenizer: Any, text: str, most: float) -> None:
    encoding = plain_backend(tokenizer).encode(text, add_special_tokens=False)
    expected = word_starts(text, encoding.offsets)
    told, starts, ends = Surface(tokenizer).text(encoding.ids)
    found = word_starts(told, list(zip(starts.tolist(), ends.tolist(), strict=True)))
    assert len(expected) > 10 and not expected.all()
    assert (expected != found).mean() <= most


def test_other_vocabularies_are_refused() -> None:
    backend = Tokenizer(models.BPE({"a": 0, "b": 1}, []))
    with pytest.raises(ModelError, match="its model is of type BPE.*give the columns `text` and `offset_mapping`"):
        Surface(PreTrainedTokenizerFast(tokenizer_object=backend))
