"""The words and phrases of a domain, found by themselves.

A word's frequency in the domain's corpus is compared with that in general text by the log-odds ratio with an
informative Dirichlet prior (Monroe, Colaresi & Quinn 2008, "Fightin' Words", Political Analysis 16(4)): the prior is
the word's share of both texts together, and what ranks is the ratio over its standard error (z), so that neither rare
words nor common ones win by their frequency alone. Phrases are two or three neighbouring words that hold together by
their normalized pointwise mutual information (Bouma 2009).

Words are those of `acclimate.tokens.words`: Unicode's letters, Chinese by its segmenter. Not listed are single
characters, numbers, and words that are common in general text, which are told by their share of it and not by a list of
one language.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from acclimate.tokens.words import word_spans

# The prior's weight, as a share of the smaller of the two texts, and its bounds in words.
PRIOR_SHARE, LEAST_PRIOR, MOST_PRIOR = 0.1, 10.0, 10_000.0
# Words that make up these shares of general text are common: no terms by themselves, or not even at the edge of one.
COMMON, VERY_COMMON = 1 / 20_000, 1 / 2_000
LEAST_COUNT = 5  # of a term in the domain
LEAST_DOCUMENTS = 2
LEAST_Z = 1.96
HOLDS_TOGETHER = 0.35  # normalized pointwise mutual information of a phrase
# A word, or shorter phrase, is not listed where so large a share of it is within a listed phrase.
WITHIN = 0.7
LONGEST_PHRASE = 3
NO_WORD = -1

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class FoundTerm:
    """A term of the domain.

    Attributes:
        words: as they are compared, letter case aside.
        text: as it is most often written.
        score: z of the log-odds ratio.
        domain_count, general_count: occurrences.
    """

    words: tuple[str, ...]
    text: str
    score: float
    domain_count: int
    general_count: int


@dataclass(frozen=True, eq=False)
class Words:
    """The words of some texts, one after the other.

    Attributes:
        numbers: [W] of each word in a vocabulary; `NO_WORD` for what is none: punctuation, numbers, unknown words.
        joined: [W] whether it follows the word before it with no more than a blank between.
        spans: [W, 2] its first character and end in its text.
        texts: [W] which text it is in.
    """

    numbers: IntArray
    joined: NDArray[np.bool_]
    spans: IntArray
    texts: IntArray

    @property
    def num_words(self) -> int:
        return int((self.numbers != NO_WORD).sum())


@dataclass
class Vocabulary:
    """Numbers of words, letter case aside.

    Attributes:
        open: whether it takes in new words; otherwise they get the number `UNKNOWN`.
    """

    numbers: dict[str, int] = field(default_factory=dict)
    open: bool = True

    UNKNOWN = -2

    def number(self, word: str) -> int:
        """Of a word; `NO_WORD` of what has no letter."""
        if not any(map(str.isalpha, word)):
            return NO_WORD
        if self.open:
            return self.numbers.setdefault(word, len(self.numbers))
        return self.numbers.get(word, self.UNKNOWN)


def read_words(texts: Iterable[str], vocabulary: Vocabulary) -> Words:
    """The words of some texts."""
    numbers: list[IntArray] = []
    joined: list[NDArray[np.bool_]] = []
    spans: list[IntArray] = []
    sources: list[IntArray] = []
    known: dict[str, int] = {}
    for index, text in enumerate(texts):
        found = word_spans(text)
        if len(found) == 0:
            continue
        words = [text[start:end] for start, end in found.tolist()]
        for word in words:
            if word not in known:
                known[word] = vocabulary.number(word.casefold())
        own = np.fromiter((known[word] for word in words), np.int64, len(words))
        own[_contracted(words, found)] = NO_WORD
        gaps = found[1:, 0] - found[:-1, 1]
        # A blank or nothing between them; a line break ends a phrase.
        near = (gaps == 0) | ((gaps == 1) & np.fromiter((text[end] in " \u3000" for end in found[:-1, 1]), np.bool_))
        near &= (own[1:] != NO_WORD) & (own[:-1] != NO_WORD)
        numbers.append(own)
        joined.append(np.concatenate([[False], near]))
        spans.append(found)
        sources.append(np.full(len(own), index))
    empty = np.empty(0, np.int64)
    return Words(
        np.concatenate([empty, *numbers]),
        np.concatenate([np.empty(0, np.bool_), *joined]),
        np.concatenate([empty.reshape(0, 2), *spans]),
        np.concatenate([empty, *sources]),
    )


def _contracted(words: Sequence[str], spans: IntArray) -> list[int]:
    """The indices of words that are parts of a contraction ("don" and "t" of "don't", "re" of "you're"), and of a
    genitive's "s", which say nothing of a domain."""
    found = []
    for at in range(1, len(words) - 1):
        within = words[at] in "'\u2019" and spans[at, 0] == spans[at - 1, 1] and spans[at, 1] == spans[at + 1, 0]
        if within and len(words[at + 1]) <= 2 and words[at - 1][-1].isalpha():
            found += [at - 1, at + 1] if words[at + 1].casefold() == "t" else [at + 1]
    return found


