"""Probes: sentences with blanks that a user knows the answer to, asked before and after.

    models of one objective ──ask──► answers, for one model at a time ──compare──► `Probe`s side by side

A file has one sentence a line, its answers behind tabs; or JSON Lines of `text` and `expected` (`docs/verdict.md`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from acclimate.errors import AcclimateError, DataError, ModelError, SourceError
from acclimate.evaluation.asked import Blank, Guess, Probe
from acclimate.models.directed import direct, way_of_seeing
from acclimate.models.families import family
from acclimate.objectives.base import Objective
from acclimate.scoring.answers import BLANK, Answer, Asker, LeftToRightAsker, MaskedAsker, SpanAsker
from acclimate.scoring.blanks import BlankFiller
from acclimate.scoring.gaps import MASKS
from acclimate.scoring.spans import FILLERS

_KEYS = ("text", "expected")
# How T5 writes the gaps of a text.
_SENTINEL = r"<extra_id_\d+>"


@dataclass(frozen=True)
class ProbeQuestion:
    """A sentence to fill.

    Attributes:
        text: with `[MASK]` for each blank.
        expected: for each blank what should stand there; None where that is not told.
        source: `file.txt:3`.
    """

    text: str
    expected: tuple[str | None, ...]
    source: str


@dataclass(frozen=True)
class ProbeAnswers:
    """What a model says to a question: an answer for each blank, or why it could not be asked."""

    blanks: tuple[Answer, ...] = ()
    problem: str | None = None


def read_probes(paths: str | Path | Iterable[str | Path], *, mask: str | None = None) -> list[ProbeQuestion]:
    """The questions of a file of probes, or of several.

    Args:
        paths: text files (a sentence a line, answers behind tabs, `#` begins a comment), or JSON Lines (`.jsonl`).
        mask: a further way to write a blank, beside `[MASK]`, `<mask>` and T5's `<extra_id_0>`: the tokenizer's own.

    Raises:
        SourceError: a file cannot be read.
        DataError: lines that are no probes; all of them, with file, line and how to mend it. Or there are none at all.
    """
    names = sorted({*MASKS, *([mask] if mask else [])}, key=len, reverse=True)
    blank = re.compile("|".join([*map(re.escape, names), _SENTINEL]))
    questions, problems = [], []
    files = [Path(paths)] if isinstance(paths, (str, Path)) else [Path(path) for path in paths]
    for path in files:
        for source, line in _lines(path):
            try:
                questions.append(_question(*_PARSERS[path.suffix == ".jsonl"](line), source, blank))
            except DataError as error:
                problems.append(f"{source}: {error}")
    if problems:
        raise DataError("\n  - ".join(["probes that cannot be asked:", *problems]))
    if not questions:
        raise DataError(
            f"there is no probe in {', '.join(map(str, files))}: write a sentence a line, with {BLANK} where the "
            "answer belongs"
        )
    return questions


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines that are neither empty nor a comment, each with where it is from."""
    try:
        # Line feeds alone part lines (CR LF is read as one): other breaks may stand within a sentence.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise SourceError(
            f"the probes in {path} cannot be read: {error}\n"
            "A relative path is looked for from the folder that you are in"
        ) from error
    except UnicodeDecodeError as error:
        raise SourceError(f"the probes in {path} cannot be read: {error}; save the file as UTF-8") from error
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            yield f"{path.name}:{number}", line


def _of_text(line: str) -> tuple[str, list[str | None]]:
    text, *answers = line.split("\t")
    return text, [answer.strip() or None for answer in answers]


def _of_json(line: str) -> tuple[str, list[str | None]]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise DataError(f'this is no JSON ({error}); write {{"text": "… [MASK] …", "expected": "…"}}') from error
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise DataError('there is no `text`; write {"text": "… [MASK] …", "expected": "…"}')
    unknown = [key for key in record if key not in _KEYS]
    if unknown:
        raise DataError(f"`{unknown[0]}` is unknown; there are `text` and `expected`")
    expected = record.get("expected")
    answers = expected if isinstance(expected, list) else [] if expected is None else [expected]
    if not all(answer is None or isinstance(answer, str) for answer in answers):
        raise DataError("`expected` must be a text, or a list with a text or null for each blank")
    return record["text"], [(answer or "").strip() or None for answer in answers]


_PARSERS: dict[bool, Callable[[str], tuple[str, list[str | None]]]] = {False: _of_text, True: _of_json}


