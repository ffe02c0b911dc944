"""Fill masks: the tokens that a masked language model, or a decoder of `mntp`, would put in the gaps of a text.

They are what `pipeline("fill-mask")` gives, except that `sequence` is the user's own text with the token put in,
instead of the decoded ids: letters keep their case, and no blanks come between Chinese characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from acclimate.errors import DataError, ModelError
from acclimate.models.families import position_limit
from acclimate.models.sparse_head import predict_at_positions
from acclimate.objectives.base import pad
from acclimate.objectives.predictions import takes_head_positions
from acclimate.scoring.batches import batches_by_length, in_windows, one_length_only, token_limit
from acclimate.scoring.gaps import GapFinder, found_or_error
from acclimate.scoring.reading import TokenReader
from acclimate.tokens.tokenizers import text_frame


@dataclass(frozen=True)
class Candidate:
    """One token for a gap: its probability, id, text, and the whole text with it put in."""

    score: float
    token: int
    token_str: str
    sequence: str


@dataclass(frozen=True)
class _Question:
    """A text as the model reads it.

    Attributes:
        inputs: of the model's forward, by name, [L] each.
        positions: where in them what the model says of each gap stands.
    """

    text: str
    gaps: Sequence[re.Match[str]]
    inputs: Mapping[str, NDArray[np.int64]]
    positions: Sequence[int]

    def __len__(self) -> int:
        return len(self.inputs["input_ids"])


def token_logits(output: Any) -> torch.Tensor:
    """A model's logits over its vocabulary; a head that tells more than tokens has them by another name."""
    logits: torch.Tensor = output.logits if hasattr(output, "logits") else output.prediction_logits
    return logits


