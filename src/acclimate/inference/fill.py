"""Fill masks: what a language model would put in the gaps of a text.

Masked language models and decoders of `mntp` tell one token for each mask. They give what `pipeline("fill-mask")`
gives, except that `sequence` is the user's own text with the token put in, instead of the decoded ids: letters keep
their case, and no blanks come between Chinese characters. Encoder-decoders and decoders of blank infilling tell spans
of any length (`spans.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from acclimate.errors import DataError, ModelError, RecipeError
from acclimate.inference.gaps import GapFinder
from acclimate.inference.reading import TokenReader
from acclimate.inference.spans import BlankFiller, PieceFiller, SentinelFiller, SpanCandidate, TextFiller
from acclimate.inference.texts import on_best_device
from acclimate.models.directed import load_directed, run_objective, way_of_seeing
from acclimate.models.families import family, position_limit
from acclimate.models.loading import load_model, model_config
from acclimate.models.settings import ModelSettings
from acclimate.objectives import own_objective
from acclimate.tokens.tokenizers import load_tokenizer, text_frame


@dataclass(frozen=True)
class Candidate:
    """One token for a gap: its probability, id, text, and the whole text with it put in."""

    score: float
    token: int
    token_str: str
    sequence: str


class MaskFiller:
    """A masked language model, or a decoder of `mntp`, ready to fill gaps."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, from_before: bool = False
    ) -> None:
        """
        Args:
            from_before: whether a token is told at the position before it, and texts have no end token (`mntp`).

        Raises:
            ModelError: the tokenizer has no mask token.
        """
        if tokenizer.mask_token is None:
            raise ModelError(f"{tokenizer.name_or_path} has no mask token, so there is nothing to fill")
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.from_before = from_before
        self.gaps = GapFinder(tokenizer, str(tokenizer.mask_token))
        self.reader = TokenReader(tokenizer, int(model.get_input_embeddings().weight.shape[0]))

    def fill(self, text: str, *, top_k: int = 5) -> list[list[Candidate]]:
        """The `top_k` likeliest tokens for each mask of a text, best first.

        Raises:
            DataError: the text has no mask, or is longer than the model's positions; of `mntp`, nothing stands before
                its first mask, not even a beginning token.
        """
        gaps = self.gaps.find(text)
        inputs, positions = self._from_before(text) if self.from_before else self._framed(text)
        self._check_length(inputs["input_ids"].shape[1], text)
        with torch.inference_mode():
            logits_LV = self.model(**{key: value.to(self.model.device) for key, value in inputs.items()}).logits[0]
        assert len(positions) == len(gaps), "every mask of the text is one token"
        return [
            self._candidates(text, gap, logits_LV[position], top_k)
            for gap, position in zip(gaps, positions, strict=True)
        ]

    def _framed(self, text: str) -> tuple[dict[str, torch.Tensor], list[int]]:
        """The inputs of the model, and where what it says of each mask stands."""
        inputs = self.tokenizer(self.gaps.marked(text, str(self.tokenizer.mask_token)), return_tensors="pt")
        masks = inputs["input_ids"][0] == self.tokenizer.mask_token_id
        return dict(inputs), masks.nonzero()[:, 0].tolist()

    def _from_before(self, text: str) -> tuple[dict[str, torch.Tensor], list[int]]:
        ids, places = self.gaps.ids(text, str(self.tokenizer.mask_token))
        prefix = text_frame(self.tokenizer).prefix
        positions = [place + len(prefix) - 1 for place in places]
        if positions[0] < 0:
            raise DataError(
                f"{text!r} begins with a mask, and this model tells a token from the position before it, where there "
                "is none; write something before it"
            )
        return {"input_ids": torch.tensor([[*prefix, *ids]])}, positions

    def _check_length(self, length: int, text: str) -> None:
        limit = position_limit(self.model.config)
        if limit is not None and length > limit:
            raise DataError(f"a text of {length} tokens is longer than the model's {limit} positions: {text[:60]!r}…")

    def _candidates(self, text: str, gap: re.Match[str], logits_V: torch.Tensor, top_k: int) -> list[Candidate]:
        probabilities = logits_V.float().softmax(-1)
        best = probabilities.topk(min(top_k, len(probabilities)))
        return [
            Candidate(float(score), token, self.tokenizer.decode([token]), self._put_in(text, gap, token))
            for score, token in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]

    def _put_in(self, text: str, gap: re.Match[str], token: int) -> str:
        """The text with a token in one gap: a piece that continues a word joins the word before it."""
        before, after = text[: gap.start()], text[gap.end() :]
        if self.from_before:
            return self.reader.put_in(before, [token]) + after
        piece: str = self.tokenizer.convert_ids_to_tokens(token)
        if piece.startswith("##"):
            return before.rstrip() + piece[2:] + after
        word: str = self.tokenizer.decode([token])
        if word.startswith(" ") and (not before or before[-1].isspace()):
            word = word[1:]
        return before + word + after