def _question(text: str, answers: list[str | None], source: str, blank: re.Pattern[str]) -> ProbeQuestion:
    text = blank.sub(BLANK, text.strip())
    count = text.count(BLANK)
    if count == 0:
        raise DataError(f"there is no mask in {text[:60]!r}; write {BLANK} where the answer belongs")
    if len(answers) == 1 and count > 1 and (answers[0] is not None) and BLANK * count in text:
        # As many masks as the answer has characters: the tokenizer says how many it needs.
        text, count = text.replace(BLANK * count, BLANK), 1
    if len(answers) > count:
        raise DataError(
            f"{len(answers)} answers for {count} {'blank' if count == 1 else 'blanks'} in {text[:60]!r}; write one for "
            "each blank"
        )
    return ProbeQuestion(text, (*answers, *[None] * (count - len(answers))), source)


# ---- asking ----------------------------------------------------------------------------------------------------------


def why_not_asked(objective: Objective) -> str | None:
    """Why models of an objective are not asked to fill blanks; None where they are."""
    if objective.name != "rtd":
        return None
    return "a model of `rtd` tells replaced tokens and fills no blanks, so that no probes were asked"


def ask(
    model: Any, objective: Objective, tokenizer: PreTrainedTokenizerBase, questions: Sequence[ProbeQuestion]
) -> list[ProbeAnswers]:
    """What one model says to some questions, in their order.

    Args:
        model: of the objective, with its head. Where the objective says what a token sees (`mntp`, `prefix_lm`), its
            forward is told so; batches of the objective, which say it themselves, are read as before.
    """
    problem = why_not_asked(objective)
    if problem is not None:
        return [ProbeAnswers(problem=problem)] * len(questions)
    try:
        asker = asker_of(model, objective, tokenizer)
    except (DataError, ModelError) as error:
        return [ProbeAnswers(problem=str(error))] * len(questions)
    return [_asked(asker, question) for question in questions]


def _asked(asker: Asker, question: ProbeQuestion) -> ProbeAnswers:
    try:
        return ProbeAnswers(tuple(asker.ask(question.text, question.expected)))
    except AcclimateError as error:
        return ProbeAnswers(problem=str(error))


def asker_of(model: Any, objective: Objective, tokenizer: PreTrainedTokenizerBase) -> Asker:
    """A model as it can be asked for what stands in a blank.

    Raises:
        DataError, ModelError: the tokenizer lacks a token that this needs.
    """
    kind = family(model.config)
    way = way_of_seeing(objective.name, objective.settings.model_dump(), kind)
    if kind == "encoder-decoder":
        return SpanAsker(FILLERS[objective.name](model, tokenizer))
    if way is not None and way != "given" and getattr(model, "_way_of_seeing", None) is None:
        direct(model, way)
    if way == "blanks":
        return SpanAsker(BlankFiller(model, tokenizer))
    if kind == "encoder" or way == "both":
        return MaskedAsker(model, tokenizer, from_before=way == "both")
    return LeftToRightAsker(model, tokenizer)


# ---- side by side ----------------------------------------------------------------------------------------------------


def compare(
    questions: Sequence[ProbeQuestion], before: Sequence[ProbeAnswers], after: Sequence[ProbeAnswers]
) -> list[Probe]:
    """The answers of two models to the same questions, side by side; the models may have different tokenizers."""
    return [_probe(*three) for three in zip(questions, before, after, strict=True)]


def _probe(question: ProbeQuestion, before: ProbeAnswers, after: ProbeAnswers) -> Probe:
    nothing = [Answer(())] * len(question.expected)
    pairs = zip(before.blanks or nothing, after.blanks or nothing, question.expected, strict=True)
    known = any(answer is not None for answer in question.expected)
    return Probe(
        text=question.text,
        source=question.source,
        blanks=tuple(_blank(*pair) for pair in pairs),
        expected=tuple(answer or "" for answer in question.expected) if known else None,
        note=after.problem or before.problem,
    )


def _blank(before: Answer, after: Answer, expected: str | None) -> Blank:
    return Blank(
        before=tuple(Guess(*guess) for guess in before.guesses),
        after=tuple(Guess(*guess) for guess in after.guesses),
        expected=expected,
        rank_before=before.rank,
        rank_after=after.rank,
        probability_before=before.probability,
        probability_after=after.probability,
    )
