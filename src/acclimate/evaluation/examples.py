"""Texts with blanks from held-out documents, filled before and after: examples that are not picked by hand.

A third of them are the occurrences of terms whose surprise fell most, a third those whose surprise rose most, a third
are words at random places, and each says which it is. So nobody is shown the gains alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from acclimate.evaluation.asked import Blank, Guess, Probe
from acclimate.evaluation.term_questions import Occurrence, TermQuestion, term_question
from acclimate.evaluation.units import Reading
from acclimate.randomness import Purpose, generator
from acclimate.scoring.held_out import MASK_SEED
from acclimate.scoring.questions import Answer
from acclimate.tokens.words import word_spans

NUM_GUESSES = 5
# Characters of text that an example shows on either side of its blanks.
SHOWN = 160


@dataclass(frozen=True, eq=False)
class Asked:
    """A question with both answers."""

    question: TermQuestion
    before: Answer
    after: Answer

    @property
    def change(self) -> float:
        """How much less surprising the hidden word became, in nats per piece; below 0 where it became more so."""
        change = self.question.loss(self.before) - self.question.loss(self.after)
        return change / len(self.question.places)


def random_questions(reading: Reading, number: int) -> list[TermQuestion]:
    """Words at random places of held-out units, one of each unit in random order."""
    rng = generator(MASK_SEED, Purpose.SAMPLES, 5)
    found: list[TermQuestion] = []
    for index in rng.permutation(len(reading.units)).tolist():
        if len(found) == number:
            break
        text = reading.units[index].unit.text
        words = [span for span in word_spans(text).tolist() if any(map(str.isalpha, text[span[0] : span[1]]))]
        for place in rng.permutation(len(words))[:3].tolist():
            asked = term_question(Occurrence(-1, index, *words[place]), reading)
            if asked is not None:
                found.append(asked)
                break
    return found


def choose_examples(
    terms: Sequence[Asked], at_random: Sequence[Asked], number: int, tokenizer: PreTrainedTokenizerBase
) -> tuple[Probe, ...]:
    """The examples: terms that gained most, terms that lost most, and words at random, a third each."""
    order = np.argsort([-asked.change for asked in terms], kind="stable").tolist()
    share = number // 3
    gained = _one_of_each([terms[index] for index in order if terms[index].change > 0], share)
    lost = _one_of_each([terms[index] for index in reversed(order) if terms[index].change < 0], share)
    rest = at_random[: number - len(gained) - len(lost)]
    chosen = [("gained", gained), ("lost", lost), ("random", rest)]
    return tuple(_example(asked, why, tokenizer) for why, group in chosen for asked in group)


def _one_of_each(ordered: Sequence[Asked], number: int) -> list[Asked]:
    """The first ones, each of another term."""
    first: dict[int, Asked] = {}
    for asked in ordered:
        first.setdefault(asked.question.occurrence.term, asked)
    return list(first.values())[:number]


def _example(asked: Asked, why: str, tokenizer: PreTrainedTokenizerBase) -> Probe:
    question = asked.question
    encoded, text = question.encoded, question.encoded.unit.text
    tokens = question.places + question.window[0]
    bounds = [(int(encoded.starts[token]), int(encoded.ends[token])) for token in tokens]
    start = max(int(encoded.starts[question.window[0]]), bounds[0][0] - SHOWN)
    end = min(int(encoded.ends[question.window[1] - 1]), bounds[-1][1] + SHOWN)
    mask = str(tokenizer.mask_token)
    # A mask for each piece; what stands between the words of a term stays.
    hidden, reached = "", bounds[0][0]
    for first, last in bounds:
        hidden += text[reached:first] + mask
        reached = max(reached, last)
    blanks = tuple(
        _blank(place, asked, text[first:last], tokenizer)
        for place, (first, last) in zip(question.places.tolist(), bounds, strict=True)
    )
    return Probe(
        text=text[start : bounds[0][0]] + hidden + text[reached:end],
        source=encoded.unit.name,
        blanks=blanks,
        expected=(text[bounds[0][0] : bounds[-1][1]],),
        why=why,
    )


def _blank(place: int, asked: Asked, expected: str, tokenizer: PreTrainedTokenizerBase) -> Blank:
    before, after = (_at(answer, place) for answer in (asked.before, asked.after))
    return Blank(
        before=_guesses(asked.before.guesses[before], tokenizer),
        after=_guesses(asked.after.guesses[after], tokenizer),
        expected=expected,
        rank_before=int(asked.before.ranks[before]) + 1,
        rank_after=int(asked.after.ranks[after]) + 1,
        probability_before=math.exp(-float(asked.before.losses[before])),
        probability_after=math.exp(-float(asked.after.losses[after])),
    )


def _at(answer: Answer, place: int) -> int:
    return int(np.flatnonzero(answer.places == place)[0])


def _guesses(pairs: Sequence[tuple[int, float]], tokenizer: PreTrainedTokenizerBase) -> tuple[Guess, ...]:
    return tuple(Guess(str(tokenizer.decode([token])).strip().removeprefix("##"), share) for token, share in pairs)
