"""The terms of a domain: log-odds by hand, phrases that hold together, and no common words."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.evaluation.terms import Vocabulary, find_terms, log_odds, occurrences, prior_of, read_words


def test_log_odds_of_six_words_by_hand() -> None:
    # The domain says "pod pod pod the", general text "the cat": y = (3, 1, 0) and (0, 1, 1) for (pod, the, cat), with
    # n = 4 and 2 words. A prior of 6 words gives each word alpha = its count in both: pod 3, the 2, cat 1.
    found = log_odds(np.array([3.0, 1.0, 0.0]), np.array([0.0, 1.0, 1.0]), 4, 2, 6)
    # pod: log(6 / (10 - 6)) - log(3 / (8 - 3)), variance 1/6 + 1/3.
    assert found[0] == pytest.approx((math.log(6 / 4) - math.log(3 / 5)) / math.sqrt(1 / 6 + 1 / 3))
    # the: log(3 / (10 - 3)) - log(3 / (8 - 3)), variance 1/3 + 1/3.
    assert found[1] == pytest.approx((math.log(3 / 7) - math.log(3 / 5)) / math.sqrt(2 / 3))
    # cat: log(1 / (10 - 1)) - log(2 / (8 - 2)), variance 1/1 + 1/2.
    assert found[2] == pytest.approx((math.log(1 / 9) - math.log(2 / 6)) / math.sqrt(3 / 2))
    assert found[0] > 0 > found[1] > found[2]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=2, max_size=8))
def test_exchanging_the_texts_turns_the_sign(counts: list[tuple[int, int]]) -> None:
    ours, theirs = (np.array(side, dtype=np.float64) for side in zip(*counts, strict=True))
    totals = ours.sum() + 1, theirs.sum() + 1
    assert log_odds(ours, theirs, *totals, 10) == pytest.approx(-log_odds(theirs, ours, *totals[::-1], 10))


def test_the_prior_is_a_tenth_of_the_smaller_text_within_bounds() -> None:
    assert [prior_of(*sizes) for sizes in ((5000, 900), (20, 30), (1e9, 1e7))] == [90, 10, 10_000]


def documents(*sentences: str, times: int = 12) -> list[str]:
    return ["\n".join(f"{sentence}." for sentence in sentences)] * times


def test_words_and_phrases_are_found() -> None:
    domain = documents("The node pool of the cluster is new", "A Node pool and the kubelet", "x 42 2024")
    general = documents("The cat is new and the dog of the house", "A cat and a dog", times=40)
    found = {term.text: term for term in find_terms(domain, general, 20)}
    # `node` and `pool` come in `node pool` only, and are not listed again.
    assert found.keys() == {"node pool", "cluster", "kubelet"}
    assert found["node pool"].words == ("node", "pool")
    assert (found["node pool"].domain_count, found["node pool"].general_count) == (24, 0)
    # As it is most often written; of two that come equally often the first.
    assert found["cluster"].domain_count == 12
    assert all(term.score > 1.96 for term in found.values())


def test_common_words_numbers_and_single_characters_are_no_terms() -> None:
    domain = documents("service service service 77 77 q q")
    general = documents("our service is a service", times=30)
    assert find_terms(domain, general, 10) == []
    # Not common in general text, it is one.
    assert [term.text for term in find_terms(domain, documents("our work is done", times=30), 10)][:1] == ["service"]


def test_a_word_of_one_document_is_no_term() -> None:
    general = documents("the cat", times=9)
    assert find_terms(["zebrafish " * 50, "the cat"], general, 10) == []
    assert [term.text for term in find_terms(["zebrafish " * 50, "the zebrafish"], general, 10)] == ["zebrafish"]


def test_phrases_do_not_cross_marks_or_lines() -> None:
    domain = documents("alpha, beta\ngamma delta", times=30)
    found = {term.text for term in find_terms(domain, documents("the cat", times=60), 10)}
    assert found == {"alpha", "beta", "gamma delta"}


def test_chinese_terms_are_the_segmenters_words() -> None:
    domain = ["节度使奉表入朝。", "以节度使为太尉。"] * 5
    general = ["今天天气很好，我们去公园散步。"] * 20
    found = [term.text for term in find_terms(domain, general, 5)]
    assert "节度使" in found and all(len(term) > 1 for term in found)


def test_nothing_to_compare_finds_nothing() -> None:
    assert find_terms([], documents("the cat"), 5) == []
    assert find_terms(documents("the cat"), ["", " \n"], 5) == []
    assert find_terms(documents("12 34"), documents("the cat"), 5) == []


def test_occurrences_are_where_the_words_stand() -> None:
    vocabulary = Vocabulary()
    gram = (vocabulary.number("node"), vocabulary.number("pool"))
    vocabulary.open = False
    text = "A node pool, Node  pool; node. pool the NODE pool"
    words = read_words([text], vocabulary)
    spans = [text[words.spans[first, 0] : words.spans[last, 1]] for _, first, last in occurrences([gram], words)]
    assert spans == ["node pool", "NODE pool"]


def test_parts_of_contractions_are_no_words() -> None:
    vocabulary = Vocabulary()
    words = read_words(["You don't rotate Azure's key; you\u2019re 'quoted' in l'eau"], vocabulary)
    known = [name for name, number in vocabulary.numbers.items() if number in words.numbers]
    # "don", "t", "s" and "re" are none; a quotation mark is no apostrophe, and a long part behind one is a word.
    assert known == ["you", "rotate", "azure", "key", "quoted", "in", "l", "eau"]
