"""Passages of held-out text, token by token: how surprising each was before and after.

Which ones is left to chance: of units in random order those that are long enough, from a sentence on that is chosen at
random. A model that fills masks is asked for each token with the rest of its word masked as well (`sentences.py`), one
that writes from left to right for all of them at once, and others for word after word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acclimate.evaluation.asked import Passage, PassageToken
from acclimate.evaluation.sentences import word_by_word
from acclimate.evaluation.units import Encoded, Reading
from acclimate.objectives.base import Fields, Objective
from acclimate.objectives.clm import CausalLanguageModeling
from acclimate.randomness import Purpose, generator
from acclimate.scoring.held_out import MASK_SEED
from acclimate.scoring.questions import Answer, fills_masks, question
from acclimate.tokens.sentences import sentence_starts

NUM_PASSAGES = 2


@dataclass(frozen=True, eq=False)
class PassageQuestions:
    """The questions of some passages.

    Attributes:
        passages: of each its unit, its first token and its end.
        fields: the questions of all.
        owners: for each question the passage that it is of, and the place in it that its text begins with.
    """

    passages: tuple[tuple[Encoded, int, int], ...] = ()
    fields: tuple[Fields, ...] = ()
    owners: tuple[int, ...] = ()


def passage_questions(reading: Reading, num_tokens: int) -> PassageQuestions:
    """Passages of some length, or shorter ones where the text has no longer unit."""
    length = reading.room(num_tokens)
    passages = _chosen(reading.units, length)
    fields: list[Fields] = []
    owners: list[int] = []
    for number, (encoded, first, end) in enumerate(passages):
        starts = encoded.word_starts[first:end].copy()
        starts[0] = True
        asked = _questions(reading.objective, encoded.ids[first:end], starts)
        fields += asked
        owners += [number] * len(asked)
    return PassageQuestions(tuple(passages), tuple(fields), tuple(owners))


def _chosen(units: Sequence[Encoded], length: int) -> list[tuple[Encoded, int, int]]:
    rng = generator(MASK_SEED, Purpose.SAMPLES, 3)
    order = rng.permutation(len(units)).tolist()
    # Those that are long enough first, in their random order.
    order.sort(key=lambda index: -min(len(units[index]), length))
    found = []
    for index in order[:NUM_PASSAGES]:
        encoded = units[index]
        if len(encoded) < 2:
            continue
        starts = np.array(sentence_starts(encoded.unit.text), dtype=np.int64)
        tokens = np.searchsorted(encoded.ends, starts, side="right")
        tokens = tokens[tokens <= max(0, len(encoded) - length)]
        first = int(rng.choice(tokens)) if len(tokens) else 0
        found.append((encoded, first, min(len(encoded), first + length)))
    return found


def _questions(objective: Objective, ids: NDArray[np.int64], word_starts: NDArray[np.bool_]) -> list[Fields]:
    if fills_masks(objective):
        asked = word_by_word(objective, ids, word_starts)
    elif isinstance(objective, CausalLanguageModeling):
        asked = [question(objective, ids, range(len(ids)))]
    else:
        words = np.split(np.arange(len(ids)), np.flatnonzero(word_starts)[1:])
        asked = [question(objective, ids, word) for word in words]
    return [one for one in asked if one is not None]


def compare_passages(
    asked: PassageQuestions, before: Sequence[Answer] | None, after: Sequence[Answer]
) -> tuple[Passage, ...]:
    """The passages with the surprise of each token.

    Args:
        before: None where the model before cuts texts into other tokens.
    """
    ours = _surprises(asked, after)
    theirs = _surprises(asked, before) if before is not None else [np.full(len(values), np.nan) for values in ours]
    return tuple(
        Passage(encoded.unit.name, encoded.unit.source, _tokens(encoded, first, end, *values))
        for (encoded, first, end), values in zip(asked.passages, zip(theirs, ours, strict=True), strict=True)
    )


def _surprises(asked: PassageQuestions, answers: Sequence[Answer]) -> list[NDArray[np.float64]]:
    """Of each passage the surprise of its tokens, NaN for one that was not asked for."""
    found = [np.full(end - first, np.nan) for _, first, end in asked.passages]
    for owner, answer in zip(asked.owners, answers, strict=True):
        found[owner][answer.places] = answer.losses
    return found


def _tokens(
    encoded: Encoded, first: int, end: int, before: NDArray[np.float64], after: NDArray[np.float64]
) -> tuple[PassageToken, ...]:
    """The tokens with the characters that they stand for; of several for one character the first has it."""
    reached = int(encoded.starts[first])
    tokens = []
    for index in range(first, end):
        stop = max(reached, int(encoded.ends[index]))
        text = encoded.unit.text[reached:stop]
        reached = stop
        tokens.append(PassageToken(text, _number(before[index - first]), _number(after[index - first])))
    return tuple(tokens)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
