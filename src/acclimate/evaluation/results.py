"""What an evaluation found, as plain data; `to_json` gives what stands in `RUN/evaluation/evaluation.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from acclimate.scoring.bootstrap import Difference

VERSION = 2


class SupportsJson(Protocol):
    """Something that can be written down."""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        ...


@dataclass(frozen=True)
class PartComparison:
    """Before and after in one part of an objective.

    Attributes:
        before, after: the part's measures by name: loss (nats per target), accuracy, and what fits it: perplexity,
            accuracy_at_5, bits_per_byte, accuracy_CLASS.
        difference: after - before in the loss, with its 95 % interval; None where the two models' tokens differ, so
            that only bits per byte can be compared.
        bits_per_byte_difference: likewise in the bits per byte of text, where that is a measure.
        num_targets: how many were scored: tokens or verdicts; words, where tokens differ.
    """

    before: Mapping[str, float]
    after: Mapping[str, float]
    difference: Difference | None
    bits_per_byte_difference: Difference | None
    num_targets: int

    def to_json(self) -> dict[str, Any]:
        bits = self.bits_per_byte_difference
        return {
            "before": dict(self.before),
            "after": dict(self.after),
            "difference": _difference(self.difference),
            **({"bits_per_byte_difference": vars(bits)} if bits is not None else {}),
            "targets": self.num_targets,
        }


@dataclass(frozen=True)
class Group:
    """The loss of some documents, before and after.

    Attributes:
        name: of the source, the document, or the range of lengths in tokens.
        num_targets, num_units: how much was scored of it.
        before, after: nats per target.
        difference: after - before; None for too few units.
    """

    name: str
    num_targets: int
    num_units: int
    before: float
    after: float
    difference: Difference | None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "targets": self.num_targets,
            "units": self.num_units,
            "before": self.before,
            "after": self.after,
            "difference": _difference(self.difference),
        }


@dataclass(frozen=True)
class Breakdown:
    """The headline's loss by group of documents.

    Attributes:
        source: by where documents are from.
        length: by the tokens of a document.
        document: those with the largest gain, best first, then those with the largest loss, worst last.
    """

    source: tuple[Group, ...] = ()
    length: tuple[Group, ...] = ()
    document: tuple[Group, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {name: [group.to_json() for group in groups] for name, groups in vars(self).items()}


@dataclass(frozen=True)
class PseudoLogLikelihood:
    """Log-probability of the tokens of some sentences, each masked in its turn, in nats per token: below 0, and the
    higher the better.

    Attributes:
        before, after: mean over the tokens.
        difference: after - before; a positive one is a gain.
        num_tokens, num_units: how many tokens were asked for, and of how many documents; of how many sentences, where
            documents are too few to draw from.
    """

    before: float
    after: float
    difference: Difference
    num_tokens: int
    num_units: int

    def to_json(self) -> dict[str, Any]:
        return {
            "before": self.before,
            "after": self.after,
            "difference": vars(self.difference),
            "tokens": self.num_tokens,
            "units": self.num_units,
        }


@dataclass(frozen=True)
class TextComparison:
    """Before and after on one text.

    Attributes:
        parts: each part of the objective by name; the first one is the headline.
        num_tokens: how much was scored.
        num_units: how many documents (or blocks of lines, or rows) the bootstrap drew from.
        unit: "document" or "row".
        pseudo_log_likelihood: of masked models only.
        breakdown: of the headline.
        trained_on: which share of the text the run was trained on.
        sampled_from: how many documents are held out, where `max_tokens` left some of them out.
    """

    parts: Mapping[str, PartComparison]
    num_tokens: int
    num_units: int
    unit: str
    pseudo_log_likelihood: PseudoLogLikelihood | None = None
    breakdown: Breakdown = field(default_factory=Breakdown)
    trained_on: float = 0.0
    sampled_from: int | None = None

    @property
    def headline(self) -> PartComparison:
        """The first part."""
        return next(iter(self.parts.values()))

    @property
    def before(self) -> Mapping[str, float]:
        """The headline's measures before."""
        return self.headline.before

    @property
    def after(self) -> Mapping[str, float]:
        """The headline's measures after."""
        return self.headline.after

    @property
    def difference(self) -> Difference | None:
        """The headline's difference in the loss."""
        return self.headline.difference

    def to_json(self) -> dict[str, Any]:
        return {
            "parts": {name: part.to_json() for name, part in self.parts.items()},
            "tokens": self.num_tokens,
            "units": self.num_units,
            "unit": self.unit,
            "pseudo_log_likelihood": _json(self.pseudo_log_likelihood),
            "breakdown": self.breakdown.to_json(),
            **({"trained_on": self.trained_on} if self.trained_on else {}),
            **({"sampled_from": self.sampled_from} if self.sampled_from else {}),
        }


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
            "difference": _difference(self.difference),
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


@dataclass(frozen=True)
class Evaluation:
    """What a run gained and forgot.

    Attributes:
        run: the run's folder.
        objective: its objective.
        before: what the model before training was, or the other model's name.
        domain: on held-out documents; None where nothing was held out.
        general: on general text; None where none was given.
        claim: whether the differences may be called gain and forgetting.
        notes: what the reader should know.
        terms: the domain's own words; None without general text to tell them from.
        probes: the user's own texts with blanks.
        examples: texts with blanks from the held-out documents, chosen by rule.
        continuations: of models that write.
        passages: of "domain" and "general".
        verdict: `acclimate.evaluation.verdict.Verdict`.
        file: in which file of `RUN/evaluation` it is kept.
    """

    run: str
    objective: str
    before: str
    domain: TextComparison | None
    general: TextComparison | None
    claim: bool
    notes: tuple[str, ...] = field(default=())
    terms: TermsComparison | None = None
    probes: tuple[Probe, ...] = ()
    examples: tuple[Probe, ...] = ()
    continuations: tuple[Continuation, ...] = ()
    passages: Mapping[str, tuple[Passage, ...]] = field(default_factory=dict)
    verdict: SupportsJson | None = None
    file: str = "evaluation.json"

    def to_json(self) -> dict[str, Any]:
        """As plain data; what is no number (a model whose training diverged) is null, as JSON has it."""
        figures = {
            "version": VERSION,
            "run": self.run,
            "objective": self.objective,
            "before": self.before,
            "claim": self.claim,
            "notes": list(self.notes),
            "domain": _json(self.domain),
            "general": _json(self.general),
            "terms": _json(self.terms),
            "probes": _all(self.probes),
            "examples": _all(self.examples),
            "continuations": _all(self.continuations),
            "passages": {name: _all(self.passages.get(name, ())) for name in ("domain", "general")},
            "verdict": _json(self.verdict),
        }
        return {name: _finite(value) for name, value in figures.items()}


def _finite(value: Any) -> Any:
    """Plain data with None for numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json(value: SupportsJson | None) -> dict[str, Any] | None:
    return None if value is None else value.to_json()


def _all(values: Sequence[SupportsJson]) -> list[dict[str, Any]]:
    return [value.to_json() for value in values]


def _difference(value: Difference | None) -> dict[str, float] | None:
    return None if value is None else dict(vars(value))
