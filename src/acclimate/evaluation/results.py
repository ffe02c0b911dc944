"""What an evaluation found, as plain data; `to_json` gives what stands in `RUN/evaluation/evaluation.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acclimate.evaluation.asked import Continuation, Passage, Probe, TermsComparison
from acclimate.evaluation.plain import SupportsJson, all_as_json, as_json, difference_as_json, finite
from acclimate.scoring.bootstrap import Difference

VERSION = 2


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
            "difference": difference_as_json(self.difference),
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
            "difference": difference_as_json(self.difference),
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
            "pseudo_log_likelihood": as_json(self.pseudo_log_likelihood),
            "breakdown": self.breakdown.to_json(),
            **({"trained_on": self.trained_on} if self.trained_on else {}),
            **({"sampled_from": self.sampled_from} if self.sampled_from else {}),
        }


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
            "domain": as_json(self.domain),
            "general": as_json(self.general),
            "terms": as_json(self.terms),
            "probes": all_as_json(self.probes),
            "examples": all_as_json(self.examples),
            "continuations": all_as_json(self.continuations),
            "passages": {name: all_as_json(self.passages.get(name, ())) for name in ("domain", "general")},
            "verdict": as_json(self.verdict),
        }
        return {name: finite(value) for name, value in figures.items()}