def logits_at(model: Any, inputs: Mapping[str, torch.Tensor], positions_N: torch.Tensor) -> torch.Tensor:
    """[N, V] what a model says at some positions, counted along the rows of its inputs [B, L] one after the other."""
    if takes_head_positions(model):
        logits_NV: torch.Tensor = token_logits(model(**inputs, head_positions=positions_N))[0]
        return logits_NV
    logits_NV = token_logits(model(**inputs)).flatten(0, 1)[positions_N]
    return logits_NV


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
        predict_at_positions(model)
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.from_before = from_before
        self.mask = str(tokenizer.mask_token)
        self.gaps = GapFinder(tokenizer, self.mask)
        self.reader = TokenReader(tokenizer, int(model.get_input_embeddings().weight.shape[0]))
        self._limit = position_limit(model.config)
        self._prefix = text_frame(tokenizer).prefix if from_before else ()
        self._padding = {"input_ids": tokenizer.pad_token_id or 0, "token_type_ids": tokenizer.pad_token_type_id}
        self._words: dict[int, tuple[str, str]] = {}

    def fill(self, text: str, *, top_k: int = 5) -> list[list[Candidate]]:
        """The `top_k` likeliest tokens for each mask of a text, best first.

        Raises:
            DataError: the text has no mask, or is longer than the model's positions; of `mntp`, nothing stands before
                its first mask, not even a beginning token.
        """
        (found,) = self.fill_each([text], top_k=top_k)
        if isinstance(found, DataError):
            raise found
        return found

    def fill_each(
        self, texts: Iterable[str], *, top_k: int = 5, batch_size: int | None = None
    ) -> Iterator[list[list[Candidate]] | DataError]:
        """Like `fill` for many texts, in their order and in batches of like length; for a text that cannot be filled
        its error.

        Args:
            batch_size: at most so many texts in a batch.
        """
        return in_windows(texts, lambda window: self._answers(window, top_k, batch_size))

    def _answers(
        self, texts: Sequence[str], top_k: int, batch_size: int | None
    ) -> list[list[list[Candidate]] | DataError]:
        read = self._read(texts)
        answers: list[list[list[Candidate]] | DataError] = [one if isinstance(one, DataError) else [] for one in read]
        asked = [(number, one) for number, one in enumerate(read) if isinstance(one, _Question)]
        for batch in batches_by_length(
            [len(question) for _, question in asked],
            max_tokens=token_limit(self.model),
            max_rows=batch_size,
            one_length=one_length_only(self.model),
        ):
            numbers, questions = zip(*(asked[index] for index in batch), strict=True)
            for number, found in zip(numbers, self._ask(questions, top_k), strict=True):
                answers[number] = found
        return answers

    # ---- texts to inputs ---------------------------------------------------------------------------------------

    def _read(self, texts: Sequence[str]) -> list[_Question | DataError]:
        gaps = [found_or_error(self.gaps.find, text) for text in texts]
        filled = [text for text, found in zip(texts, gaps, strict=True) if not isinstance(found, DataError)]
        inputs = iter(self._inputs(filled))
        return [
            found if isinstance(found, DataError) else found_or_error(self._question, text, found, next(inputs))
            for text, found in zip(texts, gaps, strict=True)
        ]

    def _inputs(self, texts: Sequence[str]) -> list[dict[str, list[int]]]:
        """What the model gets for each text, tokenized all at once."""
        if not texts:
            return []
        if self.from_before:
            joined = [self.gaps.joined(text, self.mask) for text in texts]
            encoded = self.tokenizer(joined, add_special_tokens=False, verbose=False)
            return [_with_mask({"input_ids": [*self._prefix, *ids]}) for ids in encoded["input_ids"]]
        encoded = self.tokenizer([self.gaps.marked(text, self.mask) for text in texts], verbose=False)
        rows = [{name: values[row] for name, values in encoded.items()} for row in range(len(texts))]
        # A type without mask gets no padding either.
        return rows if one_length_only(self.model) else [_with_mask(row) for row in rows]

    def _question(self, text: str, gaps: Sequence[re.Match[str]], inputs: dict[str, list[int]]) -> _Question:
        ids = inputs["input_ids"]
        places = self.gaps.places(text, ids, self.mask)
        if self._limit is not None and len(ids) > self._limit:
            raise DataError(
                f"a text of {len(ids)} tokens is longer than the model's {self._limit} positions: {text[:60]!r}…"
            )
        arrays = {name: np.array(values, dtype=np.int64) for name, values in inputs.items()}
        if not self.from_before:
            return _Question(text, gaps, arrays, places)
        if places[0] == 0:
            raise DataError(
                f"{text!r} begins with a mask, and this model tells a token from the position before it, where there "
                "is none; write something before it"
            )
        return _Question(text, gaps, arrays, [place - 1 for place in places])

    # ---- inputs to candidates ----------------------------------------------------------------------------------

    def _ask(self, questions: Sequence[_Question], top_k: int) -> Iterator[list[list[Candidate]]]:
        """The candidates for a batch of texts."""
        length = max(map(len, questions))
        device = self.model.device
        inputs = {
            name: pad([question.inputs[name] for question in questions], self._padding.get(name, 0)).to(device)
            for name in questions[0].inputs
        }
        positions = [
            row * length + position for row, question in enumerate(questions) for position in question.positions
        ]
        with torch.inference_mode():
            logits_NV = logits_at(self.model, inputs, torch.tensor(positions, device=device)).float()
            best = logits_NV.topk(min(top_k, logits_NV.shape[1]))
            scores = (best.values - logits_NV.logsumexp(-1, keepdim=True)).exp().tolist()
        said = zip(scores, best.indices.tolist(), strict=True)
        for question in questions:
            yield [self._candidates(question.text, gap, *next(said)) for gap in question.gaps]

    def _candidates(
        self, text: str, gap: re.Match[str], scores: Sequence[float], tokens: Sequence[int]
    ) -> list[Candidate]:
        before, after = text[: gap.start()], text[gap.end() :]
        return [
            Candidate(score, token, self._word(token)[0], self._put_in(before, token) + after)
            for score, token in zip(scores, tokens, strict=True)
        ]

    def _word(self, token: int) -> tuple[str, str]:
        """A token as it is decoded, and as the vocabulary has it."""
        if token not in self._words:
            self._words[token] = self.tokenizer.decode([token]), self.tokenizer.convert_ids_to_tokens(token) or ""
        return self._words[token]

    def _put_in(self, before: str, token: int) -> str:
        """A text with a token at its end: a piece that continues a word joins the word before it."""
        if self.from_before:
            return self.reader.put_in(before, [token])
        word, piece = self._word(token)
        if piece.startswith("##"):
            return before.rstrip() + piece[2:]
        if word.startswith(" ") and (not before or before[-1].isspace()):
            word = word[1:]
        return before + word


def _with_mask(inputs: dict[str, list[int]]) -> dict[str, list[int]]:
    return {"attention_mask": [1] * len(inputs["input_ids"]), **inputs}
