"""What an objective must know of a tokenizer and of the model's start token: plain data that travels to workers."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from acclimate.tokens.added import blank_ids, mode_ids, sentinel_ids
from acclimate.tokens.tokenizers import Frame, text_frame


@dataclass(frozen=True)
class Vocabulary:
    """What an objective must know of a tokenizer.

    Attributes:
        size: number of ids.
        special: [size] bool; control tokens, which are never chosen, predicted or produced.
        regular_ids: the ids that are not special.
        pad_id, mask_id, eos_id, sep_id: None where the tokenizer has none.
        frame: what the tokenizer puts before and after one text.
        sentinels: ids of T5's sentinels, the first one first; empty where there are none.
        blank_ids: what begins and ends a blank that is filled in (GLM); None where there are none.
        mode_ids: UL2's mode tokens by letter: "R", "S", "X"; empty where there are none.
        decoder_start_id: what a decoder's input begins with in an encoder-decoder; None for other models.
    """

    size: int
    special: NDArray[np.bool_]
    regular_ids: NDArray[np.int64]
    pad_id: int | None
    mask_id: int | None
    frame: Frame
    eos_id: int | None = None
    sep_id: int | None = None
    sentinels: tuple[int, ...] = ()
    decoder_start_id: int | None = None
    blank_ids: tuple[int, int] | None = None
    mode_ids: Mapping[str, int] = field(default_factory=dict)

    @functools.cached_property
    def text_ids(self) -> NDArray[np.bool_]:
        """[size] bool; the ids that say a text in full: regular ones, and those that end or join texts."""
        joins = [token for token in (self.eos_id, self.sep_id) if token is not None]
        found: NDArray[np.bool_] = ~self.special
        found[joins] = True
        return found

    def random_ids(self, draws: NDArray[np.float64]) -> NDArray[np.int64]:
        """The regular ids that uniform numbers from [0, 1) stand for; each is as likely as any other."""
        return self.regular_ids[(draws * len(self.regular_ids)).astype(np.int64)]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, *, decoder_start_id: int | None = None) -> Vocabulary:
        size = len(tokenizer)
        special = np.zeros(size, dtype=bool)
        special[[i for i in tokenizer.all_special_ids if i < size]] = True
        special[[i for i, token in tokenizer.added_tokens_decoder.items() if token.special]] = True
        sentinels = sentinel_ids(tokenizer)
        special[list(sentinels)] = True
        return cls(
            size=size,
            special=special,
            regular_ids=np.flatnonzero(~special),
            pad_id=tokenizer.pad_token_id,
            mask_id=tokenizer.mask_token_id,
            frame=text_frame(tokenizer),
            eos_id=tokenizer.eos_token_id,
            sep_id=tokenizer.sep_token_id,
            sentinels=sentinels,
            decoder_start_id=decoder_start_id,
            blank_ids=blank_ids(tokenizer),
            mode_ids=mode_ids(tokenizer),
        )
