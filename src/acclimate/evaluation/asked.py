"""What was asked beside the score, and the answers before and after: terms, probes, continuations, passages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from acclimate.evaluation.plain import difference_as_json
from acclimate.scoring.bootstrap import Difference


@dataclass(frozen=True)
class Term:
    """A word or phrase of the domain, and how often the model finds it.

    Attributes:
        term: as it is most often written.
        score: z of the log-odds ratio between the domain and the general text.
        domain_count, general_count: occurrences in the two corpora.
        pieces: tokens of one occurrence, on average.
        asked: held-out occurrences that the models were asked for.
        before, after: how many of them were found: all pieces right.
    """

    term: str
    score: float
    domain_count: int
    general_count: int
    pieces: float
    asked: int = 0
    before: int = 0
    after: int = 0

    @property
    def gain(self) -> float | None:
        """Share found after, less the share found before."""
        return (self.after - self.before) / self.asked if self.asked else None

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "gain": self.gain}


@dataclass(frozen=True)
class TermsComparison:
    """The domain's terms, sorted by gain, the largest first; those not asked for last.

    Attributes:
        asked: occurrences in all.
        before, after: shares of them that were found; None where none was asked for.
        difference: after - before, with its interval over documents; None for too few of them.
        mean_pieces: tokens per word of the terms.
        general_pieces: tokens per word of general text.
    """

    terms: tuple[Term, ...]
    asked: int
    before: float | None
    after: float | None
    difference: Difference | None
    mean_pieces: float
    general_pieces: float | None

    def to_json(self) -> dict[str, Any]:
        return {
            **vars(self),
            "terms": [term.to_json() for term in self.terms],
            "difference": difference_as_json(self.difference),
        }


@dataclass(frozen=True)
class Guess:
    """What a model would put in a blank, and how likely it finds that."""

    text: str
    probability: float


@dataclass(frozen=True)
class Blank:
    """A blank of a text.

    Attributes:
        before, after: the likeliest guesses, best first.
        expected: what stood there, or was said to be right.
        rank_before, rank_after: of what is expected among all tokens, from 1; None where nothing is.
        probability_before, probability_after: of what is expected; None likewise.
    """

    before: tuple[Guess, ...]
    after: tuple[Guess, ...]
    expected: str | None = None
    rank_before: int | None = None
    rank_after: int | None = None
    probability_before: float | None = None
    probability_after: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "before": [vars(guess) for guess in self.before],
            "after": [vars(guess) for guess in self.after],
            "expected": self.expected,
            "rank_before": self.rank_before,
            "rank_after": self.rank_after,
            "probability_before": self.probability_before,
            "probability_after": self.probability_after,
        }


@dataclass(frozen=True)
class Probe:
    """A text with blanks, filled before and after.

    Attributes:
        text: with its masks.
        source: where it is from: `file.txt:3`, or the id of a document.
        blanks: in the order of the text.
        expected: the right answers, where they are known.
        why: of the examples that the program chose: "gained", "lost" or "random".
        note: why a model could not be asked.
    """

    text: str
    source: str
    blanks: tuple[Blank, ...]
    expected: tuple[str, ...] | None = None
    why: str | None = None
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "source": self.source,
            "expected": None if self.expected is None else list(self.expected),
            "blanks": [blank.to_json() for blank in self.blanks],
            **({} if self.why is None else {"why": self.why}),
            **({} if self.note is None else {"note": self.note}),
        }


@dataclass(frozen=True)
class Continuation:
    """How a model that writes goes on from a prompt, greedily, before and after, and how the document does."""

    prompt: str
    before: str
    after: str
    actual: str
    document: str

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class PassageToken:
    """A token of a passage: the characters that it stands for, blanks before it included, and its surprise in nats;
    None where the model is not asked for it."""

    text: str
    before: float | None
    after: float | None


@dataclass(frozen=True)
class Passage:
    """A stretch of a held-out document, token by token."""

    document: str
    source: str
    tokens: tuple[PassageToken, ...]

    def to_json(self) -> dict[str, Any]:
        return {"document": self.document, "source": self.source, "tokens": [vars(token) for token in self.tokens]}
