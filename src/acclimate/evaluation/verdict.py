"""The verdict on a run: what its evaluation says of the documents and of general text, and what to try next.

It is made from plain data, `evaluation.json` and the run's manifest and metrics; `wording.py` puts it into words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acclimate.evaluation.advice import Advice, Facts, advise
from acclimate.evaluation.curve import RunRecord
from acclimate.evaluation.judgement import Judgement, judge_text


@dataclass(frozen=True)
class Verdict:
    """What an evaluation says of a run.

    Attributes:
        domain: of the held-out documents.
        general: of general text; None where none was given.
        advice: what to try next, in the order of `advice.CONDITIONS`.
        objective: the run's.
    """

    domain: Judgement | None
    general: Judgement | None
    advice: tuple[Advice, ...]
    objective: str

    def to_json(self) -> dict[str, Any]:
        return {
            "domain": self.domain.to_json() if self.domain else None,
            "general": self.general.to_json() if self.general else None,
            "advice": [advice.to_json() for advice in self.advice],
            "objective": self.objective,
        }


def judge(evaluation: Mapping[str, Any], run: RunRecord) -> Verdict:
    """The verdict on an evaluation.

    Args:
        evaluation: as in `evaluation.json`.
        run: what was evaluated.
    """
    domain, general = judge_text("domain", evaluation, run), judge_text("general", evaluation, run)
    facts = Facts(evaluation, run.manifest, run.curve, domain, general)
    return Verdict(domain, general, advise(facts), str(evaluation["objective"]))
