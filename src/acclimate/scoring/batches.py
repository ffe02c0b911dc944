"""Batches of texts of like length: little padding, and a memory that is bounded, whatever the lengths are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from acclimate.errors import RecipeError
from acclimate.models.families import PACKING

# Tokens of a batch, padding included. On a CPU more are no faster (see docs/decisions.md), and their activations leave
# its cache; an accelerator is not busy with so few.
MAX_TOKENS_OF_CPU = 1024
MAX_TOKENS = 16_384
# Logits of a batch, all tokens taken for targets: 1 GiB in float32. Large vocabularies get fewer tokens.
_MAX_LOGITS = 2**28
# Texts that are read, sorted and answered before the next ones are read.
WINDOW = 1024

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def check_batch_size(batch_size: int | None) -> None:
    """Refuse a batch of nothing.

    Raises:
        RecipeError: it is less than 1.
    """
    if batch_size is not None and batch_size < 1:
        raise RecipeError(f"`batch_size`: expected a number of at least 1, got {batch_size!r}")


def token_limit(model: Any) -> int:
    """How many tokens a batch may have, padding included, so that a model is fast and its logits take 1 GiB at most."""
    most = MAX_TOKENS_OF_CPU if next(model.parameters()).device.type == "cpu" else MAX_TOKENS
    vocabulary = getattr(getattr(model, "config", None), "vocab_size", None)
    return max(1, min(most, _MAX_LOGITS // (vocabulary or 1)))


def one_length_only(model: Any) -> bool:
    """Whether batches are of texts of one length: where padding may change what a model says of a text.

    ConvBERT and Funnel see padding, FNet has no mask, MobileBERT's last token is embedded with what stands behind it;
    of a type that was never tried nobody knows. Encoder-decoders mask it in cross-attention.
    """
    config = getattr(model, "config", None)
    return config is not None and not config.is_encoder_decoder and config.model_type not in PACKING


def batches_by_length(
    lengths: Sequence[int],
    *,
    max_tokens: int,
    max_rows: int | None = None,
    one_length: bool = False,
) -> list[list[int]]:
    """Indices of rows in batches, the longest rows first, each row in one batch.

    Args:
        lengths: tokens of each row.
        max_tokens: rows times the longest of them, for a batch of more than one row.
        max_rows: of a batch; default as many as `max_tokens` allows.
        one_length: no row of a batch is padded.

    Returns:
        The batches; within one, rows of one length have the order in which they came.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    batches: list[list[int]] = []
    longest = 0
    for index in np.argsort(-sizes, kind="stable").tolist():
        length = int(sizes[index])
        full = not batches or (len(batches[-1]) + 1) * longest > max_tokens or len(batches[-1]) == max_rows
        if full or (one_length and length != longest):
            batches.append([])
            longest = length
        batches[-1].append(index)
    return batches


def in_windows(items: Iterable[Item], answer: Callable[[list[Item]], Iterable[Answer]]) -> Iterator[Answer]:
    """What `answer` makes of each `WINDOW` items, one after the other: an endless iterator is answered as it comes."""
    iterator = iter(items)
    while window := list(islice(iterator, WINDOW)):
        yield from answer(window)
