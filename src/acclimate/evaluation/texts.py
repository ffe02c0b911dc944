"""The held-out text of a run: of its own corpus, and of general text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from acclimate.corpus import Corpus, open_corpus
from acclimate.errors import AcclimateError, CheckpointError, DataError, SourceError
from acclimate.evaluation.breakdown import FEWEST_UNITS, UnitFacts, unit_facts
from acclimate.evaluation.general import general_corpus
from acclimate.evaluation.models import Way
from acclimate.evaluation.settings import EvaluationSettings
from acclimate.progress import Listener
from acclimate.scoring.held_out import HeldOut, stored_held_out
from acclimate.tokens.cache import corpus_tokens
from acclimate.tokens.store import TokenStore
from acclimate.training.run_folder import RunFolder, corpus_folder

# A line may stand in two texts by chance; of general text, from this share of its characters on it is none.
LEAST_TRAINED_ON = 0.01


@dataclass(frozen=True, eq=False)
class Text:
    """A text that both models are asked about.

    Attributes:
        held_out: the objective's own examples of it, with stored masks.
        facts: its units by their numbers.
        by_row: whether the bootstrap draws rows: with too few documents, or where a piece runs over documents.
        trained_on: which share of its held-out characters stands in documents that the run was trained on.
    """

    corpus: Corpus
    store: TokenStore
    held_out: HeldOut
    facts: Sequence[UnitFacts]
    by_row: bool
    trained_on: float = 0.0

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
        folder = run.path / "evaluation" / "general-corpus"
        try:
            corpora["general"] = general_corpus(settings.general, folder, listener)
        except SourceError as error:
            raise SourceError(
                f"the general text cannot be read: {error}\nA relative path in `evaluation.general` is looked for from "
                "the folder that you are in: go to where the run was started, or give the text by `--general`"
            ) from error
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
    if "general" in texts:
        texts["general"], told = _told_if_trained_on(run, corpora["domain"], texts["general"])
        notes += told
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


def _told_if_trained_on(run: RunFolder, domain: Corpus, text: Text) -> tuple[Text, list[str]]:
    """General text with the share of it that the run was trained on, and a note on that."""
    sizes = {_digest(document.text): len(document.text) for document in text.corpus.documents("held_out")}
    total = sum(sizes.values())
    seen = 0
    for corpus in (domain, *_replayed(run)):
        for document in corpus.documents("train"):
            seen += sizes.pop(_digest(document.text), 0)
    share = seen / total if total else 0.0
    if share < LEAST_TRAINED_ON:
        return text, []
    note = (
        f"general: {share:.0%} of what is held out of {text.corpus.folder} stands in documents that the run was "
        "trained on, so that it cannot tell what was forgotten; give other general text"
    )
    return replace(text, trained_on=share), [note]


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _replayed(run: RunFolder) -> list[Corpus]:
    """The corpus whose training part was replayed, where there was one and it is still there."""
    replay = run.manifest.get("replay")
    if replay is None:
        return []
    try:
        corpus = open_corpus(replay["path"])
    except AcclimateError:
        return []
    return [corpus] if corpus.fingerprint == replay["fingerprint"] else []


def _domain_corpus(run: RunFolder) -> Corpus:
    expected = run.manifest["corpus"]
    try:
        corpus = open_corpus(corpus_folder(run.path, run.manifest))
    except AcclimateError as error:
        raise CheckpointError(f"the corpus that {run.path} was trained on cannot be opened: {error}") from error
    if corpus.fingerprint != expected["fingerprint"]:
        raise CheckpointError(
            f"the corpus in {corpus.folder} was rebuilt since {run.path} was trained on it, so that what is held "
            "out now may have been trained on; train again, or build that corpus again from the same documents"
        )
    return corpus
