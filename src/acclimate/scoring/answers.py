"""What a model puts in the blanks of a text, and what it thinks of the answer that is expected there.

An answer is told by the tokens that it has in its text, with its neighbours: the text is encoded with the answer put
in, and the tokens that stand for it are the ones to be said. So a word that begins with its blank, or joins the one
before it, is asked as it is written. How it is asked depends on how a model was trained:

    MaskedAsker         all tokens of all blanks masked at once: masked language models, and decoders of `mntp`
    LeftToRightAsker    by what stands before the blank: decoders that read from left to right, or see a prompt whole
    SpanAsker           by whatever stands for a gap in training, told by beam search: encoder-decoders, blank infilling
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import PreTrainedTokenizerBase

from acclimate.errors import DataError
from acclimate.models.directed import sees_prefixes
from acclimate.models.families import position_limit
from acclimate.models.sparse_head import predict_at_positions
from acclimate.scoring.masks import logits_at
from acclimate.scoring.reading import TokenReader
from acclimate.scoring.spans import SpanCandidate
from acclimate.tokens.tokenizers import text_frame

# How a blank is written in a text that is asked here.
BLANK = "[MASK]"
NUM_GUESSES = 5
# More are looked for than are told, since some say the same of a blank.
_BEAMS = 8


@dataclass(frozen=True)
class Answer:
    """What a model says of a blank.

    Attributes:
        guesses: the likeliest fillings with their probabilities, best first.
        rank: of what is expected, from 1; None where nothing is, or the tokenizer has no tokens for it.
        probability: of what is expected; None likewise.
    """

    guesses: tuple[tuple[str, float], ...]
    rank: int | None = None
    probability: float | None = None


class Asker(Protocol):
    """A model that can be asked."""

    def ask(self, text: str, expected: Sequence[str | None]) -> list[Answer]:
        """An answer for each `BLANK` of a text, in their order.

        Args:
            expected: for each blank what should stand there, if that is known.

        Raises:
            DataError: the text is too long, or cannot be asked in the model's way.
        """
        ...


@dataclass(frozen=True)
class _Encoded:
    """A text with its blanks filled where that is known.

    Attributes:
        ids: unframed, or framed as the tokenizer does it.
        blanks: for each blank the places of its tokens in them; a mask where nothing is expected.
    """

    ids: list[int]
    blanks: list[list[int]]


def encode_filled(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    expected: Sequence[str | None],
    *,
    mask: str,
    framed: bool,
    joined: bool = False,
) -> _Encoded:
    """Encode a text with its answers put in, and find the tokens that stand for them.

    Args:
        mask: stands for a blank of which nothing is expected.
        framed: with the tokenizer's special tokens around it.
        joined: a mask takes the blank before it, which belongs to the word that is missing.

    Raises:
        DataError: the tokenizer does not tell which characters a token stands for, or has no token for a blank.
    """
    if not tokenizer.is_fast:
        raise DataError("this tokenizer does not tell which characters a token stands for; use its fast version")
    parts = text.split(BLANK)
    spans, filled = [], parts[0]
    for answer, after in zip(expected, parts[1:], strict=True):
        said = mask if answer is None else answer
        filled = filled.rstrip(" ") if joined and answer is None else filled
        spans.append((len(filled), len(filled) + len(said)))
        filled += said + after
    encoded = tokenizer(filled, add_special_tokens=framed, return_offsets_mapping=True, verbose=False)
    offsets = encoded["offset_mapping"]
    blanks = [
        [place for place, (first, last) in enumerate(offsets) if first < end and last > start] for start, end in spans
    ]
    for answer, places in zip(expected, blanks, strict=True):
        if not places:
            raise DataError(f"this tokenizer has no token for {answer!r} in {filled!r}")
    return _Encoded(list(encoded["input_ids"]), blanks)


class _TokenAsker:
    """What askers of single tokens share."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
        predict_at_positions(model)
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.reader = TokenReader(tokenizer, int(model.get_input_embeddings().weight.shape[0]))
        self._limit = position_limit(model.config)

    def _check_length(self, ids: Sequence[int]) -> None:
        if self._limit is not None and len(ids) > self._limit:
            raise DataError(f"a text of {len(ids)} tokens is longer than the model's {self._limit} positions")

    def _logits(self, ids: Sequence[int], positions: Sequence[int], **options: Any) -> torch.Tensor:
        """[N, V] log-probabilities at some positions of a text."""
        device = self.model.device
        inputs = {"input_ids": torch.tensor([list(ids)], device=device), **options}
        with torch.inference_mode():
            logits_NV = logits_at(self.model, inputs, torch.tensor(positions, device=device))
            said_NV = logits_NV.float().log_softmax(-1)
        if bool(said_NV.isnan().any()):
            raise DataError("the model's answer is no number (NaN): its training diverged")
        return said_NV

    def _answer(self, said_KV: torch.Tensor, targets: Sequence[int] | None, guessed_KV: torch.Tensor) -> Answer:
        guesses = [
            (self._read(ids), math.exp(log_probability)) for ids, log_probability in likeliest_together(guessed_KV)
        ]
        if targets is None or self.tokenizer.unk_token_id in targets:
            return Answer(tuple(guesses))
        own_K1 = said_KV.gather(1, torch.tensor(targets, device=said_KV.device)[:, None])
        ranks_K = (said_KV > own_K1).sum(1) + 1
        return Answer(tuple(guesses), int(ranks_K.max()), math.exp(float(own_K1.sum())))

    def _read(self, ids: Sequence[int]) -> str:
        """Some tokens as people read them; special ones by their names."""
        shown = self.reader.alone(ids).strip()
        return shown or " ".join(map(str, self.tokenizer.convert_ids_to_tokens(list(ids))))


