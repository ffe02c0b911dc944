"""Fill gaps with spans of any length: what an encoder-decoder, or a decoder of blank infilling, would put there.

    T5-like           each mask becomes a sentinel, and the decoder tells sentinel by sentinel what it stands for
    text infilling    (BART) the decoder writes out the whole text
    mass              each mask is one token; the decoder tells the masked piece
    blank infilling   (GLM) the spans are generated behind the text, one blank after the other

Candidates are found by beam search, and sorted by their score: the mean log-probability of the tokens that were
written, those that end a span or text included.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from acclimate.errors import DataError, ModelError
from acclimate.scoring.batches import in_windows
from acclimate.scoring.beams import asked, likeliest, likeliest_each
from acclimate.scoring.gaps import GapFinder, found_or_error, texts_between
from acclimate.scoring.generator import Generator, Prompt
from acclimate.scoring.reading import TokenReader
from acclimate.tokens.added import mode_ids, sentinel_ids
from acclimate.tokens.tokenizers import text_frame

# The longest span, in tokens.
MAX_SPAN = 24
# With fewer beams greedy search is not far, and its texts are worse.
LEAST_BEAMS = 4


@dataclass(frozen=True)
class SpanCandidate:
    """One way to fill the gaps of a text.

    Attributes:
        score: mean log-probability of what was written, in nats.
        spans: what stands for each mask; None where the model wrote the rest of the text in another way (BART).
        sequence: the whole text: the user's own with the spans put in, or as the model wrote it (BART).
    """

    score: float
    spans: tuple[str, ...] | None
    sequence: str


@dataclass(frozen=True)
class _Question:
    """A text as an encoder-decoder reads it."""

    text: str
    gaps: Sequence[re.Match[str]]
    ids: Sequence[int]
    max_new_tokens: int


class _Batches(ABC):
    """A filler whose encoder-decoder is asked for several texts at a time."""

    generator: Generator

    @abstractmethod
    def _read(self, text: str) -> _Question:
        """What the model is asked of a text."""

    @abstractmethod
    def _candidates(self, question: _Question, written: Sequence[tuple[list[int], float]]) -> Iterable[SpanCandidate]:
        """What the model wrote, each with its score, put into the text."""

    def fill(self, text: str, *, top_k: int = 5) -> list[SpanCandidate]:
        """The `top_k` likeliest ways to fill the gaps of a text, best first.

        Raises:
            DataError: the text has no mask, more than T5 has sentinels, or is longer than the positions of the model.
        """
        return best(self._written(text, max(top_k, LEAST_BEAMS)), top_k)

    def greedy(self, text: str) -> SpanCandidate:
        """The filling with the likeliest token at each step; errors are those of `fill`."""
        return next(iter(self._written(text, 1)))

    def _written(self, text: str, num_beams: int) -> Iterable[SpanCandidate]:
        question = self._read(text)
        written = likeliest(self.generator, question.ids, max_new_tokens=question.max_new_tokens, num_beams=num_beams)
        return self._candidates(question, written)

    def fill_each(
        self, texts: Iterable[str], *, top_k: int = 5, batch_size: int | None = None
    ) -> Iterator[list[SpanCandidate] | DataError]:
        """`fill` for many texts, in their order; for a text that cannot be filled its error.

        Args:
            batch_size: at most so many texts at a time, each with its beams; default 8.
        """
        return in_windows(texts, lambda window: self._answers(window, top_k, batch_size))

    def _answers(
        self, texts: Sequence[str], top_k: int, batch_size: int | None
    ) -> Iterator[list[SpanCandidate] | DataError]:
        read = [found_or_error(self._asked, text) for text in texts]
        prompts = [one[1] for one in read if not isinstance(one, DataError)]
        written = iter(
            likeliest_each(self.generator, prompts, num_beams=max(top_k, LEAST_BEAMS), batch_size=batch_size)
        )
        for one in read:
            yield one if isinstance(one, DataError) else best(self._candidates(one[0], next(written)), top_k)

    def _asked(self, text: str) -> tuple[_Question, Prompt]:
        question = self._read(text)
        return question, asked(self.generator, question.ids, max_new_tokens=question.max_new_tokens)


class SentinelFiller(_Batches):
    """A T5-like model: each mask stands for the next sentinel."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
        self.generator = Generator(model, tokenizer)
        self.sentinels = sentinel_ids(tokenizer)
        if not self.sentinels:
            raise ModelError(f"{tokenizer.name_or_path} has no sentinels such as <extra_id_0> to stand for gaps")
        names = [str(tokenizer.convert_ids_to_tokens(token)).removeprefix("▁") for token in self.sentinels]
        self._first = names[0]
        self._modes = tuple(mode_ids(tokenizer).values())
        self.gaps = GapFinder(tokenizer, "<mask>", *names)

    def _read(self, text: str) -> _Question:
        gaps = self.gaps.find(text)
        if len(gaps) > len(self.sentinels):
            raise DataError(f"there are {len(gaps)} masks, and this tokenizer has {len(self.sentinels)} sentinels")
        ids, places = self.gaps.ids(text, self._first)
        for place, sentinel in zip(places, self.sentinels, strict=False):
            ids[place] = sentinel
        frame = text_frame(self.generator.tokenizer)
        # UL2 begins a text with its mode: short spans, unless the text says otherwise.
        mode = self._modes[:1] if self._modes and ids[0] not in self._modes else ()
        framed = [*frame.prefix, *mode, *ids, *frame.suffix]
        return _Question(text, gaps, framed, len(gaps) * (MAX_SPAN + 1) + 1)

    def _candidates(self, question: _Question, written: Sequence[tuple[list[int], float]]) -> Iterator[SpanCandidate]:
        parts = texts_between(question.text, question.gaps)
        for said, score in written:
            spans = filled(self.generator.reader, parts, self._spans(said, len(question.gaps)))
            yield SpanCandidate(score, *spans)

    def _spans(self, written: Sequence[int], count: int) -> list[list[int]]:
        """The ids behind each of the first sentinels; none for one that is not told."""
        spans: list[list[int]] = [[] for _ in range(count)]
        current: list[int] = []
        for token in written:
            if token in self.sentinels:
                number = self.sentinels.index(token)
                current = spans[number] if number < count else []
            elif token not in self.generator.reader.hidden:
                current.append(token)
        return spans


