"""The `evaluation:` section of a recipe."""

from __future__ import annotations

from pydantic import Field

from acclimate.corpus import CorpusSettings
from acclimate.recipe import Section


class GeneralSettings(CorpusSettings):
    """General text: like any corpus, but half of it is held out by default, since that half is what is scored."""

    held_out: float = Field(0.5, gt=0, lt=1)


class EvaluationSettings(Section):
    """How a run is compared with the model that it started from.

    Attributes:
        general: text that must not be forgotten: a corpus folder, or anything that `corpus build` takes. Half of it is
            scored; a fresh head is warmed up on the other half.
        max_tokens: at most so many tokens of each text are scored, in rows chosen at random; None for all.
        batch_size: at most so many rows per forward; None: as their length allows.
        head_warmup_steps: at most so many steps to warm up a fresh head on general text; 0 for none.
        resamples: draws of the bootstrap.
        probes: file or files of sentences with blanks, which both models fill.
        num_terms: how many of the domain's terms are found by themselves and asked for; 0 for none.
        term_occurrences: at most so many held-out occurrences of each term are asked for.
        num_sentences: how many sentences of each text have their pseudo-log-likelihood taken; 0 for none.
        passage_tokens: length of the passages that are shown token by token; 0 for none.
        num_examples: how many held-out texts with blanks are shown; 0 for none.
        num_continuations: how many held-out documents a model that writes continues; 0 for none.
    """

    general: GeneralSettings | None = None
    max_tokens: int | None = Field(200_000, ge=1)
    batch_size: int | None = Field(None, ge=1)
    head_warmup_steps: int = Field(1000, ge=0)
    resamples: int = Field(10_000, ge=100)
    probes: str | list[str] | None = None
    num_terms: int = Field(100, ge=0)
    term_occurrences: int = Field(10, ge=1)
    num_sentences: int = Field(100, ge=0)
    passage_tokens: int = Field(100, ge=0)
    num_examples: int = Field(12, ge=0)
    num_continuations: int = Field(5, ge=0)