def likeliest_together(log_probabilities_KV: torch.Tensor, count: int = NUM_GUESSES) -> list[tuple[list[int], float]]:
    """The likeliest sequences of K tokens that are chosen independently, each with its log-probability."""
    found: list[tuple[list[int], float]] = [([], 0.0)]
    best = log_probabilities_KV.topk(min(count, log_probabilities_KV.shape[1]), dim=1)
    for values, tokens in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        longer = (
            ([*ids, token], total + value)
            for (ids, total), (token, value) in itertools.product(found, zip(tokens, values, strict=True))
        )
        found = heapq.nlargest(count, longer, key=lambda pair: pair[1])
    return found


class MaskedAsker(_TokenAsker):
    """A masked language model, or a decoder of `mntp`: all tokens of all blanks are masked at once."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, *, from_before: bool = False) -> None:
        """
        Args:
            from_before: whether a token is told at the position before it, and texts have no end token (`mntp`).

        Raises:
            DataError: the tokenizer has no mask token.
        """
        super().__init__(model, tokenizer)
        if tokenizer.mask_token is None:
            raise DataError(f"{tokenizer.name_or_path} has no mask token, so there is nothing to fill")
        self.from_before = from_before

    def ask(self, text: str, expected: Sequence[str | None]) -> list[Answer]:
        """As of `Asker`: by as many masks as what is expected has tokens, by one where nothing is. The probability of
        what is expected is the product over its tokens, its rank that of the least expected one."""
        mask = str(self.tokenizer.mask_token)
        encoded = encode_filled(
            self.tokenizer, text, expected, mask=mask, framed=not self.from_before, joined=self.from_before
        )
        prefix = text_frame(self.tokenizer).prefix if self.from_before else ()
        ids = [*prefix, *encoded.ids]
        self._check_length(ids)
        places = [[len(prefix) + place for place in blank] for blank in encoded.blanks]
        targets = [[ids[place] for place in blank] for blank in places]
        for place in itertools.chain.from_iterable(places):
            ids[place] = int(self.tokenizer.mask_token_id)
        asked = [place - self.from_before for blank in places for place in blank]
        if min(asked) < 0:
            raise DataError(f"{text!r} begins with a blank, and this model tells a token from the position before it")
        said_NV = self._logits(ids, asked)
        pieces = said_NV.split_with_sizes([len(blank) for blank in places])
        return [
            self._answer(said_KV, None if answer is None else told, said_KV)
            for said_KV, told, answer in zip(pieces, targets, expected, strict=True)
        ]


class LeftToRightAsker(_TokenAsker):
    """A decoder: each blank by what stands before it, which is read as a beginning; what stands behind is not seen."""

    def ask(self, text: str, expected: Sequence[str | None]) -> list[Answer]:
        """As of `Asker`. Guesses are of the next token. The probability of what is expected is the product over its
        tokens, each after the ones before it; the rank that of the least expected one."""
        parts = text.split(BLANK)
        answers, before = [], parts[0]
        for number, answer in enumerate(expected):
            answers.append(self._ask(before, answer))
            if answer is None and number + 1 < len(expected):
                raise DataError(
                    f"{text!r} has a blank behind one whose answer is not given, and this model reads from left to "
                    "right; give the answer, or a text with one blank"
                )
            before += (answer or "") + parts[number + 1]
        return answers

    def _ask(self, before: str, answer: str | None) -> Answer:
        prefix = list(text_frame(self.tokenizer).prefix)
        if answer is None:
            told = self.tokenizer(before.rstrip(" "), add_special_tokens=False, verbose=False)["input_ids"]
            prompt, targets = [*prefix, *told], []
        else:
            encoded = encode_filled(self.tokenizer, before + BLANK, [answer], mask="", framed=False)
            first = encoded.blanks[0][0]
            prompt, targets = [*prefix, *encoded.ids[:first]], encoded.ids[first:]
        if not prompt:
            raise DataError("nothing stands before the blank, not even a beginning token; write something before it")
        ids = [*prompt, *targets[:-1]]
        self._check_length(ids)
        options = {"prefix_length": len(prompt)} if sees_prefixes(self.model) else {}
        asked = range(len(prompt) - 1, len(ids))
        said_KV = self._logits(ids, list(asked), **options)
        return self._answer(said_KV, targets or None, said_KV[:1])


class _Filler(Protocol):
    def fill(self, text: str, *, top_k: int = 5) -> list[SpanCandidate]: ...


class SpanAsker:
    """A model that tells spans of any length, by beam search."""

    def __init__(self, filler: _Filler) -> None:
        self.filler = filler

    def ask(self, text: str, expected: Sequence[str | None]) -> list[Answer]:
        """As of `Asker`. Probabilities are the geometric mean over the tokens that were written, of all blanks; what is
        expected has a rank and a probability where it is among the guesses."""
        candidates = self.filler.fill(text, top_k=_BEAMS)
        return [_of_spans(candidates, number, answer) for number, answer in enumerate(expected)]


def _of_spans(candidates: Sequence[SpanCandidate], number: int, expected: str | None) -> Answer:
    found: dict[str, float] = {}
    for candidate in candidates:  # best first
        if candidate.spans is not None:
            found.setdefault(candidate.spans[number].strip(), math.exp(candidate.score))
    guesses = tuple(found.items())[:NUM_GUESSES]
    rank = next((place for place, (text, _) in enumerate(guesses, start=1) if text == expected), None)
    return Answer(guesses, rank, None if rank is None else guesses[rank - 1][1])
