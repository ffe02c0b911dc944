"""Loading, fingerprints, frames and joints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from acclimate.errors import ModelError
from acclimate.tokens import Frame, load_tokenizer, text_frame, tokenizer_fingerprint
from acclimate.tokens import tokenizers as module
from acclimate.tokens.tokenizers import Joints, encode_text, text_joints

from .helpers import byte_bpe, word_piece


def test_a_saved_tokenizer_comes_back_with_its_fingerprint(tmp_path: Path) -> None:
    tokenizer = word_piece("docs", "##s")
    tokenizer.save_pretrained(tmp_path)
    assert tokenizer_fingerprint(load_tokenizer(tmp_path)) == tokenizer_fingerprint(tokenizer)


def test_the_fingerprint_is_the_same_in_another_process(tmp_path: Path) -> None:
    tokenizer = byte_bpe()
    tokenizer.save_pretrained(tmp_path)
    program = "import sys; from acclimate.tokens import *; print(tokenizer_fingerprint(load_tokenizer(sys.argv[1])))"
    other = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == tokenizer_fingerprint(tokenizer)


def test_the_fingerprint_does_not_see_how_it_was_called_last() -> None:
    tokenizer = word_piece("docs")
    before = tokenizer_fingerprint(tokenizer)
    tokenizer(["docs docs docs", "docs"], truncation=True, max_length=3, padding="max_length")
    assert tokenizer.backend_tokenizer.truncation is not None
    assert tokenizer_fingerprint(tokenizer) == before


def test_the_fingerprint_sees_what_changes_ids() -> None:
    marked = word_piece("docs")
    marked.add_special_tokens({"additional_special_tokens": ["<title>"]})
    tokenizers = [
        word_piece("docs"),
        word_piece("docz"),
        word_piece("docs", "##s"),
        word_piece("docs", lowercase=True),
        word_piece("docs", special=False),
        marked,
        byte_bpe(),
        byte_bpe(use_regex=False),
    ]
    assert len({tokenizer_fingerprint(tokenizer) for tokenizer in tokenizers}) == len(tokenizers)


def test_special_tokens_in_a_text_are_text() -> None:
    tokenizer = word_piece("[", "]", "MASK", "SEP")
    assert tokenizer("[MASK]", add_special_tokens=False)["input_ids"] == [4], "the tokenizer itself sees its mask token"
    assert tokenizer.convert_ids_to_tokens(encode_text(tokenizer, "[MASK][SEP]")) == ["[", "MASK", "]", "[", "SEP", "]"]


def test_special_tokens_in_a_text_are_text_for_every_tokenizer(real_tokenizer: tuple[str, Any]) -> None:
    name, tokenizer = real_tokenizer
    special = {index: token.content for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    text = "of " + " ".join(special.values())
    assert set(tokenizer(text)["input_ids"]) >= set(special), "the tokenizer itself sees them"
    # The Chinese vocabularies do not know the word `MASK` between the brackets, ALBERT's not the `<` of `<unk>`.
    unknown = {"bert-base-chinese": {100}, "bert-classical-chinese": {100}, "albert-base": {1}}.get(name, set())
    assert set(encode_text(tokenizer, text)) & set(special) == unknown


def test_the_plain_backend_gives_ordinary_text_the_same_ids(real_tokenizer: tuple[str, Any]) -> None:
    _, tokenizer = real_tokenizer
    text = 'An ordinary text (of 2 lines), naïve: \n 使用语言模型 £5 - "quoted".'
    assert encode_text(tokenizer, text) == tokenizer(text, add_special_tokens=False)["input_ids"]


def test_added_words_keep_their_ids_and_are_seen() -> None:
    tokenizer = word_piece("run", "kube")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<title>"]})  # 7
    tokenizer.add_tokens(["kubernetes"])  # 8
    assert encode_text(tokenizer, "run kubernetes") == [5, 8]
    assert 7 not in encode_text(tokenizer, "run <title>")


def test_encoding_is_whole_whatever_was_set_before() -> None:
    tokenizer = word_piece("docs")
    tokenizer("docs docs docs", truncation=True, max_length=3, padding="max_length")
    assert encode_text(tokenizer, "docs " * 600) == [5] * 600


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("bert-base-uncased", Frame((101,), (102,))),
        ("bert-base-chinese", Frame((101,), (102,))),
        ("bert-classical-chinese", Frame((101,), (102,))),
        ("gpt2", Frame((), ())),
        ("albert-base", Frame((2,), (3,))),
        ("t5-base-japanese", Frame((), (1,))),
        ("stories260K", Frame((1,), ())),
    ],
)
def test_frames(real_tokenizer: tuple[str, Any], name: str, frame: Frame) -> None:
    if real_tokenizer[0] == name:
        assert text_frame(real_tokenizer[1]) == frame
        assert len(frame) == len(frame.prefix) + len(frame.suffix)


@pytest.mark.parametrize(
    ("name", "joints"),
    [
        ("bert-base-uncased", Joints((102,), (102,))),  # drops newlines: [SEP] both times
        ("bert-base-chinese", Joints((102,), (102,))),
        ("bert-classical-chinese", Joints((102,), (102,))),
        ("gpt2", Joints((198,), (50256,))),  # Ċ, <|endoftext|>
        ("albert-base", Joints((3,), (3,))),
        ("t5-base-japanese", Joints((1,), (1,))),  # makes a blank of a newline
        ("stories260K", Joints((13,), (2,))),  # <0x0A>, </s>
    ],
)
def test_joints(real_tokenizer: tuple[str, Any], name: str, joints: Joints) -> None:
    if real_tokenizer[0] == name:
        assert text_joints(real_tokenizer[1]) == joints


def test_the_end_token_joins_where_the_frame_has_no_separator() -> None:
    # BERT's frame has the separator; a decoder's, which has none, ends texts with its end token.
    encoder = word_piece("a")
    encoder.add_special_tokens({"eos_token": "</s>"})
    assert text_joints(encoder) == Joints((3,), (3,))
    decoder = byte_bpe()
    decoder.add_special_tokens({"sep_token": "<sep>"})
    assert text_joints(decoder).after == (256,)
    only_separator = word_piece("a", special=False)
    only_separator.add_special_tokens({"sep_token": "[SEP]"})
    assert text_joints(only_separator) == Joints((3,), (3,))


def test_no_separator_no_joint() -> None:
    assert text_joints(word_piece("a", special=False)) == Joints((), ())


def test_a_slow_tokenizer() -> None:
    from transformers import ByT5Tokenizer

    tokenizer = ByT5Tokenizer()
    assert not tokenizer.is_fast
    assert text_frame(tokenizer) == Frame((), (1,))
    # ByT5: byte + 3. The text's own `</s>` is five characters, not token 1.
    assert encode_text(tokenizer, "a</s>") == [ord(letter) + 3 for letter in "a</s>"]
    assert text_joints(tokenizer) == Joints((ord("\n") + 3,), (1,))
    assert tokenizer_fingerprint(tokenizer) == tokenizer_fingerprint(ByT5Tokenizer())
    assert tokenizer_fingerprint(tokenizer) != tokenizer_fingerprint(ByT5Tokenizer(extra_ids=5))


def test_a_frame_that_cannot_be_found() -> None:
    from tokenizers import processors

    tokenizer = word_piece("a")
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    with pytest.raises(ModelError, match="frames the text 'a' as ids \\[2, 3\\]"):
        text_frame(tokenizer)


def test_a_folder_that_does_not_exist_or_holds_none(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such folder"):
        load_tokenizer(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="holds no tokenizer"):
        load_tokenizer(tmp_path)


def test_a_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    def fail(*args: object, **kwargs: object) -> None:
        # What transformers says in the end, having tried SentencePiece, protobuf and tiktoken in turn.
        raise ValueError("`tiktoken` is required to read a `tiktoken` file. Install it with `pip install tiktoken`.")

    (tmp_path / "spiece.model").touch()
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", fail)
    monkeypatch.setattr(module, "_installed", lambda name: name != "google.protobuf")
    with pytest.raises(ModelError, match=r'pip install "acclimate\[sentencepiece\]"'):
        load_tokenizer(tmp_path)
    # With both there it is another fault, told as it is.
    monkeypatch.setattr(module, "_installed", lambda name: True)
    with pytest.raises(ModelError, match="cannot be loaded: `tiktoken` is required"):
        load_tokenizer(tmp_path)


def test_modules_are_looked_for_without_importing_them() -> None:
    assert module._installed("json")
    assert not module._installed("no_such_module")
    assert not module._installed("no_such_package.module")
