"""The held-out text of a run: of its own corpus, and of general text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from acclimate.corpus import Corpus, open_corpus
from acclimate.errors import AcclimateError, CheckpointError, DataError
from acclimate.evaluation.breakdown import FEWEST_UNITS, UnitFacts, unit_facts
from acclimate.evaluation.general import general_corpus
from acclimate.evaluation.models import Way
from acclimate.evaluation.settings import EvaluationSettings
from acclimate.progress import Listener
from acclimate.scoring.held_out import HeldOut, stored_held_out
from acclimate.tokens.cache import corpus_tokens
from acclimate.tokens.store import TokenStore
from acclimate.training.run_folder import RunFolder


@dataclass(frozen=True, eq=False)
class Text:
    """A text that both models are asked about.

    Attributes:
        held_out: the objective's own examples of it, with stored masks.
        facts: its units by their numbers.
        by_row: whether the bootstrap draws rows: with too few documents, or where a piece runs over documents.
    """

    corpus: Corpus
    store: TokenStore
    held_out: HeldOut
    facts: Sequence[UnitFacts]
    by_row: bool

    def with_held_out(self, held_out: HeldOut) -> Text:
        return replace(self, held_out=held_out)


@dataclass(frozen=True, eq=False)
class Texts:
    """What there is to be asked about.

    Attributes:
        corpora: "domain", and "general" where it is given.
        texts: those of them of which something is held out.
        notes: why others are not there.
    """

    corpora: Mapping[str, Corpus]
    texts: Mapping[str, Text]
    notes: tuple[str, ...]


def gather_texts(run: RunFolder, settings: EvaluationSettings, way: Way, listener: Listener) -> Texts:
    """The texts of a run, and their examples with stored masks.

    Raises:
        CheckpointError: the run's corpus is gone or another one.
    """
    corpora: dict[str, Corpus] = {"domain": _domain_corpus(run)}
    if settings.general is not None:
        corpora["general"] = general_corpus(settings.general, run.path / "evaluation" / "general-corpus", listener)
    texts: dict[str, Text] = {}
    notes: list[str] = []
    for name, corpus in corpora.items():
        try:
            text = _text(run, settings, way, name, corpus, listener)
        except DataError as error:
            # What is held out may lack what the whole corpus has, such as a second document.
            notes.append(f"{name}: what is held out of {corpus.folder} cannot be scored: {error}")
            continue
        if text is None:
            notes.append(
                f"{name}: nothing is held out of {corpus.folder}, since it has too few documents; there is no honest "
                "figure for it"
            )
        else:
            texts[name] = text
    return Texts(corpora, texts, tuple(notes))


def _text(
    run: RunFolder, settings: EvaluationSettings, way: Way, name: str, corpus: Corpus, listener: Listener
) -> Text | None:
    recipe = run.manifest["recipe"]
    store = corpus_tokens(
        corpus,
        "held_out",
        way.tokenizer,
        fallback=run.path,
        listener=listener,
        layers=way.objective.layers | {"bytes"},
    )
    if len(store) == 0:
        return None
    held_out = stored_held_out(
        run.path / "evaluation" / f"{name}-examples",
        way.objective,
        store,
        isolate=recipe["isolate"],
        packed=run.manifest["tokens"]["packed"],
        max_tokens=settings.max_tokens,
    )
    by_row = held_out.num_units < FEWEST_UNITS or recipe["isolate"] == "none"
    return Text(corpus, store, held_out, unit_facts(corpus, store), by_row)


def _domain_corpus(run: RunFolder) -> Corpus:
    expected = run.manifest["corpus"]
    try:
        corpus = open_corpus(expected["path"])
    except AcclimateError as error:
        raise CheckpointError(f"the corpus that {run.path} was trained on cannot be opened: {error}") from error
    if corpus.fingerprint != expected["fingerprint"]:
        raise CheckpointError(
            f"the corpus in {expected['path']} was rebuilt since {run.path} was trained on it, so that what is held "
            "out now may have been trained on; train again, or build that corpus again from the same documents"
        )
    return corpus
