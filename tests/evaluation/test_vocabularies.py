"""Two tokenizers on the same text: the same words are asked for, and the bits of each are divided by the same bytes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from acclimate.corpus import CorpusSettings, build_corpus
from acclimate.evaluation.evaluate import evaluate
from acclimate.evaluation.units import Encoded, Reading, encode_units
from acclimate.evaluation.vocabularies import WordWindow, compare_words, window_questions, word_windows
from acclimate.jobs.pretrain import pretrain
from acclimate.objectives import make_objective
from acclimate.scoring.questions import Answer, asked_places
from tests.evaluation.test_sentences import reading

ADDED = ["kubelet", "zone", "etcd"]


def extended(folder: Path) -> Any:
    """The tiny tokenizer with some words more."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(ADDED)
    return tokenizer


def readings(folder: Path, *texts: str) -> tuple[Reading, Reading]:
    """The texts as the extended tokenizer reads them, and as the plain one does."""
    before = reading(folder, *texts)
    tokenizer = extended(folder)
    objective = make_objective("mlm", {}, tokenizer, max_length=64, seed=0)
    units = [encoded.unit for encoded in before.units]
    return Reading(objective, tokenizer, encode_units(units, tokenizer)), before


def test_both_are_asked_for_the_same_words(tiny_bert: Path) -> None:
    after, before = readings(tiny_bert, *["the kubelet of the zone, and etcd on node 猫 7."] * 6)
    windows = word_windows(after, None)
    assert len(windows) == 6
    texts, first, second = window_questions(windows, after, before)
    assert 0 < len(texts) == len(first) == len(second)
    for (encoded, words), one, other in zip(texts, first, second, strict=True):
        for word, ours, theirs in zip(words, other.words, one.words, strict=True):
            text = encoded.unit.text[word[0] : word[1]]
            assert text.isalnum() and text != "猫"
            assert len(ours) == (1 if text in ADDED else len(theirs))
            assert {*ours.tolist()} <= {*asked_places(other.fields).tolist()}
            assert {*theirs.tolist()} <= {*asked_places(one.fields).tolist()}


def test_a_stretch_of_too_many_tokens_by_the_other_tokenizer_is_halved(tiny_bert: Path) -> None:
    # 37 tokens by one of them, some 200 by the other, which has room for 62.
    after, before = readings(tiny_bert, *["kubelet zone etcd " * 40] * 5)
    windows = word_windows(after, None)
    texts, first, _ = window_questions(windows, after, before)
    assert sorted(word for _, words in texts for word in words) == sorted(
        word for window in windows for word in window.words
    )
    assert max(len(question.fields["input_ids"]) for question in first) <= 64
    # A word that is longer than the other one's row cannot be asked for.
    after, before = readings(tiny_bert, "kubelet " * 3 + "q" * 90 + " zone" * 3)
    window = WordWindow(0, 0, 129, ((0, 7), (24, 114)))
    texts, *_ = window_questions([window], after, before)
    assert [words for _, words in texts] == [((0, 7),)]


def test_bits_per_byte_by_hand(tiny_bert: Path) -> None:
    after, before = readings(tiny_bert, "the kubelet", "a zone")
    encoded: list[Encoded] = list(after.units)
    # `kubelet` has 7 bytes, 7 pieces before and 1 after; `zone` 4 bytes, 4 pieces and 1.
    words = [((4, 11),), ((2, 6),)]
    windows = [
        WordWindow(index, 0, len(one.unit.text), own)
        for index, (one, own) in enumerate(zip(encoded, words, strict=True))
    ]
    texts, first, second = window_questions(windows, after, before)
    assert [[len(places) for places in one.words] for one in first] == [[7], [4]]

    def answer(fields: Any, loss: float, rank: int) -> Answer:
        places = asked_places(fields)
        return Answer(places, np.full(len(places), loss), np.full(len(places), rank))

    said_before = [answer(first[0].fields, 2.0, 1), answer(first[1].fields, 1.0, 0)]
    said_after = [answer(second[0].fields, 3.0, 0), answer(second[1].fields, 6.0, 0)]
    part = compare_words((first, second), texts, said_before, said_after, 200)
    # Nats before: 7 · 2 + 4 · 1 = 18, after: 3 + 6 = 9; over 11 bytes.
    assert part.before["bits_per_byte"] == pytest.approx(18 / math.log(2) / 11)
    assert part.after["bits_per_byte"] == pytest.approx(9 / math.log(2) / 11)
    assert part.bits_per_byte_difference is not None
    assert part.bits_per_byte_difference.mean == pytest.approx(-9 / math.log(2) / 11)
    assert (part.before["accuracy"], part.after["accuracy"], part.num_targets) == (0.5, 1.0, 2)
    assert part.difference is None and "loss" not in part.before


def test_a_run_that_adds_words_is_compared_by_bits_per_byte(tiny_bert: Path, tmp_path: Path) -> None:
    for name, text in (
        ("docs", "the kubelet of the zone uses etcd and node {0}"),
        ("general", "the language of a model {0}"),
    ):
        (tmp_path / name).mkdir()
        for number in range(20):
            lines = "\n".join(text.format(number * step) for step in range(8))
            (tmp_path / name / f"{number}.txt").write_text(lines)
        settings = {"sources": str(tmp_path / name), "held_out": 0.5, "min_chars": 0}
        build_corpus(CorpusSettings.model_validate(settings), tmp_path / f"{name}-corpus")
    extended(tiny_bert).save_pretrained(tmp_path / "tokenizer")
    pretrain(
        str(tiny_bert),
        tmp_path / "docs-corpus",
        tmp_path / "run",
        tokenizer=str(tmp_path / "tokenizer"),
        max_length=64,
        training={"max_steps": 30, "learning_rate": 5e-3, "save_strategy": "no"},
    )
    found = evaluate(tmp_path / "run", general=tmp_path / "general-corpus")
    # The model before reads the documents in its own tokens, so that the claim is fair.
    assert found.claim and any("bits per byte" in note for note in found.notes)
    for text in (found.domain, found.general):
        assert text is not None
        part = text.headline
        assert part.difference is None and part.bits_per_byte_difference is not None
        assert text.pseudo_log_likelihood is None and text.num_units > 5
    assert found.domain is not None
    assert found.domain.after["bits_per_byte"] < found.domain.before["bits_per_byte"]
    assert found.terms is not None
    by_name = {term.term: term for term in found.terms.terms}
    assert by_name["kubelet"].asked > 0 and by_name["kubelet"].pieces == 1
    assert found.examples == () and all(
        token.before is None for passage in found.passages["domain"] for token in passage.tokens
    )
