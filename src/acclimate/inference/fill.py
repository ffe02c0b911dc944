"""Fill masks: what a language model would put in the gaps of a text.

Masked language models and decoders of `mntp` tell one token for each mask (`scoring/masks.py`). Encoder-decoders and
decoders of blank infilling tell spans of any length (`scoring/spans.py`, `scoring/blanks.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from acclimate.errors import DataError, ModelError, RecipeError
from acclimate.models.directed import load_directed, run_objective, way_of_seeing
from acclimate.models.families import family
from acclimate.models.loading import load_model, model_config
from acclimate.models.settings import ModelSettings
from acclimate.objectives import own_objective
from acclimate.scoring.batches import check_batch_size
from acclimate.scoring.blanks import BlankFiller
from acclimate.scoring.masks import Candidate, MaskFiller
from acclimate.scoring.spans import FILLERS, PieceFiller, SentinelFiller, SpanCandidate, TextFiller
from acclimate.scoring.texts import on_best_device
from acclimate.tokens.tokenizers import load_tokenizer

Filler = MaskFiller | SentinelFiller | TextFiller | PieceFiller | BlankFiller


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
    return FILLERS[objective](on_best_device(loaded), tokenizer)


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
    model: str | Path | Filler,
    texts: str | Iterable[str],
    *,
    top_k: int = 5,
    batch_size: int | None = None,
    strict: bool = True,
) -> list[list[Candidate]] | list[list[list[Candidate]]] | list[Any]:
    """Fill the masks of one text or of several.

    Args:
        model: a run, a folder, a hub id, or what `load_filler` gave.
        texts: each with one mask or more, written `[MASK]`, `<mask>` or as the tokenizer writes it.
        top_k: candidates per mask; of models that tell spans, per text.
        batch_size: at most so many texts at a time; default by their length.
        strict: refuse a text that cannot be filled, such as one without a mask; otherwise its entry is None.

    Returns:
        For each text the list of candidates, best first; for a text of several masks, a list of such lists. Models that
        tell spans fill all masks of a text at once: for each text a list of `SpanCandidate`. For a single string, just
        its own.

    Raises:
        DataError: a text has no mask, or is too long; where there are several, its number is told.
    """
    filler = load_filler(model) if isinstance(model, (str, Path)) else model
    if isinstance(texts, str):
        _check(top_k, batch_size)
        return _one_or_many(filler.fill(texts, top_k=top_k))
    found = fill_each(filler, texts, top_k=top_k, batch_size=batch_size)
    return list(_raising(found) if strict else (None if isinstance(one, DataError) else one for one in found))


def fill_each(
    filler: Filler, texts: Iterable[str], *, top_k: int = 5, batch_size: int | None = None
) -> Iterator[list[Any] | DataError]:
    """Like `fill`, as the texts come: some thousand are read, filled in batches of like length, and given in their
    order. A text that cannot be filled gives its error."""
    _check(top_k, batch_size)
    for found in filler.fill_each(texts, top_k=top_k, batch_size=batch_size):
        yield found if isinstance(found, DataError) else _one_or_many(found)


def fill_blanks(model: Any, tokenizer: PreTrainedTokenizerBase, text: str, *, top_k: int = 5) -> list[SpanCandidate]:
    """What a decoder of blank infilling puts in the place of a text's masks.

    Args:
        model: what `acclimate.load_directed` gave for a run of `prefix_lm` with `variant: blank_infilling`.
        tokenizer: of the run.
        text: with one mask or more, written `[MASK]`, `<mask>` or as the tokenizer writes it; each becomes one token or
            more, 24 at most.
        top_k: how many candidates.

    Returns:
        The candidates, best first.

    Raises:
        DataError: the text has no mask, or is longer than the model's positions.
        ModelError: the tokenizer lacks the tokens of blank infilling.
    """
    if top_k < 1:
        raise RecipeError(f"`top_k`: expected a number of at least 1, got {top_k!r}")
    return BlankFiller(model, tokenizer).fill(text, top_k=top_k)


def _check(top_k: int, batch_size: int | None) -> None:
    if top_k < 1:
        raise RecipeError(f"`top_k`: expected a number of at least 1, got {top_k!r}")
    check_batch_size(batch_size)


def _raising(answers: Iterable[list[Any] | DataError]) -> Iterator[list[Any]]:
    for number, found in enumerate(answers, start=1):
        if isinstance(found, DataError):
            raise DataError(f"text {number}: {found}") from found
        yield found


def _one_or_many(found: list[list[Candidate]] | list[SpanCandidate]) -> list[Any]:
    return found[0] if len(found) == 1 and isinstance(found[0], list) else found


def to_json(filled: list[Any]) -> list[Any]:
    """Candidates as plain data; None stays None."""
    return [to_json(item) if isinstance(item, list) else item and asdict(item) for item in filled]
