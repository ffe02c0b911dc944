"""Fill gaps with spans: a decoder of blank infilling (GLM) generates behind the text what its masks stand for.

Candidates are found by beam search over what stands behind the text; scores are those of `spans.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from acclimate.errors import DataError, ModelError
from acclimate.models.families import position_limit
from acclimate.scoring.gaps import GapFinder, texts_between
from acclimate.scoring.reading import TokenReader
from acclimate.scoring.spans import LEAST_BEAMS, MAX_SPAN, OneByOne, SpanCandidate, best, filled
from acclimate.tokens.added import blank_ids
from acclimate.tokens.tokenizers import text_frame


class BlankFiller(OneByOne):
    """A decoder of blank infilling: it generates behind the text what its masks stand for, in their order."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
        """
        Args:
            model: what `acclimate.load_directed` gave.

        Raises:
            ModelError: the tokenizer lacks a mask, or the tokens for the start and end of a blank.
        """
        blanks = blank_ids(tokenizer)
        if tokenizer.mask_token is None or blanks is None:
            raise ModelError("blank infilling needs a mask token and tokens for the start and end of a blank")
        self.model = model
        self.tokenizer = tokenizer
        self._start_id, self._end_id = blanks
        self.reader = TokenReader(tokenizer, int(model.get_input_embeddings().weight.shape[0]))
        self.gaps = GapFinder(tokenizer, str(tokenizer.mask_token))

    def fill(self, text: str, *, top_k: int = 5) -> list[SpanCandidate]:
        """As of `SentinelFiller`."""
        return best(self._written(text, max(top_k, LEAST_BEAMS)), top_k)

    def greedy(self, text: str) -> SpanCandidate:
        """As of `SentinelFiller`."""
        return self._written(text, 1)[0]

    def _written(self, text: str, num_beams: int) -> list[SpanCandidate]:
        gaps = self.gaps.find(text)
        ids, places = self.gaps.ids(text, str(self.tokenizer.mask_token))
        prefix = text_frame(self.tokenizer).prefix
        limit = position_limit(self.model.config)
        if limit is not None and len(prefix) + len(ids) > limit:
            raise DataError(f"a text of {len(prefix) + len(ids)} tokens is longer than the model's {limit} positions")
        part_a = [*prefix, *ids]
        found = self._search(part_a, [place + len(prefix) for place in places], num_beams)
        parts = texts_between(text, gaps)
        return [SpanCandidate(beam.score, *filled(self.reader, parts, beam.spans)) for beam in found]

    @torch.inference_mode()
    def _search(self, part_a: Sequence[int], positions: Sequence[int], num_beams: int) -> list[_Beam]:
        """Beam search over part B, whose tokens have the positions of their blanks. The end of a blank is told, and is
        no input: behind it stands the start of the next."""
        device = self.model.device
        past = self.model(torch.tensor([part_a], device=device), use_cache=True).past_key_values
        beams = [_Beam(((),), 0.0, 0)]
        finished: list[_Beam] = []
        while beams and len(finished) < num_beams:
            tokens = [[beam.spans[-1][-1] if beam.spans[-1] else self._start_id] for beam in beams]
            at = [[positions[len(beam.spans) - 1]] for beam in beams]
            logits_BV = self.model(
                torch.tensor(tokens, device=device),
                position_ids=torch.tensor(at, device=device),
                past_key_values=past,
                use_cache=True,
            ).logits[:, -1]
            log_probabilities_BV = self._allowed(logits_BV.float().log_softmax(-1), beams)
            totals = torch.tensor([[beam.total] for beam in beams], device=device) + log_probabilities_BV
            likeliest = totals.flatten().topk(min(2 * num_beams, totals.numel()))
            chosen: list[tuple[int, _Beam]] = []
            for total, index in zip(likeliest.values.tolist(), likeliest.indices.tolist(), strict=True):
                row, token = divmod(index, totals.shape[1])
                if total == -float("inf") or len(chosen) == num_beams:
                    break
                beam = beams[row].with_token(token, total, ends=token == self._end_id)
                if len(beam.spans) > len(positions):
                    finished.append(_Beam(beam.spans[:-1], beam.total, beam.count))
                else:
                    chosen.append((row, beam))
            beams = [beam for _, beam in chosen]
            if beams:
                past.reorder_cache(torch.tensor([row for row, _ in chosen], device=device))
        return sorted(finished, key=lambda beam: -beam.score)

    def _allowed(self, log_probabilities_BV: torch.Tensor, beams: Sequence[_Beam]) -> torch.Tensor:
        """No special token but the end, which comes neither first nor later than `MAX_SPAN` tokens."""
        allowed = log_probabilities_BV.clone()
        ends = allowed[:, self._end_id].clone()
        known = [token for token in self.reader.hidden if token < allowed.shape[1]]
        allowed[:, known] = -float("inf")
        allowed[:, len(self.tokenizer) :] = -float("inf")
        for row, beam in enumerate(beams):
            length = len(beam.spans[-1])
            if length >= MAX_SPAN:
                allowed[row] = -float("inf")
            if length > 0:
                allowed[row, self._end_id] = ends[row]
        return allowed


@dataclass(frozen=True)
class _Beam:
    """Part B so far: the ids of each blank, the last one under way; log-probability and number of what was told."""

    spans: tuple[tuple[int, ...], ...]
    total: float
    count: int

    @property
    def score(self) -> float:
        return self.total / max(self.count, 1)

    def with_token(self, token: int, total: float, *, ends: bool) -> _Beam:
        spans = (*self.spans, ()) if ends else (*self.spans[:-1], (*self.spans[-1], token))
        return _Beam(spans, total, self.count + 1)