class TextFiller(_Batches):
    """A model of text infilling (BART): it writes out the whole text, in which a mask was a span of any length."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
        if tokenizer.mask_token is None:
            raise ModelError(f"{tokenizer.name_or_path} has no mask token, so there is nothing to fill")
        # A text's beginning, such as `<s>`, is the same for every text: it is given, and does not count.
        self.generator = Generator(model, tokenizer, decoder_prefix=text_frame(tokenizer).prefix)
        self.gaps = GapFinder(tokenizer, str(tokenizer.mask_token))

    def _read(self, text: str) -> _Question:
        gaps = self.gaps.find(text)
        ids, _ = self.gaps.ids(text, str(self.generator.tokenizer.mask_token))
        frame = text_frame(self.generator.tokenizer)
        framed = [*frame.prefix, *ids, *frame.suffix]
        return _Question(text, gaps, framed, len(ids) + len(gaps) * MAX_SPAN + 1)

    def _candidates(self, question: _Question, written: Sequence[tuple[list[int], float]]) -> Iterator[SpanCandidate]:
        parts = texts_between(question.text, question.gaps)
        for said, score in written:
            whole = self.generator.reader.alone(said)
            yield SpanCandidate(score, spans_in(whole, parts), whole)


def spans_in(whole: str, parts: Sequence[str]) -> tuple[str, ...] | None:
    """What stands between the parts of a text, in the whole; None where these are not in it as they are."""
    pattern = r"\s*(.*?)\s*".join(r"\s+".join(map(re.escape, part.split())) for part in parts)
    match = re.fullmatch(rf"\s*{pattern}\s*", whole, flags=re.DOTALL)
    return None if match is None else match.groups()


class OneByOne(ABC):
    """A filler whose model is asked for one text at a time."""

    @abstractmethod
    def fill(self, text: str, *, top_k: int = 5) -> list[SpanCandidate]:
        """As of `SentinelFiller`."""

    def fill_each(
        self, texts: Iterable[str], *, top_k: int = 5, batch_size: int | None = None
    ) -> Iterator[list[SpanCandidate] | DataError]:
        """`fill` for many texts, in their order; for a text that cannot be filled its error.

        Args:
            batch_size: as of the other fillers; here a batch is the beams of one text.
        """
        return (found_or_error(self.fill, text, top_k=top_k) for text in texts)


class PieceFiller(OneByOne):
    """A model of MASS: each mask is one token, and all of them are one piece, of which the decoder tells the tokens at
    their positions in the text."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
        if tokenizer.mask_token is None:
            raise ModelError(f"{tokenizer.name_or_path} has no mask token, so there is nothing to fill")
        self.model = model
        self.tokenizer = tokenizer
        self.gaps = GapFinder(tokenizer, str(tokenizer.mask_token))

    def fill(self, text: str, *, top_k: int = 5) -> list[SpanCandidate]:
        """As of `SentinelFiller`; the spans of the masks are one token each.

        Raises:
            DataError: there is something between the masks.
        """
        return best(self._written(text, max(top_k, LEAST_BEAMS)), top_k)

    def greedy(self, text: str) -> SpanCandidate:
        """As of `SentinelFiller`."""
        return self._written(text, 1)[0]

    def _written(self, text: str, num_beams: int) -> list[SpanCandidate]:
        gaps = self.gaps.find(text)
        parts = texts_between(text, gaps)
        if any(part.strip() for part in parts[1:-1]):
            raise DataError(
                "a model of `mass` tells one piece of a text, and there is something between the masks; write a mask "
                "for each token of one piece"
            )
        ids, places = self.gaps.ids(text, str(self.tokenizer.mask_token))
        frame = text_frame(self.tokenizer)
        # Behind the start token the decoder has a mask for each token before the piece, and one for the first of it.
        masks = [self.tokenizer.mask_token_id] * (len(frame.prefix) + places[0])
        generator = Generator(self.model, self.tokenizer, decoder_prefix=masks)
        written = likeliest(
            generator,
            [*frame.prefix, *ids, *frame.suffix],
            max_new_tokens=len(gaps),
            min_new_tokens=len(gaps),
            num_beams=num_beams,
        )
        found = []
        for said, score in written:
            _, sequence = filled(generator.reader, [parts[0], parts[-1]], [said])
            spans = tuple(generator.reader.behind(" ", [token]).strip() for token in said)
            found.append(SpanCandidate(score, spans, sequence))
        return found


def filled(reader: TokenReader, parts: Sequence[str], spans: Sequence[Sequence[int]]) -> tuple[tuple[str, ...], str]:
    """The spans as they read, and the user's own text with them put in."""
    text, read = parts[0], []
    for ids, after in zip(spans, parts[1:], strict=True):
        before = text
        text = reader.put_in(before, ids)
        read.append(text[len(before.rstrip(" ")) :].strip() if ids else "")
        text += after
    return tuple(read), text


def best(candidates: Iterable[SpanCandidate], top_k: int) -> list[SpanCandidate]:
    """The first ones, of equal texts the first."""
    found: dict[str, SpanCandidate] = {}
    for candidate in candidates:
        found.setdefault(candidate.sequence, candidate)
    return list(found.values())[:top_k]


# How encoder-decoders fill gaps, by their objective.
FILLERS: dict[str, type[SentinelFiller | TextFiller | PieceFiller]] = {
    "span_denoising": SentinelFiller,
    "text_infilling": TextFiller,
    "mass": PieceFiller,
}
