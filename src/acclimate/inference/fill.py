"""Fill masks: what a masked language model would put in the gaps of a text.

Gives what `pipeline("fill-mask")` gives, except that `sequence` is the user's own text with the token put in, instead
of the decoded ids: letters keep their case, and no blanks come between Chinese characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from acclimate.errors import DataError, ModelError
from acclimate.models.families import family, position_limit
from acclimate.models.loading import load_model, model_config
from acclimate.models.settings import ModelSettings
from acclimate.tokens.tokenizers import load_tokenizer

# People write the mask as they know it; each of these stands for the tokenizer's own.
MASKS = ("[MASK]", "<mask>")


@dataclass(frozen=True)
class Candidate:
    """One token for a gap: its probability, id, text, and the whole text with it put in."""

    score: float
    token: int
    token_str: str
    sequence: str


class MaskFiller:
    """A masked language model ready to fill gaps."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        """
        Raises:
            ModelError: the tokenizer has no mask token.
        """
        if tokenizer.mask_token is None:
            raise ModelError(f"{tokenizer.name_or_path} has no mask token, so there is nothing to fill")
        self.model = model.eval()
        self.tokenizer = tokenizer
        self._masks = re.compile("|".join(re.escape(mask) for mask in {*MASKS, tokenizer.mask_token}))

    def fill(self, text: str, *, top_k: int = 5) -> list[list[Candidate]]:
        """The `top_k` likeliest tokens for each mask of a text, best first.

        Raises:
            DataError: the text has no mask, or is longer than the model's positions.
        """
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(f"{text!r} is no valid Unicode text: {error}") from error
        gaps = list(self._masks.finditer(text))
        if not gaps:
            raise DataError(f"there is no {self.tokenizer.mask_token} in {text!r}; write it where a token is wanted")
        marked = self._masks.sub(lambda _: self.tokenizer.mask_token, text)
        inputs = self.tokenizer(marked, return_tensors="pt")
        self._check_length(inputs["input_ids"].shape[1], text)
        with torch.inference_mode():
            logits_LV = self.model(**{key: value.to(self.model.device) for key, value in inputs.items()}).logits[0]
        positions = (inputs["input_ids"][0] == self.tokenizer.mask_token_id).nonzero()[:, 0]
        assert len(positions) == len(gaps), "every mask of the text is one token"
        return [
            self._candidates(text, gap, logits_LV[position], top_k)
            for gap, position in zip(gaps, positions, strict=True)
        ]

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
        piece: str = self.tokenizer.convert_ids_to_tokens(token)
        if piece.startswith("##"):
            return before.rstrip() + piece[2:] + after
        word: str = self.tokenizer.decode([token])
        if word.startswith(" ") and (not before or before[-1].isspace()):
            word = word[1:]
        return before + word + after


def load_filler(model: str | Path) -> MaskFiller:
    """Load a masked language model, from a run, a folder or the hub.

    Raises:
        ModelError: there is none, or it is not a masked language model.
    """
    settings = ModelSettings(name=str(model))
    kind = family(model_config(settings))
    if kind != "encoder":
        raise ModelError(f"{model} is a model of the {kind} family, which fills no masks")
    tokenizer = load_tokenizer(str(model))
    loaded = load_model(settings, "masked-lm", tokenizer, seed=0)
    if loaded.new_parameters:
        raise ModelError(
            f"{model} has no masked-LM head (missing: {', '.join(loaded.new_parameters[:3])}, …), so that it would "
            "guess at random; train one with `acclimate pretrain --objective mlm`"
        )
    return MaskFiller(loaded.model, tokenizer)


def fill(
    model: str | Path | MaskFiller, texts: str | Iterable[str], *, top_k: int = 5
) -> list[list[Candidate]] | list[list[list[Candidate]]] | list[Any]:
    """Fill the masks of one text or of several.

    Args:
        model: a run, a folder, a hub id, or what `load_filler` gave.
        texts: each with one mask or more, written `[MASK]`, `<mask>` or as the tokenizer writes it.
        top_k: candidates per mask.

    Returns:
        For each text the list of candidates, best first; for a text of several masks, a list of such lists. For a
        single string, just its own.
    """
    filler = model if isinstance(model, MaskFiller) else load_filler(model)
    if isinstance(texts, str):
        return _one_or_many(filler.fill(texts, top_k=top_k))
    return list(fill_lines(filler, texts, top_k=top_k))


def fill_lines(filler: MaskFiller, texts: Iterable[str], *, top_k: int = 5) -> Iterator[list[Any]]:
    """Like `fill`, one text after another, as they come; an error names the number of the text."""
    for number, text in enumerate(texts, start=1):
        try:
            yield _one_or_many(filler.fill(text, top_k=top_k))
        except DataError as error:
            raise DataError(f"text {number}: {error}") from error


def _one_or_many(per_mask: list[list[Candidate]]) -> list[Any]:
    return per_mask[0] if len(per_mask) == 1 else per_mask


def to_json(filled: list[Any]) -> list[Any]:
    """Candidates as plain data."""
    return [to_json(item) if isinstance(item, list) else asdict(item) for item in filled]
