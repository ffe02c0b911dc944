"""`span_denoising` with `mixture: ul2`: UL2's mixture of denoisers (Tay et al. 2022, arXiv:2205.05131).

Each text is corrupted by one of seven denoisers, each as likely as any other, and begins with the mode token of its
kind: `[R]` regular span denoising, `[X]` extreme (long spans or half of the text), `[S]` sequential: the end of the
text is one span, so that its beginning is a prefix. The length of that end is uniform with a mean of a quarter of the
text, between a tenth and four tenths of a long one.

Rows are cut as for T5's denoiser, whose inputs are the longest. So that sequential ones never exceed these, their span
has at least so many tokens as that denoiser makes a text shorter by, and one more for its sentinel.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from acclimate.errors import ModelError, RecipeError
from acclimate.objectives.base import Part
from acclimate.objectives.span_denoising import (
    SpanDenoising,
    SpanDenoisingSettings,
    noise_among,
    noise_mask,
    noise_of,
)
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.recipe import Section


class Denoiser(NamedTuple):
    """One way to corrupt a text: its mode, the share of tokens taken out, and the mean length of a span."""

    mode: str
    density: float
    mean_length: float


# Table 1 of the paper; the mean length of a sequential denoiser's span is all that is taken out.
DENOISERS = (
    Denoiser("R", 0.15, 3.0),
    Denoiser("R", 0.15, 8.0),
    Denoiser("S", 0.25, float("inf")),
    Denoiser("X", 0.5, 3.0),
    Denoiser("X", 0.5, 8.0),
    Denoiser("X", 0.15, 64.0),
    Denoiser("X", 0.5, 64.0),
)


class MixtureOfDenoisers(SpanDenoising):
    """Span denoising of three kinds. See the module's text for the rule."""

    summary = "spans taken out by one of seven denoisers, told by the decoder sentinel by sentinel"
    paper = "Tay et al. 2022 (UL2, arXiv:2205.05131)"
    needs = ("pad", "eos", "sentinels", "modes")
    parts = (Part("span_denoising", bits_per_byte=True),)
    mode_length = 1

    def __init__(self, settings: Section, vocabulary: Vocabulary, *, max_length: int, seed: int) -> None:
        assert isinstance(settings, SpanDenoisingSettings)
        for name in ("noise_density", "mean_noise_span_length"):
            if getattr(settings, name) != SpanDenoisingSettings.model_fields[name].default:
                raise RecipeError(f"`objective.{name}` has no effect with `mixture: ul2`; leave one of the two out")
        super().__init__(settings, vocabulary, max_length=max_length, seed=seed)
        if not vocabulary.mode_ids:
            raise ModelError("`mixture: ul2` needs the mode tokens [R], [S] and [X], and this tokenizer lacks them")
        # Half of a row in spans of three is what takes most sentinels.
        most = max(noise_of(self.raw_length, as_settings(denoiser))[1] for denoiser in DENOISERS)
        if most > len(vocabulary.sentinels):
            raise ModelError(
                f"a row of {max_length} tokens has up to {most} spans, and this tokenizer has "
                f"{len(vocabulary.sentinels)} sentinels; choose a smaller `max_length`"
            )

    def plain_mode(self) -> list[int]:
        return [self.vocabulary.mode_ids["R"]]

    def noise(self, candidates: NDArray[np.bool_], rng: np.random.Generator) -> tuple[NDArray[np.bool_], list[int]]:
        denoiser = DENOISERS[int(rng.integers(len(DENOISERS)))]
        mode = [self.vocabulary.mode_ids[denoiser.mode]]
        length = int(candidates.sum())
        if length < 2:
            return np.zeros(length, dtype=bool), mode
        planned = noise_of(len(candidates), self.settings)
        shorter_by = planned[0] - planned[1]
        if denoiser.mode == "S":
            fewest = shorter_by + 1
            most = max(fewest, round(2 * denoiser.density * length) - fewest)
            taken = min(int(rng.integers(fewest, most + 1)), length - 1)
            return np.arange(length) >= length - taken, mode
        num_noise, num_spans = noise_among(candidates, as_settings(denoiser))
        if num_noise - num_spans < shorter_by:
            # A text most of whose tokens cannot be taken.
            num_noise, num_spans = noise_among(candidates, self.settings)
        return noise_mask(length, num_noise, num_spans, rng), mode


@functools.cache
def as_settings(denoiser: Denoiser) -> SpanDenoisingSettings:
    """The options of span denoising that a regular or extreme denoiser stands for."""
    return SpanDenoisingSettings(noise_density=denoiser.density, mean_noise_span_length=min(denoiser.mean_length, 1e9))
