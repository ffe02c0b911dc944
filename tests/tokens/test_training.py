"""Trained tokenizers: what they hold, that they come back, and that they are the same each time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from acclimate.errors import DataError, ModelError
from acclimate.tokens import Frame, TokenizerSettings, load_tokenizer, text_frame, tokenizer_fingerprint
from acclimate.tokens.training import SPECIAL_TOKENS, train_tokenizer

KINDS = ("wordpiece", "bpe", "unigram")
WORDS = ["cluster", "clusters", "node", "nodes", "deploy", "deployed", "deploying", "network", "storage", "azure"]
TEXTS = [f"The {a} of a {b}, and {b}s: {a} 12.5\nNaïve {c}!" for a in WORDS for b in WORDS for c in WORDS[:5]]
CHINESE = ["使用语言模型来预测下一个词的概率。", "学而时习之，不亦说乎？"] * 40


def train(kind: str, texts: list[str] = TEXTS, **settings: Any) -> Any:
    if kind == "unigram":
        pytest.importorskip("sentencepiece")
    options = {"train": kind, "vocab_size": 320, **settings}
    return train_tokenizer(texts, TokenizerSettings.model_validate(options))


@pytest.fixture(scope="module", params=KINDS)
def trained(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return request.param, train(request.param)


def test_special_tokens_have_the_lowest_ids_and_mlm_has_all_it_needs(trained: tuple[str, Any]) -> None:
    kind, tokenizer = trained
    assert tokenizer.convert_ids_to_tokens(list(range(5))) == list(SPECIAL_TOKENS[kind].values())
    for name, token in SPECIAL_TOKENS[kind].items():
        assert getattr(tokenizer, name) == token


def test_a_text_is_framed(trained: tuple[str, Any]) -> None:
    _, tokenizer = trained
    assert text_frame(tokenizer) == Frame((tokenizer.cls_token_id,), (tokenizer.sep_token_id,))


def test_pairs_are_made_as_the_models_of_the_kind_make_them(trained: tuple[str, Any]) -> None:
    kind, tokenizer = trained
    ids = tokenizer("node", "node")["input_ids"]
    word = tokenizer("node", add_special_tokens=False)["input_ids"]
    start, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    between = [end, end] if kind == "bpe" else [end]
    assert ids == [start, *word, *between, *word, end]


def test_the_vocabulary_is_no_larger_than_asked_and_serves_the_text(trained: tuple[str, Any]) -> None:
    _, tokenizer = trained
    assert 5 < len(tokenizer) <= 320
    assert tokenizer.decode(tokenizer("the deployed clusters")["input_ids"], skip_special_tokens=True).split() == [
        "the",
        "deployed",
        "clusters",
    ]
    assert tokenizer.unk_token_id not in tokenizer(TEXTS[0])["input_ids"]


def test_it_comes_back_from_its_folder(trained: tuple[str, Any], tmp_path: Path) -> None:
    _, tokenizer = trained
    tokenizer.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert tokenizer_fingerprint(loaded) == tokenizer_fingerprint(tokenizer)
    assert loaded(TEXTS[3])["input_ids"] == tokenizer(TEXTS[3])["input_ids"]
    assert loaded.mask_token_id == tokenizer.mask_token_id


_PROGRAM = """
import json, sys
from acclimate.tokens import TokenizerSettings, tokenizer_fingerprint, train_tokenizer
for kind, vocab_size, texts in json.load(sys.stdin):
    print(tokenizer_fingerprint(train_tokenizer(iter(texts), TokenizerSettings(train=kind, vocab_size=vocab_size))))
"""


def test_every_process_trains_the_same() -> None:
    # `tokenizers` seeds its hash maps anew in each process: two runs that agree by chance would do so in all seven
    # cases. The texts have many characters and many ties, and 60 places are too few for their alphabet.
    pytest.importorskip("sentencepiece")
    cases = [(kind, size, texts) for kind in KINDS for size, texts in ((320, TEXTS), (400, [*TEXTS[::9], *CHINESE]))]
    cases.append(("wordpiece", 60, [*TEXTS[::9], *CHINESE]))
    runs = [
        subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            input=json.dumps(cases),
            env={**os.environ, "PYTHONHASHSEED": str(seed), "TOKENIZERS_PARALLELISM": "false"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for seed in (1, 2)
    ]
    assert len(runs[0]) == len(cases)
    assert runs[0] == runs[1]


def test_chinese_characters_stand_alone_in_wordpiece() -> None:
    tokenizer = train("wordpiece", CHINESE)
    assert tokenizer.convert_ids_to_tokens(tokenizer("语言模型", add_special_tokens=False)["input_ids"]) == list(
        "语言模型"
    )


def test_too_many_characters_keep_the_commonest_and_the_size() -> None:
    # 32 places less 5 special tokens; a Chinese character has one form, so 27 of these 29 are kept; 龘, which comes
    # once only, is not one of them.
    texts = [*CHINESE, "龘"]
    tokenizer = train("wordpiece", texts, vocab_size=32)
    assert len(tokenizer) == 32
    assert tokenizer.unk_token_id in tokenizer("龘")["input_ids"]
    assert tokenizer.unk_token_id not in tokenizer("。")["input_ids"]


@pytest.mark.parametrize("kind", KINDS)
def test_lowercase(kind: str) -> None:
    tokenizer = train(kind, lowercase=True)
    assert tokenizer("NAÏVE Cluster")["input_ids"] == tokenizer("naive cluster")["input_ids"]
    cased = train(kind)
    assert cased("The")["input_ids"] != cased("the")["input_ids"]


def test_min_frequency() -> None:
    # "qu" occurs twice: merged at 2, not at 3.
    texts = ["qu qu", "ab ab ab"]
    assert "qu" in train("wordpiece", texts, min_frequency=2).get_vocab()
    assert "qu" not in train("wordpiece", texts, min_frequency=3).get_vocab()
    assert "ab" in train("wordpiece", texts, min_frequency=3).get_vocab()


def test_the_length_of_the_model_is_kept(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(TEXTS, TokenizerSettings(train="bpe", vocab_size=300), model_max_length=128)
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path).model_max_length == 128


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("texts", [[], ["", " \n"]])
def test_nothing_to_learn_from(kind: str, texts: list[str]) -> None:
    with pytest.raises(DataError, match="no text to train a tokenizer on"):
        train(kind, texts)


def test_unigram_with_fewer_places_than_characters() -> None:
    with pytest.raises(DataError, match="unigram tokenizer of 32 pieces.*vocab_size|unigram tokenizer of 32 pieces"):
        train("unigram", ["".join(map(chr, range(0x4E00, 0x4E40))) + " word"] * 5, vocab_size=32)


def test_unigram_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ModelError, match=r'pip install "acclimate\[sentencepiece\]"'):
        train_tokenizer(TEXTS, TokenizerSettings(train="unigram"))
