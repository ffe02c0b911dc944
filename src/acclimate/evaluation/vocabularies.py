"""Two models of different tokenizers on the same text: bits per byte of whole words.

A loss per token says nothing where the tokens differ. So both models are asked for the same words of the same stretches
of text, each hidden whole and read by its own tokenizer, and the bits that they need for them are divided by the words'
bytes of UTF-8. Documents are what the bootstrap draws, as everywhere.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from acclimate.evaluation.breakdown import FEWEST_UNITS
from acclimate.evaluation.results import PartComparison
from acclimate.evaluation.units import Encoded, Reading
from acclimate.objectives.base import Fields
from acclimate.objectives.clm import CausalLanguageModeling
from acclimate.randomness import Purpose, generator
from acclimate.scoring.bootstrap import mean_difference
from acclimate.scoring.held_out import MASK_SEED
from acclimate.scoring.questions import Answer, asked_places, question
from acclimate.tokens.words import word_spans

# Share of the words of a stretch that are hidden, and the tokens of a stretch by the run's own tokenizer, as a share of
# what a row has room for: by another one it may have more.
HIDDEN = 0.15
FILLED = 0.6


@dataclass(frozen=True)
class WordWindow:
    """Some words of a stretch of text, by characters.

    Attributes:
        unit: the index of its unit.
        start, end: of the stretch.
        words: the first character and the end of each word that is asked for.
    """

    unit: int
    start: int
    end: int
    words: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class WindowQuestion:
    """A stretch as one model gets it: which places of its text each word has."""

    words: tuple[NDArray[np.int64], ...]
    fields: Fields


def word_windows(reading: Reading, max_tokens: int | None) -> list[WordWindow]:
    """Stretches of all units, or some at random, with the words that are asked for."""
    rng = generator(MASK_SEED, Purpose.SAMPLES, 6)
    causal = isinstance(reading.objective, CausalLanguageModeling)
    length = max(4, int(FILLED * reading.room(reading.objective.max_length)))
    found: list[WordWindow] = []
    total = 0
    for index in rng.permutation(len(reading.units)).tolist():
        for start, end in _stretches(reading.units[index], length):
            words = _words(reading.units[index], start, end, 1.0 if causal else HIDDEN, rng)
            if words:
                found.append(WordWindow(index, start, end, words))
                total += length
            if max_tokens is not None and total >= max_tokens:
                return found
    return found


def _stretches(encoded: Encoded, length: int) -> list[tuple[int, int]]:
    """The characters of stretches of at most `length` tokens, cut before words where there is one."""
    bounds, first = [], 0
    while first < len(encoded):
        end = min(len(encoded), first + length)
        cut = end
        while end < len(encoded) and cut > first and not encoded.word_starts[cut]:
            cut -= 1
        end = cut if cut > first else end
        bounds.append((int(encoded.starts[first]), int(encoded.ends[end - 1])))
        first = end
    return bounds


def _words(
    encoded: Encoded, start: int, end: int, share: float, rng: np.random.Generator
) -> tuple[tuple[int, int], ...]:
    text = encoded.unit.text[start:end]
    spans = [(first, last) for first, last in word_spans(text).tolist() if any(map(str.isalnum, text[first:last]))]
    if not spans:
        return ()
    number = max(1, round(share * len(spans)))
    chosen = np.sort(rng.permutation(len(spans))[:number]).tolist()
    return tuple((start + spans[index][0], start + spans[index][1]) for index in chosen)


def window_questions(
    windows: Sequence[WordWindow], after: Reading, before: Reading
) -> tuple[list[tuple[Encoded, tuple[tuple[int, int], ...]]], list[WindowQuestion], list[WindowQuestion]]:
    """The words that both models can be asked for: of each stretch its unit and their characters, and the questions to
    the model before and to the one after."""
    texts: list[tuple[Encoded, tuple[tuple[int, int], ...]]] = []
    asked: tuple[list[WindowQuestion], list[WindowQuestion]] = ([], [])
    for window in itertools.chain.from_iterable(_with_room(window, (before, after)) for window in windows):
        words = window.words
        for _ in range(2):  # what one of them cannot be asked for is seen by both
            made = [_question(window, words, reading) for reading in (before, after)]
            words = tuple(word for word in words if all(word in places for places, _ in made))
        if not words:
            continue
        texts.append((after.units[window.unit], words))
        for questions, (places, fields) in zip(asked, made, strict=True):
            assert fields is not None
            questions.append(WindowQuestion(tuple(places[word] for word in words), fields))
    return texts, *asked


def _with_room(window: WordWindow, readings: Sequence[Reading]) -> Iterator[WordWindow]:
    """A stretch, or smaller ones of its words, for which each model has room: by one tokenizer it may have many times
    the tokens that it has by another."""
    if all(_fits(*_tokens_of(window, reading), reading) for reading in readings):
        yield window
    elif len(window.words) > 1:
        half = len(window.words) // 2
        middle = window.words[half][0]
        yield from _with_room(replace(window, end=middle, words=window.words[:half]), readings)
        yield from _with_room(replace(window, start=middle, words=window.words[half:]), readings)
    elif (window.start, window.end) != window.words[0]:
        # The nearer half of what stands on both sides.
        (first, last), start, end = window.words[0], window.start, window.end
        yield from _with_room(replace(window, start=(start + first + 1) // 2, end=(last + end) // 2), readings)


def _tokens_of(window: WordWindow, reading: Reading) -> tuple[int, int]:
    encoded = reading.units[window.unit]
    first = int(np.searchsorted(encoded.ends, window.start, side="right"))
    return first, int(np.searchsorted(encoded.starts, window.end, side="left"))


def _fits(first: int, end: int, reading: Reading) -> bool:
    return end - first <= reading.objective.max_length - len(reading.objective.frame)


def _question(
    window: WordWindow, words: Sequence[tuple[int, int]], reading: Reading
) -> tuple[dict[tuple[int, int], NDArray[np.int64]], Fields | None]:
    """The places of the words that can be asked for, and the question."""
    encoded = reading.units[window.unit]
    first, end = _tokens_of(window, reading)
    if end <= first or not _fits(first, end, reading):
        return {}, None
    places = {word: np.arange(*tokens) - first for word in words if (tokens := encoded.tokens_of(*word)) is not None}
    if not places:
        return {}, None
    fields = question(reading.objective, encoded.ids[first:end], np.concatenate([*places.values()]))
    if fields is None:
        return {}, None
    known = asked_places(fields)
    return {word: own for word, own in places.items() if np.isin(own, known).all()}, fields


def by_unit(texts: Sequence[tuple[Encoded, object]]) -> bool:
    """Whether there are enough documents for the bootstrap to draw from."""
    return len({encoded.unit.number for encoded, _ in texts}) >= FEWEST_UNITS


def compare_words(
    questions: tuple[Sequence[WindowQuestion], Sequence[WindowQuestion]],
    texts: Sequence[tuple[Encoded, Sequence[tuple[int, int]]]],
    before: Sequence[Answer],
    after: Sequence[Answer],
    resamples: int,
) -> PartComparison:
    """Bits per byte and the share of words found whole, before and after.

    Args:
        questions: to the model before and to the one after, a stretch each.
        texts: of each its unit and the characters of its words.
    """
    drawn = [encoded.unit.number for encoded, _ in texts]
    # Too few documents to draw from: stretches instead.
    numbers, index = np.unique(drawn if by_unit(texts) else np.arange(len(texts)), return_inverse=True)
    losses, right = np.zeros((2, len(numbers))), np.zeros(2)
    counts, num_bytes = np.zeros(len(numbers)), np.zeros(len(numbers))
    for unit, (encoded, words) in zip(index.tolist(), texts, strict=True):
        counts[unit] += len(words)
        num_bytes[unit] += sum(
            len(encoded.unit.text[first:last].encode("utf-8", "surrogatepass")) for first, last in words
        )
    for which, answers in enumerate((before, after)):
        for unit, own, answer in zip(index.tolist(), questions[which], answers, strict=True):
            for places in own.words:
                chosen = np.isin(answer.places, places)
                losses[which, unit] += float(answer.losses[chosen].sum())
                right[which] += bool((answer.ranks[chosen] == 0).all())
    measures = [
        {
            "accuracy": float(correct / counts.sum()),
            "bits_per_byte": float(own.sum() / math.log(2) / num_bytes.sum()),
        }
        for own, correct in zip(losses, right, strict=True)
    ]
    change = losses[1] - losses[0]
    return PartComparison(
        before=measures[0],
        after=measures[1],
        difference=None,
        bits_per_byte_difference=mean_difference(change / math.log(2), num_bytes, resamples=resamples),
        num_targets=int(counts.sum()),
    )
