"""`RUN/evaluation/evaluation.json` as typed data: every key that may be missing is None or empty.

Keys that are not known are passed over, so that a report of an older version can read a newer evaluation.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

# The form of the file that has a verdict, terms and passages.
VERSION = 2


class _Data(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Difference(_Data):
    """after - before, with its 95 % interval."""

    mean: float
    low: float
    high: float


def _known(value: Any) -> Any:
    """None for a difference with a number that is none."""
    numbers = [value.get(name) for name in ("mean", "low", "high")] if isinstance(value, dict) else []
    broken = any(number is None or (isinstance(number, float) and not math.isfinite(number)) for number in numbers)
    return None if broken else value


# A difference of which all numbers are known.
Known = Annotated[Difference | None, BeforeValidator(_known)]


class Part(_Data):
    """A part of an objective: measures by name."""

    before: dict[str, float | None] = {}
    after: dict[str, float | None] = {}
    difference: Known = None
    bits_per_byte_difference: Known = None
    targets: int | None = None


class Group(_Data):
    """What is alike in source or length, or one document: losses before and after."""

    name: str
    targets: int | None = None
    units: int | None = None
    before: float | None = None
    after: float | None = None
    difference: Known = None


class Breakdown(_Data):
    source: list[Group] = []
    length: list[Group] = []
    document: list[Group] = []


class PseudoLogLikelihood(_Data):
    """Nats per token."""

    before: float | None = None
    after: float | None = None
    difference: Known = None
    tokens: int | None = None
    units: int | None = None


class TextFigures(_Data):
    """Held-out domain text, or general text."""

    parts: dict[str, Part] = {}
    tokens: int | None = None
    units: int | None = None
    unit: Literal["document", "row"] = "document"
    pseudo_log_likelihood: PseudoLogLikelihood | None = None
    breakdown: Breakdown | None = None


class Term(_Data):
    term: str
    score: float | None = None
    domain_count: int | None = None
    general_count: int | None = None
    pieces: float | None = None
    asked: int | None = None
    before: float | None = None
    after: float | None = None
    gain: float | None = None


class Terms(_Data):
    terms: list[Term] = []
    asked: int | None = None
    before: float | None = None
    after: float | None = None
    difference: Known = None
    mean_pieces: float | None = None
    general_pieces: float | None = None


class Candidate(_Data):
    text: str
    probability: float | None = None


class Blank(_Data):
    before: list[Candidate] = []
    after: list[Candidate] = []
    expected: str | None = None
    rank_before: int | None = None
    rank_after: int | None = None


class Probe(_Data):
    text: str
    source: str | None = None
    expected: list[str] | None = None
    blanks: list[Blank] = []
    why: str | None = None
    note: str | None = None


class Continuation(_Data):
    prompt: str
    before: str = ""
    after: str = ""
    actual: str | None = None
    document: str | None = None


class PassageToken(_Data):
    text: str
    before: float | None = None
    after: float | None = None


class Passage(_Data):
    document: str | None = None
    source: str | None = None
    tokens: list[PassageToken] = []


class Judgement(_Data):
    outcome: Literal["helped", "no_difference", "harmed", "no_claim"]
    measure: str | None = None
    before: float | None = None
    after: float | None = None
    difference: Known = None
    relative: float | None = None
    reasons: list[str] = []


class Advice(_Data):
    condition: str
    figures: dict[str, float | None] = {}


class Verdict(_Data):
    domain: Judgement | None = None
    general: Judgement | None = None
    advice: list[Advice] = []


class EvaluationFile(_Data):
    """The whole file."""

    version: int = 1
    objective: str | None = None
    before: str | None = None
    claim: bool | None = None
    notes: list[str] = []
    domain: TextFigures | None = None
    general: TextFigures | None = None
    terms: Terms | None = None
    probes: list[Probe] = []
    examples: list[Probe] = []
    continuations: list[Continuation] = []
    passages: dict[str, list[Passage]] = {}
    verdict: Verdict | None = None


def read_evaluation(data: Any) -> EvaluationFile:
    """The file's typed form; pydantic's `ValidationError`, a `ValueError`, where it is another thing."""
    if isinstance(data, dict):
        # A part that there is none of may be null.
        data = {key: value for key, value in data.items() if value is not None}
    return EvaluationFile.model_validate(data)
