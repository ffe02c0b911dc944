"""Rows of two segments: where documents are cut, whose halves are exchanged, and what is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acclimate.errors import DataError
from acclimate.objectives.sentence_pairs import (
    FREE,
    IN_PLACE,
    SHORT_PAIRS,
    SWAPPED,
    PairPlan,
    check_contexts,
    exchange,
    plan_pairs,
)
from acclimate.tokens.store import IS_RANDOM, JOINT, SECOND_START, SENTENCE_START, WORD_START
from tests.objectives.tiny import MemoryStore, memory_store

FRAME = 3


def plan_of(
    store: MemoryStore, *, row_length: int = 16, isolate: Any = "document", seed: int = 1, short: bool = True
) -> PairPlan:
    with pytest.MonkeyPatch.context() as patch:
        if not short:
            patch.setattr("acclimate.objectives.sentence_pairs.SHORT_PAIRS", 0.0)
        return plan_pairs(store, isolate, row_length=row_length, frame_length=FRAME, seed=seed)


def halves(plan: PairPlan) -> list[list[list[int]]]:
    return [plan.row(number).tolist() for number in range(len(plan))]


# ---- cuts, by hand -----------------------------------------------------------------------------------------------


def test_a_long_document_by_hand() -> None:
    # A row of 16 has room for 13 tokens: halves of 13 // 2 - 1 = 5, or 6 where a document ends so. Twenty-one tokens
    # without any marks are cut at 5, 10, 15, and the six that are left are a half without partner, which is halved
    # itself: at 3, rounded up.
    store = memory_store([list(range(10, 31))], flags=[[0] * 21])
    plan = plan_of(store, short=False)
    assert halves(plan) == [[[0, 5], [5, 10]], [[10, 15], [15, 21]]]
    # With one token more the last six are two halves more: 15 to 20, and two tokens, which are halved.
    longer = plan_of(memory_store([list(range(10, 32))], flags=[[0] * 22]), short=False)

    assert halves(longer) == [[[0, 5], [5, 10]], [[10, 15], [15, 20]], [[20, 21], [21, 22]]]


def test_a_short_document_is_halved() -> None:
    plan = plan_of(memory_store([[10, 11, 12], [20, 21], [30]]), short=False)
    # Places: 0 1 2 | 4 5 | 7. Of three the first half has two, of two each one; one token makes no pair.
    assert halves(plan) == [[[0, 2], [2, 3]], [[4, 5], [5, 6]]]
    assert plan.contexts.tolist() == [0, 1]
    assert plan.num_left_out == 1
    assert plan.labels.tolist() == [FREE, FREE]


def test_cuts_fall_on_sentences_that_end_late_and_else_on_words() -> None:
    # Halves of up to 7: a row of 19 has room for 16. A sentence that starts at 5 = int(0.75 * 7) or later ends a half.
    word, sentence = WORD_START, WORD_START | SENTENCE_START

    def cuts(flags: list[int]) -> list[int]:
        store = memory_store([list(range(10, 10 + len(flags)))], flags=[flags])
        return [start for pair in halves(plan_of(store, row_length=19, short=False)) for start, _ in pair][1:]

    # Words at 0, 2, 4, 6; a sentence at 5 comes late enough.
    assert cuts([sentence, 0, word, 0, word, sentence, word, 0, 0, 0])[0] == 5
    # At 4 it does not: the last word that starts in reach does.
    assert cuts([sentence, 0, word, 0, sentence, 0, word, 0, 0, 0])[0] == 6
    # No word starts in reach: the half is full.
    assert cuts([sentence, 0, 0, 0, 0, 0, 0, 0, 0, 0])[0] == 7


def test_no_half_starts_with_a_joint() -> None:
    # Lines of six tokens and their line break: a half of seven would end before the break, were that a word.
    store = memory_store([list(range(10, 16))] * 4, groups="aaaa", newline=9)
    plan = plan_of(store, row_length=17, isolate="group", short=False)
    starts = np.array(halves(plan)).reshape(-1, 2)[:, 0]
    assert len(starts) >= 4
    assert not (store.flags[starts] & JOINT).any()


def test_a_row_without_room_is_refused() -> None:
    with pytest.raises(DataError, match="leaves no room for two segments"):
        plan_of(memory_store([[10, 11]]), row_length=6)


# ---- cuts, in general ----------------------------------------------------------------------------------------------

_FLAGS = st.sampled_from([0, WORD_START, WORD_START, WORD_START | SENTENCE_START])
_DOCUMENTS = st.lists(st.lists(_FLAGS, max_size=120), min_size=1, max_size=8)


def _store(documents: list[list[int]], groups: str = "") -> MemoryStore:
    ids = [[10 + number] * len(flags) for number, flags in enumerate(documents)]
    return memory_store(ids, flags=documents, groups=groups)


@settings(max_examples=60, deadline=None)
@given(documents=_DOCUMENTS, row_length=st.integers(7, 64), seed=st.integers(0, 99), by_group=st.booleans())
def test_every_token_is_in_one_piece_within_one_context(
    documents: list[list[int]], row_length: int, seed: int, by_group: bool
) -> None:
    groups = "aabbccdd"[: len(documents)]
    store = _store(documents, groups)
    plan = plan_of(store, row_length=row_length, seed=seed, isolate="group" if by_group else "document")
    spans = store.spans("group" if by_group else "document")
    inside = np.zeros(len(store), dtype=int)
    for start, end in plan.pieces.tolist():
        assert start < end
        inside[start:end] += 1
    expected = np.zeros(len(store), dtype=int)
    for start, end in spans.tolist():
        if end - start >= 2:
            expected[start:end] = 1
    assert np.array_equal(inside, expected)
    assert plan.num_left_out == sum(end - start for start, end in spans.tolist() if end - start < 2)
    assert plan.num_truncated == 0
    for number, context in enumerate(plan.contexts.tolist()):
        (start, middle), (middle_again, end) = plan.row(number).tolist()
        assert spans[context, 0] <= start < middle == middle_again < end <= spans[context, 1]


@settings(max_examples=60, deadline=None)
@given(documents=_DOCUMENTS, row_length=st.integers(7, 64), epoch=st.integers(0, 5))
def test_no_row_overflows_whatever_is_exchanged(documents: list[list[int]], row_length: int, epoch: int) -> None:
    plan = plan_of(_store(documents), row_length=row_length)
    if len(plan) == 0:
        return
    lengths = (plan.pieces[:, 1] - plan.pieces[:, 0]).reshape(-1, 2)
    # Any A with any B.
    assert lengths[:, 0].max() + lengths[:, 1].max() + FRAME <= row_length
    if len(np.unique(plan.contexts)) > 1:
        partners, _ = exchange(plan, epoch, seed=3)
        assert (lengths[:, 0] + lengths[partners, 1] + FRAME <= row_length).all()


def test_a_tenth_of_the_pairs_is_shorter() -> None:
    # One document of a million tokens in rows of 128: 62 * 2 tokens a pair, but for one pair in ten. Of these the
    # length of a half is drawn evenly from integers(2, 125) // 2, so that it is below the longest (61) but where 122,
    # 123 or 124 is drawn, 3 in 123. Pairs are independent: the standard error of the share is sqrt(p (1 - p) / n).
    store = _store([[WORD_START] * 1_000_000])
    plan = plan_of(store, row_length=128)
    lengths = plan.pieces[:-4, 1] - plan.pieces[:-4, 0]
    is_short = lengths.reshape(-1, 2)[:, 0] < 61
    expected = SHORT_PAIRS * (1 - 3 / 123)
    assert abs(is_short.mean() - expected) < 3 * np.sqrt(expected * (1 - expected) / len(is_short))
    assert set(lengths.reshape(-1, 2)[~is_short].ravel().tolist()) == {61}
    assert (lengths.reshape(-1, 2)[:, 0] == lengths.reshape(-1, 2)[:, 1]).all()


# ---- exchange ------------------------------------------------------------------------------------------------------


def _plan(contexts: list[int], labels: list[int] | None = None) -> PairPlan:
    num = len(contexts)
    pieces = np.arange(2 * num)[:, None] + [0, 1]
    return PairPlan(
        rows=np.arange(0, 2 * num + 1, 2),
        pieces=pieces,
        row_length=16,
        frame_length=1,
        contexts=np.array(contexts),
        labels=np.array(labels if labels is not None else [FREE] * num),
        num_truncated=0,
        num_left_out=0,
    )


@given(contexts=st.lists(st.integers(0, 6), min_size=2, max_size=60), epoch=st.integers(0, 1000))
def test_half_are_random_and_none_from_its_own_context(contexts: list[int], epoch: int) -> None:
    contexts.sort()
    if len(set(contexts)) < 2:
        contexts[-1] += 1
    plan = _plan(contexts)
    partners, labels = exchange(plan, epoch, seed=5)
    num_random = int((labels == SWAPPED).sum())
    assert num_random in (len(plan) // 2, (len(plan) + 1) // 2)
    is_random = labels == SWAPPED
    assert (plan.contexts[partners] != plan.contexts)[is_random].all()
    assert np.array_equal(partners[~is_random], np.flatnonzero(~is_random))
    # As many different second segments as rows, unless one context has more than half of the random ones.
    if np.unique(plan.contexts[is_random], return_counts=True)[1].max() * 2 <= num_random:
        assert sorted(partners.tolist()) == list(range(len(plan)))


def test_an_odd_number_of_pairs_is_half_and_half_on_average() -> None:
    # Of three pairs one or two are random, each as often: the mean of 2,000 epochs is 1.5, with a standard error of
    # sqrt(0.25 / 2,000).
    plan = _plan([0, 1, 2])
    counts = [int((exchange(plan, epoch, seed=1)[1] == SWAPPED).sum()) for epoch in range(2_000)]
    assert set(counts) == {1, 2}
    assert abs(np.mean(counts) - 1.5) < 3 * np.sqrt(0.25 / 2_000)


def test_each_pair_is_random_half_of_the_time_with_any_other_context() -> None:
    # Of eight pairs of four contexts, four an epoch. Over n epochs each pair is random in n / 2, with a standard error
    # of sqrt(n / 4); the partners of one are evenly of the three other contexts.
    plan, num = _plan([0, 0, 1, 1, 2, 2, 3, 3]), 4_000
    found = [exchange(plan, epoch, seed=2) for epoch in range(num)]
    random = np.array([labels for _, labels in found])
    assert (np.abs(random.sum(axis=0) - num / 2) < 3.5 * np.sqrt(num / 4)).all()
    partners = np.array([partners[0] for partners, labels in found if labels[0] == SWAPPED])
    shares = np.bincount(plan.contexts[partners], minlength=4) / len(partners)
    assert shares[0] == 0
    assert (shares[1:] > 0.1).all()


def test_one_large_document_borrows() -> None:
    # Nine pairs of one document and one of another: whichever are random get the other's, which is the only one.
    plan = _plan([0] * 9 + [1])
    for epoch in range(50):
        partners, labels = exchange(plan, epoch, seed=1)
        for row in np.flatnonzero(labels == SWAPPED):
            assert (partners[row] == 9) == (row != 9)


def test_two_epochs_differ() -> None:
    plan = _plan(list(range(40)))
    first, second = exchange(plan, 0, seed=1), exchange(plan, 1, seed=1)
    assert not np.array_equal(first[1], second[1])
    assert all(np.array_equal(*pair) for pair in zip(first, exchange(plan, 0, seed=1), strict=True))
    assert not np.array_equal(first[1], exchange(plan, 0, seed=2)[1])


def test_one_context_is_refused() -> None:
    with pytest.raises(DataError, match="this corpus has only one"):
        check_contexts(_plan([3, 3, 3]), "mlm_nsp")
    check_contexts(_plan([3, 4]), "mlm_nsp")
    # Labelled pairs need no other document.
    check_contexts(_plan([3], labels=[SWAPPED]), "mlm_nsp")


# ---- labelled pairs ------------------------------------------------------------------------------------------------


def _pairs(*lengths: tuple[int, int, bool]) -> MemoryStore:
    """Documents of two texts each, with a joint between them: lengths of A and B, and whether B is random."""
    documents, flags = [], []
    for first, second, is_random in lengths:
        mark = SECOND_START | WORD_START | (IS_RANDOM if is_random else 0)
        documents.append([10] * first + [3] + [20] * second)
        flags.append([WORD_START] * first + [JOINT | WORD_START] + [mark] + [WORD_START] * (second - 1))
    return memory_store(documents, flags=flags, has_pairs=True)


def test_labelled_pairs_are_rows_as_they_are() -> None:
    plan = plan_of(_pairs((3, 4, False), (2, 2, True)))
    # Places 0 1 2 [3] 4 5 6 7 [8] 9 10 [11] 12 13: the joint between the texts is in neither.
    assert halves(plan) == [[[0, 3], [4, 8]], [[9, 11], [12, 14]]]
    assert plan.labels.tolist() == [IN_PLACE, SWAPPED]
    assert plan.num_truncated == 0
    for epoch in range(10):
        partners, labels = exchange(plan, epoch, seed=1)
        assert partners.tolist() == [0, 1]
        assert labels.tolist() == [IN_PLACE, SWAPPED]


def test_labelled_pairs_keep_their_labels_among_free_ones() -> None:
    labelled = _plan([0, 1, 2, 3, 4, 5], labels=[FREE, SWAPPED, FREE, IN_PLACE, FREE, FREE])
    for epoch in range(50):
        partners, labels = exchange(labelled, epoch, seed=1)
        assert (partners[1], partners[3]) == (1, 3)
        assert (labels[1], labels[3]) == (SWAPPED, IN_PLACE)
        assert set(partners[[0, 2, 4, 5]].tolist()) == {0, 2, 4, 5}


def test_the_longer_text_of_a_labelled_pair_loses_its_end() -> None:
    # Room for 13. Of 10 + 7 four are cut, all of A, which stays the longer: 6 + 7 = 13. Of 9 + 9: A and B by turns, B
    # first where they are equal to A's loss: 7 + 6 or 6 + 7.
    plan = plan_of(_pairs((10, 7, False), (9, 9, True), (2, 30, False)))
    lengths = (plan.pieces[:, 1] - plan.pieces[:, 0]).reshape(-1, 2)
    assert lengths[0].tolist() == [6, 7]
    assert sorted(lengths[1].tolist()) == [6, 7]
    assert lengths[2].tolist() == [2, 11]
    assert plan.num_truncated == 4 + 5 + 19


@given(first=st.integers(1, 40), second=st.integers(1, 40))
def test_labelled_pairs_are_cut_as_tokenizers_cut(first: int, second: int) -> None:
    plan = plan_of(_pairs((first, second, True)))
    (start, end), (second_start, second_end) = plan.row(0).tolist()
    kept = end - start, second_end - second_start
    assert (start, second_start) == (0, first + 1)
    assert plan.num_truncated == first + second - sum(kept) == max(0, first + second - 13)
    # "longest_first": only where both lost something are they of equal length, but for one.
    if kept[0] < first and kept[1] < second:
        assert abs(kept[0] - kept[1]) <= 1
    elif kept[0] < first:
        assert kept[0] >= kept[1] - 1
    elif kept[1] < second:
        assert kept[1] >= kept[0] - 1
