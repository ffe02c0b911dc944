"""Pseudo-log-likelihood of held-out sentences (Salazar et al. 2020, arXiv:1910.14659).

Each token of a sentence is masked in its turn, and the model's log-probabilities of them are summed up. The pieces of
the same word that follow it are masked along with it (PLL-word-l2r, Kauf & Ivanova 2023, arXiv:2305.10588): a piece
that is seen gives away the rest of a rare word, which the original measure takes for knowledge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acclimate.evaluation.breakdown import FEWEST_UNITS
from acclimate.evaluation.results import PseudoLogLikelihood
from acclimate.evaluation.units import Encoded, Reading
from acclimate.objectives.base import Fields, Objective
from acclimate.randomness import Purpose, generator
from acclimate.scoring.bootstrap import mean_difference
from acclimate.scoring.held_out import MASK_SEED
from acclimate.scoring.questions import Answer, question
from acclimate.tokens.sentences import sentence_starts

# Tokens of a sentence that is asked: a shorter one says little; a longer one, which takes its square in time, is cut.
SHORTEST, LONGEST = 4, 64


@dataclass(frozen=True, eq=False)
class SentenceQuestions:
    """The tokens of some sentences, a question each.

    Attributes:
        fields: the questions.
        units: the number of the unit that each is of.
        sentences: the number of its sentence.
    """

    fields: tuple[Fields, ...] = ()
    units: tuple[int, ...] = ()
    sentences: tuple[int, ...] = ()


def word_by_word(objective: Objective, ids: NDArray[np.int64], word_starts: NDArray[np.bool_]) -> list[Fields | None]:
    """A question for each token of a text, masked with the pieces of its word behind it; None for one that cannot be
    asked for."""
    bounds = np.append(np.flatnonzero(word_starts), len(ids))
    ends = bounds[np.searchsorted(bounds, np.arange(len(ids)), side="right")]
    return [question(objective, ids, range(at, end), [at]) for at, end in enumerate(ends.tolist())]


def sentence_questions(reading: Reading, num_sentences: int) -> SentenceQuestions:
    """Sentences of as many units as there are, chosen at random, a question for each token."""
    fields: list[Fields] = []
    units: list[int] = []
    sentences: list[int] = []
    for number, (encoded, first, end) in enumerate(_chosen(reading, num_sentences)):
        starts = encoded.word_starts[first:end].copy()
        starts[0] = True
        asked = [one for one in word_by_word(reading.objective, encoded.ids[first:end], starts) if one is not None]
        fields += asked
        units += [encoded.unit.number] * len(asked)
        sentences += [number] * len(asked)
    return SentenceQuestions(tuple(fields), tuple(units), tuple(sentences))


def _chosen(reading: Reading, num_sentences: int) -> list[tuple[Encoded, int, int]]:
    """One sentence of each unit in random order, then a second one of each, and so on."""
    rng = generator(MASK_SEED, Purpose.SAMPLES, 2)
    order = rng.permutation(len(reading.units)).tolist()
    waiting: list[tuple[Encoded, list[tuple[int, int]]]] = []
    # Units beyond as many as there are sentences are never reached in the first round, unless they have none.
    for index in order:
        sentences = list(_sentences(reading.units[index], reading.room(LONGEST)))
        if sentences:
            waiting.append((reading.units[index], [sentences[number] for number in rng.permutation(len(sentences))]))
        if len(waiting) == num_sentences:
            break
    found: list[tuple[Encoded, int, int]] = []
    while waiting and len(found) < num_sentences:
        found += [(encoded, *sentences.pop()) for encoded, sentences in waiting]
        waiting = [(encoded, sentences) for encoded, sentences in waiting if sentences]
    return found[:num_sentences]


def _sentences(encoded: Encoded, longest: int) -> Iterator[tuple[int, int]]:
    """The first token and the end of each sentence that has letters; of a longer one than `longest` its beginning, up
    to the end of a word."""
    starts = sentence_starts(encoded.unit.text)
    tokens = np.searchsorted(encoded.ends, np.array(starts, dtype=np.int64), side="right").tolist()
    for start, stop, first, end in zip(
        starts, [*starts[1:], len(encoded.unit.text)], tokens, [*tokens[1:], len(encoded)], strict=True
    ):
        if end - first < SHORTEST or not any(map(str.isalpha, encoded.unit.text[start:stop])):
            continue
        cut = min(end, first + longest)
        while cut < end and cut > first + SHORTEST and not encoded.word_starts[cut]:
            cut -= 1
        yield first, cut


def compare_sentences(
    asked: SentenceQuestions, before: Sequence[Answer], after: Sequence[Answer], resamples: int
) -> PseudoLogLikelihood | None:
    """The pseudo-log-likelihood per token before and after; None where nothing was asked. With too few units the
    interval is over sentences."""
    if not asked.fields:
        return None
    drawn = asked.units if len({*asked.units}) >= FEWEST_UNITS else asked.sentences
    numbers, units = np.unique(np.array(drawn), return_inverse=True)
    counts = np.bincount(units, minlength=len(numbers)).astype(np.float64)
    first, second = (np.zeros(len(numbers)) for _ in range(2))
    for sums, answers in ((first, before), (second, after)):
        np.add.at(sums, units, [-float(answer.losses.sum()) for answer in answers])
    return PseudoLogLikelihood(
        before=float(first.sum() / counts.sum()),
        after=float(second.sum() / counts.sum()),
        difference=mean_difference(second - first, counts, resamples=resamples),
        num_tokens=int(counts.sum()),
        num_units=len(numbers),
    )
