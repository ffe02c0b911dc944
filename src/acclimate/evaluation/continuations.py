"""Continuations: how models that write go on from the beginnings of held-out documents, before and after.

    documents ──choose_beginnings──► beginnings ──continue_each──► texts, for one model at a time ──side_by_side──►

At each step the likeliest token is taken, whatever the model's own settings of generation are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from acclimate.artifacts import fingerprint
from acclimate.corpus import Document
from acclimate.errors import DataError
from acclimate.evaluation.asked import Continuation
from acclimate.models.directed import direct, way_of_seeing
from acclimate.models.families import Family, family
from acclimate.objectives.base import Objective
from acclimate.scoring.answers import BLANK
from acclimate.scoring.blanks import BlankFiller
from acclimate.scoring.generator import Generator
from acclimate.scoring.spans import FILLERS, SpanCandidate

# Tokens of a beginning, and of what follows it. Of shorter documents half is the beginning.
PROMPT_TOKENS = 32
NEW_TOKENS = 32
_LEAST_TOKENS = 16
# More characters than any beginning and its continuation have.
_CHARACTERS = 2000
# The tokens that a model of `mass` tells at once, a mask each.
_PIECE = 16
# Whatever keeps a model from its likeliest token.
_GREEDY: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
}


@dataclass(frozen=True)
class Beginning:
    """The beginning of a document, and what follows it there."""

    document: str
    prompt: str
    actual: str


def is_written_by(objective: Objective, kind: Family) -> bool:
    """Whether models of an objective continue texts; `kind` is the model's family."""
    if kind == "encoder":
        return False
    return way_of_seeing(objective.name, objective.settings.model_dump(), kind) != "both"


def choose_beginnings(
    documents: Iterable[Document], tokenizer: PreTrainedTokenizerBase, number: int
) -> list[Beginning]:
    """The beginnings of some documents, chosen by a hash of their ids, so that they are the same for every run.

    Args:
        documents: held-out ones; those of fewer than 16 tokens are passed over.
        number: how many at most.
    """
    chosen: list[Beginning] = []
    for document in sorted(documents, key=lambda document: fingerprint(document.id)):
        if len(chosen) == number:
            break
        beginning = _beginning(document, tokenizer)
        if beginning is not None:
            chosen.append(beginning)
    return chosen


def _beginning(document: Document, tokenizer: PreTrainedTokenizerBase) -> Beginning | None:
    text = document.text[:_CHARACTERS]
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    offsets = encoded["offset_mapping"]
    cut = min(PROMPT_TOKENS, len(offsets) // 2)
    while cut > 0 and not _parts_words(text, offsets[cut][0]):
        cut -= 1
    if len(offsets) < _LEAST_TOKENS or cut == 0:
        return None
    place, end = offsets[cut][0], offsets[min(cut + NEW_TOKENS, len(offsets)) - 1][1]
    prompt = text[:place].rstrip(" ")
    return Beginning(document.id, prompt, text[len(prompt) : end]) if prompt.strip() else None


def _parts_words(text: str, place: int) -> bool:
    """Whether no word of letters runs on over a place; Chinese characters are words of their own."""
    before, after = text[place - 1 : place], text[place : place + 1]
    return not (before.isalnum() and after.isalnum()) or max(before, after) >= "\u2e80"


def continue_each(
    model: Any, objective: Objective, tokenizer: PreTrainedTokenizerBase, beginnings: Sequence[Beginning]
) -> list[str]:
    """How one model goes on from each beginning: 32 tokens at most, and 24 of models that fill spans.

    Args:
        model: of the objective, with its head; its forward is told what it sees, as by `probes.ask`.

    Raises:
        DataError: a model that continues no texts, see `is_written_by`.
    """
    kind = family(model.config)
    if not is_written_by(objective, kind):
        raise DataError(f"a model of `{objective.name}` continues no texts")
    prompts = [beginning.prompt for beginning in beginnings]
    if not prompts:
        return []
    way = way_of_seeing(objective.name, objective.settings.model_dump(), kind)
    if way is not None and getattr(model, "_way_of_seeing", None) is None:
        direct(model, way)
    if kind == "encoder-decoder":
        filler = FILLERS[objective.name](model, tokenizer)
        masks = BLANK * (_PIECE if objective.name == "mass" else 1)
        return [_behind(prompt, filler.greedy(prompt + masks)) for prompt in prompts]
    if way == "blanks":
        blank_filler = BlankFiller(model, tokenizer)
        return [_behind(prompt, blank_filler.greedy(prompt + BLANK)) for prompt in prompts]
    generated = Generator(model, tokenizer).generate(prompts, max_new_tokens=NEW_TOKENS, **_GREEDY)
    return [found.continuations[0].continuation for found in generated]


def _behind(prompt: str, candidate: SpanCandidate) -> str:
    """What a model put behind a beginning; the whole text where it wrote the beginning in another way (BART)."""
    return candidate.sequence.removeprefix(prompt)


def side_by_side(beginnings: Sequence[Beginning], before: Sequence[str], after: Sequence[str]) -> list[Continuation]:
    """The texts of two models, and the document's own."""
    return [
        Continuation(prompt=one.prompt, before=first, after=second, actual=one.actual, document=one.document)
        for one, first, second in zip(beginnings, before, after, strict=True)
    ]
