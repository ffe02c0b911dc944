"""What two models said, compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from acclimate.evaluation.asked import Passage, Probe, TermsComparison
from acclimate.evaluation.breakdown import break_down
from acclimate.evaluation.examples import Asked, choose_examples
from acclimate.evaluation.extras import ExtraAnswers
from acclimate.evaluation.models import Way
from acclimate.evaluation.passages import compare_passages
from acclimate.evaluation.plan import RANDOM, TERMS, Answers, Plan, Words
from acclimate.evaluation.results import Breakdown, PartComparison, PseudoLogLikelihood, TextComparison
from acclimate.evaluation.sentences import compare_sentences
from acclimate.evaluation.settings import EvaluationSettings
from acclimate.evaluation.term_questions import Hit, compare_terms
from acclimate.evaluation.texts import Text, Texts
from acclimate.evaluation.vocabularies import by_unit, compare_words
from acclimate.scoring.bootstrap import paired_difference
from acclimate.scoring.questions import Answer
from acclimate.scoring.score import UnitScores


@dataclass(frozen=True, eq=False)
class Said:
    """What one model said.

    Attributes:
        scores: of each text, on the objective's own examples; none where the two models' tokens differ.
        answers: to the questions of the plan, by name.
        extras: of what is asked beside (`extras.py`).
    """

    scores: Mapping[str, Sequence[UnitScores]]
    answers: Answers
    extras: ExtraAnswers = field(default_factory=ExtraAnswers)


@dataclass(frozen=True, eq=False)
class Compared:
    """Fields of an `Evaluation`, and notes."""

    fields: Mapping[str, Any]
    notes: tuple[str, ...] = field(default=())


def compare(
    texts: Texts,
    plan: Plan,
    before: Said,
    after: Said,
    way: Way,
    settings: EvaluationSettings,
) -> Compared:
    """All that the two models were asked; `way` says how the model after was."""
    same_tokens = plan.same_tokens
    if same_tokens:
        comparisons = {
            name: _by_tokens(name, text, plan, before, after, settings) for name, text in texts.texts.items()
        }
    else:
        comparisons = {name: _by_words(name, words, way, before, after, settings) for name, words in plan.words.items()}
    comparisons = {
        name: replace(comparison, trained_on=texts.texts[name].trained_on) for name, comparison in comparisons.items()
    }
    notes = tuple(
        f"{name}: the interval is over rows, which may share documents, since too few documents are "
        f"{'held out' if text.sampled_from is None else 'scored (`max_tokens`)'} or `isolate: none` joins them"
        for name, text in comparisons.items()
        if text.unit == "row"
    )
    if not same_tokens:
        notes += (
            "the run's tokenizer cuts texts into other tokens than that of the model before: each reads the same words "
            "in its own, hidden whole, and the bits per byte of these words are compared instead of the loss per token",
        )
    return Compared(
        {
            "domain": comparisons.get("domain"),
            "general": comparisons.get("general"),
            "terms": _terms(plan, before.answers, after.answers, settings),
            "examples": _examples(plan, before.answers, after.answers, way, settings) if same_tokens else (),
            "passages": _passages(plan, before.answers, after.answers, same_tokens=same_tokens),
        },
        notes,
    )


def _by_tokens(
    name: str, text: Text, plan: Plan, before: Said, after: Said, settings: EvaluationSettings
) -> TextComparison:
    pairs = list(zip(before.scores[name], after.scores[name], strict=True))
    first, second = pairs[0]
    return TextComparison(
        parts={
            one.part.name: part_comparison(one, other, settings.resamples) for one, other in pairs if one.num_targets
        },
        num_tokens=text.held_out.num_tokens,
        num_units=len(second.counts),
        unit="row" if text.by_row else "document",
        pseudo_log_likelihood=_sentences(name, plan, before.answers, after.answers, settings),
        sampled_from=_sampled_from(text, settings.max_tokens),
        breakdown=Breakdown() if text.by_row else break_down(first, second, text.facts, settings.resamples),
    )


def _sampled_from(text: Text, max_tokens: int | None) -> int | None:
    """How many documents are held out, where some have no row among those that were scored."""
    cut = max_tokens is not None and sum(fact.num_tokens for fact in text.facts) > max_tokens
    return len(text.facts) if cut and len(text.facts) > text.held_out.num_units else None


def part_comparison(before: UnitScores, after: UnitScores, resamples: int) -> PartComparison:
    """One part of an objective on one text."""
    measures = before.measures()
    by_bytes = "bits_per_byte" in measures
    return PartComparison(
        before=measures,
        after=after.measures(),
        difference=paired_difference(before, after, resamples=resamples),
        bits_per_byte_difference=(
            paired_difference(before, after, resamples=resamples, per_byte=True) if by_bytes else None
        ),
        num_targets=after.num_targets,
    )


def _by_words(
    name: str, words: Words, way: Way, before: Said, after: Said, settings: EvaluationSettings
) -> TextComparison:
    first, second = (one.answers[f"words of {name}"] for one in (before, after))
    part = compare_words((words.before, words.after), words.texts, first, second, settings.resamples)
    units = {encoded.unit.number for encoded, _ in words.texts}
    documents = by_unit(words.texts)
    return TextComparison(
        parts={way.objective.parts[0].name: part},
        num_tokens=sum(len(question.fields["input_ids"]) for question in words.after),
        num_units=len(units) if documents else len(words.texts),
        unit="document" if documents else "row",
    )


def _sentences(
    name: str, plan: Plan, before: Answers, after: Answers, settings: EvaluationSettings
) -> PseudoLogLikelihood | None:
    asked = plan.sentences.get(name)
    if asked is None or not asked.fields:
        return None
    key = f"sentences of {name}"
    return compare_sentences(asked, before[key], after[key], settings.resamples)


def _terms(plan: Plan, before: Answers, after: Answers, settings: EvaluationSettings) -> TermsComparison | None:
    if not plan.terms or "domain" not in plan.readings:
        return None
    hits = [
        Hit(second, first.found(one), second.found(other))
        for first, second, one, other in _asked_terms(plan, before, after)
    ]
    return compare_terms(
        plan.terms,
        plan.readings["domain"],
        hits,
        resamples=settings.resamples,
        general_pieces=plan.general_pieces,
    )


def _asked_terms(plan: Plan, before: Answers, after: Answers) -> Any:
    return zip(plan.before, plan.after, before.get(TERMS, ()), after.get(TERMS, ()), strict=True)


def _examples(plan: Plan, before: Answers, after: Answers, way: Way, settings: EvaluationSettings) -> tuple[Probe, ...]:
    if not plan.at_random:
        return ()
    terms = [Asked(second, one, other) for _, second, one, other in _asked_terms(plan, before, after)]
    at_random = [Asked(*one) for one in zip(plan.at_random, before[RANDOM], after[RANDOM], strict=True)]
    return choose_examples(terms, at_random, settings.num_examples, way.tokenizer)


def _passages(plan: Plan, before: Answers, after: Answers, *, same_tokens: bool) -> dict[str, tuple[Passage, ...]]:
    found = {}
    for name, asked in plan.passages.items():
        key = f"passages of {name}"
        empty: Sequence[Answer] = ()
        found[name] = compare_passages(asked, before.get(key, empty) if same_tokens else None, after.get(key, empty))
    return found