def log_odds(
    domain: FloatArray, general: FloatArray, num_domain: float, num_general: float, prior: float
) -> FloatArray:
    """z of the log-odds ratio of some words, positive where they are the domain's.

    Args:
        domain, general: [T] how often each occurs in the two texts.
        num_domain, num_general: how many words these have.
        prior: words that the prior counts for, divided among all words by their shares of both texts together.
    """
    alpha = prior * (domain + general) / (num_domain + num_general)
    ours, theirs = domain + alpha, general + alpha
    ratio = np.log(ours / (num_domain + prior - ours)) - np.log(theirs / (num_general + prior - theirs))
    return np.asarray(ratio / np.sqrt(1 / ours + 1 / theirs))


def prior_of(num_domain: float, num_general: float) -> float:
    """How many words the prior counts for."""
    return float(np.clip(PRIOR_SHARE * min(num_domain, num_general), LEAST_PRIOR, MOST_PRIOR))


def find_terms(domain: Sequence[str], general: Sequence[str], limit: int) -> list[FoundTerm]:
    """The terms of a domain, those of the highest z first.

    Args:
        domain, general: documents of the two corpora.
        limit: at most so many.
    """
    vocabulary = Vocabulary()
    ours = read_words(domain, vocabulary)
    vocabulary.open = False
    theirs = read_words(general, vocabulary)
    num_words = ours.num_words
    if not num_words or not theirs.num_words:
        return []
    names = list(vocabulary.numbers)
    common, very_common = (_common(theirs, len(names), share) for share in (COMMON, VERY_COMMON))
    found: list[tuple[tuple[int, ...], int, int]] = []
    keys, here = ours.numbers.copy(), ours.numbers >= 0
    others, there = theirs.numbers.copy(), theirs.numbers >= 0
    grams: list[tuple[int, ...]] = [(number,) for number in range(len(names))]
    word_counts = np.bincount(ours.numbers[here], minlength=len(names)).astype(np.float64)
    for length in range(1, LONGEST_PHRASE + 1):
        counts = np.bincount(keys[here], minlength=len(grams))
        documents = _document_counts(keys, here, ours.texts, len(grams))
        theirs_counts = np.bincount(others[there], minlength=len(grams))
        for index in np.flatnonzero((counts >= LEAST_COUNT) & (documents >= LEAST_DOCUMENTS)).tolist():
            gram, count = grams[index], int(counts[index])
            if _may_be_term(gram, names, common if length == 1 else very_common) and (
                length == 1 or _holds_together(gram, count, word_counts, num_words)
            ):
                found.append((gram, count, int(theirs_counts[index])))
        keys, here, others, there, grams = _longer(keys, here, others, there, grams, counts, ours, theirs, length)
    return _ranked(found, names, ours, theirs, domain, limit)


def _common(words: Words, size: int, share: float) -> NDArray[np.bool_]:
    """[size] which words make up a share of general text."""
    counts = np.bincount(words.numbers[words.numbers >= 0], minlength=size)
    return np.asarray((counts >= LEAST_COUNT) & (counts > share * words.num_words))


