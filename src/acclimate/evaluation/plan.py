"""What both models are asked beside the objective's own targets: terms, sentences, passages, words at random.

Everything is chosen before any model is loaded, by the text alone, so that both get the same questions and only one
of them is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from acclimate.corpus import Corpus
from acclimate.evaluation.examples import NUM_GUESSES, random_questions
from acclimate.evaluation.models import Way
from acclimate.evaluation.passages import PassageQuestions, passage_questions
from acclimate.evaluation.sentences import SentenceQuestions, sentence_questions
from acclimate.evaluation.settings import EvaluationSettings
from acclimate.evaluation.term_questions import TermQuestion, find_occurrences, pieces_per_word, term_question
from acclimate.evaluation.terms import FoundTerm, find_terms
from acclimate.evaluation.texts import Texts
from acclimate.evaluation.units import Encoded, Reading, Unit, can_be_encoded, encode_units, read_units
from acclimate.evaluation.vocabularies import WindowQuestion, window_questions, word_windows
from acclimate.objectives.base import Fields
from acclimate.progress import Listener
from acclimate.scoring.questions import Answer, ask, fills_masks

# Characters of a corpus in which terms are counted: documents evenly spread over it.
COUNTED = 8_000_000
# The names of questions whose likeliest answers are kept, too.
TERMS, RANDOM = "terms", "words at random"

Item = TypeVar("Item")
Answers = Mapping[str, Sequence[Answer]]


@dataclass(frozen=True, eq=False)
class Words:
    """Words of a text that models of different tokenizers are asked for.

    Attributes:
        texts: of each stretch its unit and the words' characters.
        before, after: the questions to either model.
    """

    texts: Sequence[tuple[Encoded, Sequence[tuple[int, int]]]]
    before: Sequence[WindowQuestion]
    after: Sequence[WindowQuestion]


@dataclass(frozen=True, eq=False)
class Plan:
    """All questions.

    Attributes:
        readings: the texts as the run's tokenizer reads them; empty where it tells no characters.
        terms: of the domain.
        before, after: the occurrences of terms as either model is asked for them.
        at_random: words for examples.
        sentences, passages: of each text; sentences only where both models have the same tokens.
        same_tokens: whether both models cut texts alike.
        words: of each text, where they do not.
        general_pieces: tokens per word of general text.
        notes: what could not be asked.
    """

    readings: Mapping[str, Reading] = field(default_factory=dict)
    terms: Sequence[FoundTerm] = ()
    before: Sequence[TermQuestion] = ()
    after: Sequence[TermQuestion] = ()
    at_random: Sequence[TermQuestion] = ()
    sentences: Mapping[str, SentenceQuestions] = field(default_factory=dict)
    passages: Mapping[str, PassageQuestions] = field(default_factory=dict)
    same_tokens: bool = True
    words: Mapping[str, Words] = field(default_factory=dict)
    general_pieces: float | None = None
    notes: tuple[str, ...] = ()

    def questions(self, *, before: bool) -> dict[str, list[Fields]]:
        """The questions to one of the models, by name."""
        asked = {TERMS: [one.fields for one in (self.before if before else self.after)]}
        for name, words in self.words.items():
            asked[f"words of {name}"] = [one.fields for one in (words.before if before else words.after)]
        if before and not self.same_tokens:
            return asked
        asked[RANDOM] = [one.fields for one in self.at_random]
        for name, sentences in self.sentences.items():
            asked[f"sentences of {name}"] = list(sentences.fields)
        for name, passages in self.passages.items():
            asked[f"passages of {name}"] = list(passages.fields)
        return asked


def make_plan(
    texts: Texts, settings: EvaluationSettings, after: Way, before: Way | None, isolate: Any, listener: Listener
) -> Plan:
    """Choose the questions.

    Args:
        after: how the run's model is asked.
        before: how the one before training is, where its tokens are others.
        isolate: as in the run's recipe.
    """
    if not can_be_encoded(after.tokenizer):
        return Plan(
            notes=(
                "the tokenizer has no fast version that tells which characters a token stands for, so that terms, "
                "sentences, passages and examples are not asked for",
            )
        )
    units = {name: read_units(text.corpus, text.store, isolate) for name, text in texts.texts.items()}
    readings = _readings(units, after)
    others = None if before is None else _readings(units, before)
    terms, notes = _terms(texts, settings, listener)
    asked = _term_questions(terms, settings, readings, others)
    masked = fills_masks(after.objective)
    same = others is None
    domain = readings.get("domain")
    return Plan(
        readings=readings,
        terms=terms,
        before=[pair[0] for pair in asked],
        after=[pair[1] for pair in asked],
        at_random=random_questions(domain, settings.num_examples) if domain and masked and same else (),
        sentences=(
            {name: sentence_questions(own, settings.num_sentences) for name, own in readings.items()}
            if masked and same and settings.num_sentences
            else {}
        ),
        passages=(
            {name: passage_questions(own, settings.passage_tokens) for name, own in readings.items()}
            if settings.passage_tokens
            else {}
        ),
        same_tokens=same,
        words={} if others is None else _words(readings, others, settings),
        general_pieces=pieces_per_word(readings["general"].units) if "general" in readings else None,
        notes=notes,
    )


def _readings(units: Mapping[str, Sequence[Unit]], way: Way) -> dict[str, Reading]:
    return {
        name: Reading(way.objective, way.tokenizer, encode_units(own, way.tokenizer)) for name, own in units.items()
    }


def _terms(texts: Texts, settings: EvaluationSettings, listener: Listener) -> tuple[list[FoundTerm], tuple[str, ...]]:
    if not settings.num_terms:
        return [], ()
    if "general" not in texts.corpora:
        return [], ("terms: there is no general text to tell the domain's own words from; give `evaluation.general`",)
    listener.message("finding the domain's terms")
    domain, general = (_documents(texts.corpora[name]) for name in ("domain", "general"))
    return find_terms(domain, general, settings.num_terms), ()


def _documents(corpus: Corpus) -> list[str]:
    """The texts of a corpus, or of every so manieth document of a large one."""
    characters = corpus.num_characters("train") + corpus.num_characters("held_out")
    step = -(-characters // COUNTED)
    return [document.text for index, document in enumerate(corpus.all_documents()) if index % max(step, 1) == 0]


def _term_questions(
    terms: Sequence[FoundTerm],
    settings: EvaluationSettings,
    readings: Mapping[str, Reading],
    others: Mapping[str, Reading] | None,
) -> list[tuple[TermQuestion, TermQuestion]]:
    """Each occurrence as the model before is asked for it, and as the one after is."""
    if not terms or "domain" not in readings:
        return []
    own = readings["domain"]
    asked = []
    for occurrence in find_occurrences(terms, own, settings.term_occurrences):
        one = term_question(occurrence, own)
        # Each in as many of its own tokens as a row has room for.
        pair = (one if others is None else term_question(occurrence, others["domain"]), one)
        if pair[0] is not None and pair[1] is not None:
            asked.append((pair[0], pair[1]))
    return asked


def _words(
    readings: Mapping[str, Reading], others: Mapping[str, Reading], settings: EvaluationSettings
) -> dict[str, Words]:
    found = {}
    for name, own in readings.items():
        windows = word_windows(own, settings.max_tokens)
        texts, before, after = window_questions(windows, own, others[name])
        if texts:
            found[name] = Words(texts, before, after)
    return found


def answer(
    model: Any,
    way: Way,
    questions: Mapping[str, Sequence[Fields]],
    which: str,
    settings: EvaluationSettings,
    listener: Listener,
) -> dict[str, list[Answer]]:
    """What a model says to the questions, by name."""
    return {
        name: ask(
            model,
            way.objective,
            fields,
            top_k=NUM_GUESSES if name in (TERMS, RANDOM) else 0,
            batch_size=settings.batch_size,
            stage=f"asking for {name} {which}",
            listener=listener,
        )
        for name, fields in questions.items()
        if fields
    }
