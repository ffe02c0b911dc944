"""Prefix language modeling (T5, Raffel et al. 2020; UniLM, Dong et al. 2019; GLM, Du et al. 2022).

On a decoder a prefix of each text is seen in both directions and the rest left to right; the rest is predicted, each
token from those before it. Where the prefix ends is drawn uniformly, or a fixed share of the text (`prefix_ratio`), or
given by the data: in pairs of a prompt and a completion the prompt is the prefix.

On an encoder this is UniLM's mixture (`unilm.py`); `variant: blank_infilling` is GLM's (`blank_infilling.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from acclimate.errors import RecipeError
from acclimate.objectives.base import BY_ALL, BY_LATER, IGNORE, LABEL_PLACES, Family, Fields, Objective, Part
from acclimate.objectives.clm import CausalLanguageModeling
from acclimate.objectives.mntp import NO_BLOOM
from acclimate.objectives.rows import NO_PLACE, Row, Rows, pieces_of
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.randomness import uniform
from acclimate.recipe import Section
from acclimate.tokens.packing import Plan
from acclimate.tokens.store import SECOND_START, TokenStore


class PrefixLanguageModelingSettings(Section):
    """Options of `objective: {name: prefix_lm}`.

    Attributes:
        variant: "prefix", or "blank_infilling" (decoders only).
        prefix_ratio: share of each text that is the prefix; None draws it uniformly. With variant "prefix".
        mlm_probability: share of the tokens that are predicted; on encoders.
        noise_density: share of the tokens that are cut out; with variant "blank_infilling".
        poisson_lambda: mean length of a span that is cut out; with variant "blank_infilling".
    """

    variant: Literal["prefix", "blank_infilling"] = "prefix"
    prefix_ratio: float | None = Field(None, gt=0, lt=1)
    mlm_probability: float = Field(0.15, gt=0, lt=1)
    noise_density: float = Field(0.15, gt=0, lt=1)
    poisson_lambda: float = Field(3.0, gt=0)


class PrefixLanguageModeling(CausalLanguageModeling):
    """Continue a prefix that is seen in both directions. See the module's text for the rule."""

    name = "prefix_lm"
    summary = "the rest of a text predicted behind a prefix that is seen in both directions"
    paper = "Raffel et al. 2020 (arXiv:1910.10683); UniLM: Dong et al. 2019 (arXiv:1905.03197)"
    Settings = PrefixLanguageModelingSettings
    families: ClassVar[tuple[Family, ...]] = ("decoder", "encoder")
    unfit = {"bloom": NO_BLOOM, "mpt": NO_BLOOM}
    parts = (Part("prefix_lm", bits_per_byte=True),)
    directs = True

    settings: PrefixLanguageModelingSettings
    # The options that mean something; the others are refused where they are set.
    options: ClassVar[tuple[str, ...]] = ("variant", "prefix_ratio")

    def __init__(self, settings: Section, vocabulary: Vocabulary, *, max_length: int, seed: int) -> None:
        check_options(settings, self.options, "a decoder with `variant: prefix`")
        super().__init__(settings, vocabulary, max_length=max_length, seed=seed)

    @classmethod
    def resolve(cls, family: Family, settings: Section) -> type[Objective]:
        # Both are built on what stands here.
        from acclimate.objectives.blank_infilling import BlankInfilling
        from acclimate.objectives.unilm import UnifiedLanguageModeling

        assert isinstance(settings, PrefixLanguageModelingSettings)
        if settings.variant == "blank_infilling":
            if family != "decoder":
                raise RecipeError("`objective.variant: blank_infilling` is for decoders; leave it out on an encoder")
            return BlankInfilling
        return UnifiedLanguageModeling if family == "encoder" else cls

    def examples(self, store: TokenStore, plan: Plan, keys: Sequence[int]) -> list[Fields]:
        numbers = [key % len(plan) for key in keys]
        rows = self.read(store, plan, numbers)
        given = given_prefixes(store, pieces_of(plan, numbers)[0], len(self.frame)) if store.has_pairs else None
        return rows.split(self._continue(rows, given, self.rngs(keys)))

    def corrupt_tokens(self, rows: Rows, rngs: Sequence[np.random.Generator]) -> Fields:
        return self._continue(rows, None, rngs)

    def _continue(self, rows: Rows, given: NDArray[np.int64] | None, rngs: Sequence[np.random.Generator]) -> Fields:
        fields = super().corrupt_tokens(rows, rngs)
        in_prefix = in_prefixes(rows, given, self.settings.prefix_ratio, uniform(rngs, rows.num_pieces))
        return {
            **fields,
            "labels": np.where(in_prefix, IGNORE, fields["labels"]),
            LABEL_PLACES: np.where(in_prefix, NO_PLACE, fields[LABEL_PLACES]),
            "visibility": np.where(in_prefix, BY_ALL, BY_LATER),
        }

    def hide(self, row: Row, hidden: NDArray[np.bool_]) -> Fields | None:
        # What stands before the first token that is asked for is the prefix.
        fields = super().hide(row, hidden)
        assert fields is not None
        asked = np.flatnonzero(fields["labels"] != IGNORE)
        first = int(asked[0]) if len(asked) else len(row)
        return {**fields, "visibility": np.where(row.position_ids < first, BY_ALL, BY_LATER)}

    def padding(self) -> dict[str, int]:
        return {**super().padding(), "visibility": BY_LATER}