def _document_counts(keys: IntArray, here: NDArray[np.bool_], texts: IntArray, size: int) -> IntArray:
    """[size] in how many texts each key occurs."""
    pairs = np.unique(keys[here] * (int(texts.max(initial=0)) + 1) + texts[here])
    return np.bincount(pairs // (int(texts.max(initial=0)) + 1), minlength=size)


def _may_be_term(gram: tuple[int, ...], names: Sequence[str], common: NDArray[np.bool_]) -> bool:
    if common[gram[0]] or common[gram[-1]]:
        return False
    return sum(len(names[number]) for number in gram) > 1


def _holds_together(gram: tuple[int, ...], count: int, word_counts: FloatArray, num_words: int) -> bool:
    """Whether a phrase comes more often than its words would meet by chance."""
    share = count / num_words
    chance = float(np.prod([word_counts[number] / num_words for number in gram]))
    # 1 where the words never come apart, 0 where they meet by chance.
    return float(np.log(share / chance) / (-np.log(share) * (len(gram) - 1))) >= HOLDS_TOGETHER


def _longer(
    keys: IntArray,
    here: NDArray[np.bool_],
    others: IntArray,
    there: NDArray[np.bool_],
    grams: list[tuple[int, ...]],
    counts: IntArray,
    ours: Words,
    theirs: Words,
    length: int,
) -> tuple[IntArray, NDArray[np.bool_], IntArray, NDArray[np.bool_], list[tuple[int, ...]]]:
    """Phrases of one word more, each counted at its last word: those of which the shorter one is frequent enough."""
    size = int(max(ours.numbers.max(initial=0), 0)) + 1
    frequent = counts >= LEAST_COUNT

    def extended(shorter: IntArray, known: NDArray[np.bool_], words: Words) -> tuple[IntArray, NDArray[np.bool_]]:
        before, was = np.roll(shorter, 1), np.roll(known, 1)
        fits = words.joined & was & (words.numbers >= 0)
        fits[fits] = frequent[before[fits]]
        return np.where(fits, before * size + words.numbers, NO_WORD), fits

    long_keys, long_here = extended(keys, here, ours)
    long_others, long_there = extended(others, there, theirs)
    unique, dense = np.unique(long_keys[long_here], return_inverse=True)
    new_keys = np.full(len(keys), NO_WORD)
    new_keys[long_here] = dense
    found = np.searchsorted(unique, long_others)
    found = np.minimum(found, max(len(unique) - 1, 0))
    long_there &= np.isin(long_others, unique)
    longer = [(*grams[key // size], int(key % size)) for key in unique.tolist()]
    return new_keys, long_here, np.where(long_there, found, NO_WORD), long_there, longer


def _ranked(
    found: Sequence[tuple[tuple[int, ...], int, int]],
    names: Sequence[str],
    ours: Words,
    theirs: Words,
    domain: Sequence[str],
    limit: int,
) -> list[FoundTerm]:
    if not found:
        return []
    numbers = float(ours.num_words), float(theirs.num_words)
    counts = np.array([[count, general] for _, count, general in found], dtype=np.float64)
    scores = log_odds(counts[:, 0], counts[:, 1], *numbers, prior_of(*numbers))
    order = [index for index in np.argsort(-scores, kind="stable").tolist() if scores[index] >= LEAST_Z]
    within = _within({found[index][0]: found[index][1] for index in order})
    kept = [index for index in order if found[index][1] * WITHIN > within.get(found[index][0], 0)][:limit]
    written = _spellings({found[index][0] for index in kept}, ours, domain)
    return [
        FoundTerm(
            tuple(names[number] for number in found[index][0]),
            written[found[index][0]],
            float(scores[index]),
            found[index][1],
            found[index][2],
        )
        for index in kept
    ]


def _within(counts: dict[tuple[int, ...], int]) -> dict[tuple[int, ...], int]:
    """How often each part of the phrases comes in the one that it comes in most often."""
    within: dict[tuple[int, ...], int] = {}
    for phrase, count in counts.items():
        for length in range(1, len(phrase)):
            for at in range(len(phrase) - length + 1):
                part = phrase[at : at + length]
                within[part] = max(within.get(part, 0), count)
    return within


def occurrences(grams: Iterable[tuple[int, ...]], words: Words) -> list[tuple[tuple[int, ...], int, int]]:
    """Where some phrases stand: each with the index of its first word and of its last."""
    by_first: dict[int, list[tuple[int, ...]]] = {}
    for gram in grams:
        by_first.setdefault(gram[0], []).append(gram)
    numbers, joined = words.numbers.tolist(), words.joined.tolist()
    found = []
    for at in np.flatnonzero(np.isin(words.numbers, list(by_first))).tolist():
        for gram in by_first[numbers[at]]:
            last = at + len(gram) - 1
            if tuple(numbers[at : last + 1]) == gram and all(joined[at + 1 : last + 1]):
                found.append((gram, at, last))
    return found


def _spellings(grams: set[tuple[int, ...]], words: Words, texts: Sequence[str]) -> dict[tuple[int, ...], str]:
    """How each term is most often written, blanks in it as one; of spellings that come equally often the first."""
    counts: dict[tuple[int, ...], Counter[str]] = {gram: Counter() for gram in grams}
    for gram, first, last in occurrences(grams, words):
        text = texts[words.texts[first]][words.spans[first, 0] : words.spans[last, 1]]
        counts[gram][" ".join(text.split())] += 1
    return {gram: spellings.most_common(1)[0][0] for gram, spellings in counts.items()}