Filler = MaskFiller | SentinelFiller | TextFiller | PieceFiller | BlankFiller
_OF_ENCODER_DECODERS: dict[str, type[SentinelFiller | TextFiller | PieceFiller]] = {
    "span_denoising": SentinelFiller,
    "text_infilling": TextFiller,
    "mass": PieceFiller,
}


def load_filler(model: str | Path) -> Filler:
    """Load a model that fills gaps, from a run, a folder or the hub.

    Raises:
        ModelError: there is none, or it was not trained to fill gaps.
    """
    settings = ModelSettings(name=str(model))
    config = model_config(settings)
    kind = family(config)
    trained, options = run_objective(model) or (None, {})
    if kind == "decoder":
        return _decoder_filler(model, trained, options)
    tokenizer = load_tokenizer(str(model))
    if kind == "encoder":
        loaded = _with_head(settings, "masked-lm", tokenizer, "masked-LM", "mlm")
        return MaskFiller(loaded, tokenizer)
    objective = trained or own_objective(kind, config)
    loaded = _with_head(settings, "seq2seq-lm", tokenizer, "language-modeling", objective)
    return _OF_ENCODER_DECODERS[objective](on_best_device(loaded), tokenizer)


def _decoder_filler(model: str | Path, trained: str | None, options: dict[str, Any]) -> Filler:
    way = None if trained is None else way_of_seeing(trained, options, "decoder")
    if way not in ("both", "blanks"):
        raise ModelError(
            f"{model} is a model of the decoder family, which fills no masks unless it was trained to see both sides "
            "of them: by `mntp`, or `prefix_lm` with `variant: blank_infilling`"
        )
    directed, tokenizer = on_best_device(load_directed(model)), load_tokenizer(str(model))
    return BlankFiller(directed, tokenizer) if way == "blanks" else MaskFiller(directed, tokenizer, from_before=True)


def _with_head(
    settings: ModelSettings, head: str, tokenizer: PreTrainedTokenizerBase, shown: str, objective: str
) -> Any:
    """The model, which must have its head already."""
    loaded = load_model(settings, head, tokenizer, seed=0)
    if loaded.new_parameters:
        raise ModelError(
            f"{settings.name} has no {shown} head (missing: {', '.join(loaded.new_parameters[:3])}, …), so that it "
            f"would guess at random; train one with `acclimate pretrain --objective {objective}`"
        )
    return loaded.model


def fill(
    model: str | Path | Filler, texts: str | Iterable[str], *, top_k: int = 5
) -> list[list[Candidate]] | list[list[list[Candidate]]] | list[Any]:
    """Fill the masks of one text or of several.

    Args:
        model: a run, a folder, a hub id, or what `load_filler` gave.
        texts: each with one mask or more, written `[MASK]`, `<mask>` or as the tokenizer writes it.
        top_k: candidates per mask; of models that tell spans, per text.

    Returns:
        For each text the list of candidates, best first; for a text of several masks, a list of such lists. Models that
        tell spans fill all masks of a text at once: for each text a list of `SpanCandidate`. For a single string, just
        its own.
    """
    if top_k < 1:
        raise RecipeError(f"`top_k`: expected a number of at least 1, got {top_k!r}")
    filler = load_filler(model) if isinstance(model, (str, Path)) else model
    if isinstance(texts, str):
        return _one_or_many(filler.fill(texts, top_k=top_k))
    return list(fill_lines(filler, texts, top_k=top_k))


def fill_lines(filler: Filler, texts: Iterable[str], *, top_k: int = 5) -> Iterator[list[Any]]:
    """Like `fill`, one text after another, as they come; an error names the number of the text."""
    for number, text in enumerate(texts, start=1):
        try:
            yield _one_or_many(filler.fill(text, top_k=top_k))
        except DataError as error:
            raise DataError(f"text {number}: {error}") from error


def _one_or_many(found: list[list[Candidate]] | list[SpanCandidate]) -> list[Any]:
    return found[0] if len(found) == 1 and isinstance(found[0], list) else found


def to_json(filled: list[Any]) -> list[Any]:
    """Candidates as plain data."""
    return [to_json(item) if isinstance(item, list) else asdict(item) for item in filled]