def check_options(settings: Section, known: tuple[str, ...], where: str) -> None:
    """Refuse options of `prefix_lm` that have no effect.

    Raises:
        RecipeError: names them.
    """
    given = [name for name, field in type(settings).model_fields.items() if getattr(settings, name) != field.default]
    idle = [f"`objective.{name}`" for name in given if name not in known]
    if idle:
        raise RecipeError(f"{', '.join(idle)} has no effect on {where}; leave it out")


def in_prefixes(
    rows: Rows, given: NDArray[np.int64] | None, ratio: float | None, draws: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """[T] which tokens are of the prefix of their piece.

    Args:
        given: [P] lengths of prefixes, -1 where there is none; None where no piece has one.
        ratio: of `prefix_lengths`, for the others.
        draws: [P] uniform numbers from [0, 1).
    """
    lengths = prefix_lengths(np.bincount(rows.piece_ids, minlength=len(draws)), ratio, draws)
    if given is not None:
        lengths = np.where(given >= 0, given, lengths)
    in_prefix: NDArray[np.bool_] = rows.tokens.position_ids < lengths[rows.piece_ids]
    return in_prefix


def prefix_lengths(lengths: NDArray[np.int64], ratio: float | None, draws: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many tokens of texts of some lengths are the prefix: at least one, and one less than all at most."""
    drawn = 1 + draws * (lengths - 1) if ratio is None else ratio * lengths + draws
    return np.where(lengths < 2, lengths, np.clip(drawn.astype(np.int64), 1, np.maximum(lengths - 1, 1)))


def given_prefixes(store: TokenStore, pieces: NDArray[np.int64], frame_length: int) -> NDArray[np.int64]:
    """[P] for pieces [P, 2] that are of one pair each: how many of their tokens are of the first text, those of the
    frame before it (`frame_length`) included; -1 for other pieces."""
    given = np.full(len(pieces), -1, dtype=np.int64)
    documents = np.searchsorted(store.documents[:, 0], pieces[:, 0], side="right") - 1
    for index, ((start, end), document) in enumerate(zip(pieces.tolist(), documents.tolist(), strict=True)):
        first, last = store.documents[document]
        if document + 1 < len(store.documents) and end > store.documents[document + 1, 0]:
            continue  # with `isolate: none` a piece goes on into other texts
        second = np.flatnonzero(store.flags[first:last] & SECOND_START)
        if len(second):
            given[index] = int(np.clip(first + second[0] - start, 0, end - start)) + frame_length
    return given
