"""Does the model find the domain's terms? Occurrences in held-out text, hidden whole, all pieces at once.

A model that fills masks sees the text around a term without the term, wherever it stands in it, and its first guess
must be right for each piece. A model that writes from left to right sees what stands before the term, where it may have
come already, and each piece must be its first guess behind those before it; an encoder-decoder sees what is around the
term, and tells its pieces in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acclimate.evaluation.asked import Term, TermsComparison
from acclimate.evaluation.breakdown import FEWEST_UNITS
from acclimate.evaluation.terms import FoundTerm, Vocabulary, Words, occurrences, read_words
from acclimate.evaluation.units import Encoded, Reading
from acclimate.objectives.base import Fields
from acclimate.objectives.clm import CausalLanguageModeling
from acclimate.randomness import Purpose, generator
from acclimate.scoring.bootstrap import Difference, mean_difference
from acclimate.scoring.held_out import MASK_SEED
from acclimate.scoring.questions import Answer, asked_places, question
from acclimate.tokens.tokenizers import encode_text


@dataclass(frozen=True, eq=False)
class Occurrence:
    """A term in held-out text.

    Attributes:
        term: its number.
        unit: the index of its unit.
        start, end: its characters in the unit's text.
    """

    term: int
    unit: int
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class TermQuestion:
    """An occurrence as a model is asked for it.

    Attributes:
        encoded: its unit.
        window: the first token of what the model sees, and its end.
        places: the tokens of the occurrence, counted from the beginning of the window.
        fields: the question.
    """

    occurrence: Occurrence
    encoded: Encoded
    window: tuple[int, int]
    places: NDArray[np.int64]
    fields: Fields

    def found(self, answer: Answer) -> bool:
        """Whether each of the term's pieces was the first guess."""
        return bool((answer.ranks[np.isin(answer.places, self.places)] == 0).all())

    def loss(self, answer: Answer) -> float:
        """The surprise at all of its pieces, in nats."""
        return float(answer.losses[np.isin(answer.places, self.places)].sum())


def find_occurrences(terms: Sequence[FoundTerm], reading: Reading, most: int) -> list[Occurrence]:
    """Occurrences of terms in held-out units, at most so many of each, chosen at random."""
    vocabulary = Vocabulary()
    grams = {tuple(vocabulary.number(word) for word in term.words): index for index, term in enumerate(terms)}
    vocabulary.open = False
    words = read_words([encoded.unit.text for encoded in reading.units], vocabulary)
    found = occurrences(grams, words)
    rng = generator(MASK_SEED, Purpose.SAMPLES, 4)
    counts = np.zeros(len(terms), dtype=np.int64)
    chosen = []
    for index in rng.permutation(len(found)).tolist():
        gram, first, last = found[index]
        if counts[grams[gram]] < most:
            counts[grams[gram]] += 1
            chosen.append(_occurrence(grams[gram], words, first, last))
    return sorted(chosen, key=lambda one: (one.unit, one.start, one.end))


def _occurrence(term: int, words: Words, first: int, last: int) -> Occurrence:
    return Occurrence(term, int(words.texts[first]), int(words.spans[first, 0]), int(words.spans[last, 1]))


def term_question(occurrence: Occurrence, reading: Reading) -> TermQuestion | None:
    """An occurrence as a question; None where the tokens cannot be asked for: they stand for more than the term, are
    unknown ones, or too many."""
    encoded = reading.units[occurrence.unit]
    tokens = encoded.tokens_of(occurrence.start, occurrence.end)
    room = reading.room()
    if tokens is None or tokens[1] - tokens[0] > room // 2:
        return None
    causal = isinstance(reading.objective, CausalLanguageModeling)
    begin, end = encoded.window(*tokens, room, before_only=causal)
    places = np.arange(*tokens) - begin
    ids = encoded.ids[begin:end]
    # The same tokens elsewhere in the window would give the term away.
    hidden = places if causal else _everywhere(ids, places)
    for chosen in (hidden, places):
        fields = question(reading.objective, ids, chosen)
        # A model that tells one stretch only is asked for the term alone.
        if fields is not None and np.isin(places, asked_places(fields)).all():
            return TermQuestion(occurrence, encoded, (begin, end), places, fields)
    return None


def _everywhere(ids: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places of all stretches that have the same tokens as the given one."""
    stretches = np.lib.stride_tricks.sliding_window_view(ids, len(places))
    firsts = np.flatnonzero((stretches == ids[places]).all(axis=1))
    found: NDArray[np.int64] = np.unique((firsts[:, None] + np.arange(len(places))).ravel())
    return found


@dataclass(frozen=True, eq=False)
class Hit:
    """Whether an occurrence was found before and after."""

    question: TermQuestion
    before: bool
    after: bool


def compare_terms(
    terms: Sequence[FoundTerm], reading: Reading, hits: Sequence[Hit], *, resamples: int, general_pieces: float | None
) -> TermsComparison:
    """The terms, and how often each was found before and after."""
    own: list[list[Hit]] = [[] for _ in terms]
    for hit in hits:
        own[hit.question.occurrence.term].append(hit)
    listed = [_term(term, reading, asked) for term, asked in zip(terms, own, strict=True)]
    per_word = [term.pieces / len(found.words) for term, found in zip(listed, terms, strict=True)]
    listed.sort(key=lambda term: (term.gain is None, -(term.gain or 0.0), -term.score))
    total = len(hits)
    return TermsComparison(
        terms=tuple(listed),
        asked=total,
        before=sum(hit.before for hit in hits) / total if total else None,
        after=sum(hit.after for hit in hits) / total if total else None,
        difference=_interval(hits, resamples),
        mean_pieces=float(np.mean(per_word)) if per_word else 0.0,
        general_pieces=general_pieces,
    )


def _term(term: FoundTerm, reading: Reading, hits: Sequence[Hit]) -> Term:
    pieces = [len(hit.question.places) for hit in hits] or [len(encode_text(reading.tokenizer, term.text))]
    return Term(
        term=term.text,
        score=term.score,
        domain_count=term.domain_count,
        general_count=term.general_count,
        pieces=float(np.mean(pieces)),
        asked=len(hits),
        before=sum(hit.before for hit in hits),
        after=sum(hit.after for hit in hits),
    )


def _interval(hits: Sequence[Hit], resamples: int) -> Difference | None:
    units, index = np.unique([hit.question.encoded.unit.number for hit in hits], return_inverse=True)
    if len(units) < FEWEST_UNITS:
        return None
    changes, counts = np.zeros(len(units)), np.zeros(len(units))
    np.add.at(changes, index, [float(hit.after) - float(hit.before) for hit in hits])
    np.add.at(counts, index, 1.0)
    return mean_difference(changes, counts, resamples=resamples)


def pieces_per_word(units: Sequence[Encoded]) -> float | None:
    """Tokens per word of some texts; None where there are no words."""
    tokens = words = 0
    for encoded in units:
        found = read_words([encoded.unit.text], Vocabulary())
        spans = found.spans[found.numbers >= 0]
        if len(spans) == 0:
            continue
        # The word whose end is the first one behind a token's beginning; the token is of it unless it lies before it.
        at = np.minimum(np.searchsorted(spans[:, 1], encoded.starts, side="right"), len(spans) - 1)
        tokens += int(((encoded.starts >= spans[at, 0]) & (encoded.starts < spans[at, 1])).sum())
        words += len(spans)
    return tokens / words if words else None
