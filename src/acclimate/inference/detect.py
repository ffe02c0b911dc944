"""Detect: which tokens of a text a discriminator (ELECTRA, Clark et al. 2020) takes for replaced.

A text longer than the model's positions is judged in windows that overlap by half. A token that is in two of them is
taken from the one where it has more context: the one whose edge is farther from it. The text's own beginning and end
are no edges, since there is nothing beyond them.

Everything that is said is said of the user's own text, by places in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from acclimate.errors import DataError, ModelError
from acclimate.models.families import family, position_limit
from acclimate.models.loading import load_model, model_config
from acclimate.models.settings import ModelSettings
from acclimate.objectives.base import pad
from acclimate.scoring.batches import batches_by_length, check_batch_size, in_windows, one_length_only, token_limit
from acclimate.scoring.texts import as_list, check_some, check_text, name_of, on_best_device
from acclimate.tokens.sentences import sentence_starts
from acclimate.tokens.tokenizers import load_tokenizer, plain_backend, text_frame

# Where a model's positions are not limited.
_LENGTH = 512


@dataclass(frozen=True)
class JudgedToken:
    """A token: where it stands in the text, without blanks, and the probability that it was replaced."""

    text: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True)
class JudgedSentence:
    """A sentence and its tokens together.

    Attributes:
        text, start, end: where it stands in the text, without the blanks behind it.
        num_tokens: how many tokens it has.
        share: of its tokens that reach the threshold.
        max_probability: the largest probability of a token.
    """

    text: str
    start: int
    end: int
    num_tokens: int
    share: float
    max_probability: float


@dataclass(frozen=True)
class Detection:
    """What a discriminator says of a text.

    Attributes:
        text: as it was given.
        threshold: from which probability on a token counts as replaced.
        tokens: all of them, in order.
        sentences: those that have tokens.
    """

    text: str
    threshold: float
    tokens: tuple[JudgedToken, ...]
    sentences: tuple[JudgedSentence, ...]

    @property
    def marks(self) -> list[tuple[int, int]]:
        """The stretches of the text that count as replaced; tokens that touch each other are one."""
        found: list[tuple[int, int]] = []
        for token in self.tokens:
            if token.probability < self.threshold or token.start == token.end:
                continue
            if found and token.start <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], token.end))
            else:
                found.append((token.start, token.end))
        return found

    def marked(self, before: str = "[[", after: str = "]]") -> str:
        """The text with marks around what counts as replaced."""
        pieces, place = [], 0
        for start, end in self.marks:
            pieces += [self.text[place:start], before, self.text[start:end], after]
            place = end
        return "".join([*pieces, self.text[place:]])


class Detector:
    """A discriminator ready to judge texts."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
        """
        Raises:
            ModelError: the tokenizer does not tell where tokens stand in a text.
        """
        if not tokenizer.is_fast:
            raise ModelError(
                f"the tokenizer {tokenizer.name_or_path} is a slow one, which does not tell where tokens stand in a "
                "text; save it as a tokenizer.json"
            )
        self.model = on_best_device(model)
        self.tokenizer = tokenizer
        self.max_length = position_limit(model.config) or _LENGTH
        self._backend = plain_backend(tokenizer)
        self._frame = text_frame(tokenizer)

    def detect(
        self, text: str, *, threshold: float = 0.5, batch_size: int | None = None, name: str = "the text"
    ) -> Detection:
        """Judge every token of a text.

        Args:
            threshold: from which probability on a token counts as replaced.
            batch_size: at most so many windows at a time; default by their length.
            name: how the text is called in errors.

        Raises:
            DataError: the text is empty.
        """
        (found,) = self.detect_each([(name, text)], threshold=threshold, batch_size=batch_size)
        return found

    def detect_each(
        self, named: Iterable[tuple[str, str]], *, threshold: float = 0.5, batch_size: int | None = None
    ) -> Iterator[Detection]:
        """Like `detect` for many texts, each behind its name, in their order; windows of like length share a batch."""
        if not 0 <= threshold <= 1:
            raise DataError(f"`threshold` is a probability, from 0 to 1; got {threshold!r}")
        check_batch_size(batch_size)
        return in_windows(named, lambda part: self._judge(part, threshold, batch_size))

    def _judge(self, named: Sequence[tuple[str, str]], threshold: float, batch_size: int | None) -> Iterator[Detection]:
        for name, text in named:
            check_text(text, name)
        encodings = self._backend.encode_batch([text for _, text in named], add_special_tokens=False)
        for (name, text), encoding in zip(named, encodings, strict=True):
            if not encoding.ids:
                raise DataError(f"{name}, {text[:60]!r}, has no tokens for this tokenizer")
        judged = self._probabilities([encoding.ids for encoding in encodings], batch_size)
        for (_, text), encoding, probabilities in zip(named, encodings, judged, strict=True):
            tokens = []
            for (start, end), probability in zip(encoding.offsets, probabilities.tolist(), strict=True):
                start, end = _without_blanks(text, start, end)
                tokens.append(JudgedToken(text[start:end], start, end, probability))
            yield Detection(text, threshold, tuple(tokens), tuple(_sentences(text, tokens, threshold)))

    def _probabilities(self, texts: Sequence[Sequence[int]], batch_size: int | None) -> list[NDArray[np.float64]]:
        """The probabilities of the tokens of each text."""
        size = self.max_length - len(self._frame)
        rows = [(number, start, end) for number, ids in enumerate(texts) for start, end in windows(len(ids), size)]
        found: list[NDArray[np.float64]] = [np.empty(0)] * len(rows)
        for batch in batches_by_length(
            [end - start + len(self._frame) for _, start, end in rows],
            max_tokens=token_limit(self.model),
            max_rows=batch_size,
            one_length=one_length_only(self.model),
        ):
            judged = self._forward([texts[number][start:end] for number, start, end in map(rows.__getitem__, batch)])
            for index, probabilities in zip(batch, judged, strict=True):
                found[index] = probabilities
        parts = iter(zip(rows, found, strict=True))
        return [_joined(len(ids), list(islice(parts, len(windows(len(ids), size))))) for ids in texts]

    def _forward(self, rows: Sequence[Sequence[int]]) -> list[NDArray[np.float64]]:
        """The probabilities of some rows' tokens, without their frames."""
        prefix, suffix = self._frame.prefix, self._frame.suffix
        framed = [np.array([*prefix, *row, *suffix], dtype=np.int64) for row in rows]
        ids = pad(framed, self.tokenizer.pad_token_id or 0)
        mask = pad([np.ones_like(row) for row in framed], 0)
        device = self.model.device
        with torch.inference_mode():
            logits = self.model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
        # Token classifiers give [B, L, 1], discriminators [B, L].
        values = logits.reshape(ids.shape).double().sigmoid().cpu().numpy()
        return [values[number, len(prefix) : len(prefix) + len(row)] for number, row in enumerate(rows)]


def _joined(length: int, windows_: Sequence[tuple[tuple[int, int, int], NDArray[np.float64]]]) -> NDArray[np.float64]:
    """The probabilities of a text's tokens, each from the window that it belongs to."""
    owners = owner_of_tokens(length, [(start, end) for (_, start, end), _ in windows_])
    probabilities = np.zeros(length)
    for number, ((_, start, end), found) in enumerate(windows_):
        own = owners[start:end] == number
        probabilities[start:end][own] = found[own]
    return probabilities


def windows(length: int, size: int) -> list[tuple[int, int]]:
    """The windows of `size` tokens, each beginning half a window after the last, the last one ending with the text."""
    if length <= size:
        return [(0, length)]
    step = max(1, size // 2)
    starts = list(range(0, length - size, step))
    return [(start, start + size) for start in [*starts, length - size]]


def owner_of_tokens(length: int, spans: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """[length] the number of the window in which each token has most context on its poorer side; ties go to the
    first."""
    places = np.arange(length)
    owners, best = np.zeros(length, dtype=np.int64), np.full(length, -1)
    for number, (start, end) in enumerate(spans):
        before = places - start if start > 0 else np.full(length, length)
        after = end - 1 - places if end < length else np.full(length, length)
        context = np.where((places >= start) & (places < end), np.minimum(before, after), -1)
        better = context > best
        owners[better], best[better] = number, context[better]
    return owners


def _without_blanks(text: str, start: int, end: int) -> tuple[int, int]:
    """Where a token's characters stand; some tokenizers count the blank before a word as the token's."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _sentences(text: str, tokens: Sequence[JudgedToken], threshold: float) -> Iterator[JudgedSentence]:
    starts = sentence_starts(text)
    ends = [*starts[1:], len(text)]
    places = np.searchsorted(starts, [token.start for token in tokens], side="right") - 1
    own: list[list[float]] = [[] for _ in starts]
    for token, place in zip(tokens, places.tolist(), strict=True):
        own[place].append(token.probability)
    for start, end, probabilities in zip(starts, ends, own, strict=True):
        if probabilities:
            stretch = text[start:end].rstrip()
            share = sum(probability >= threshold for probability in probabilities) / len(probabilities)
            yield JudgedSentence(stretch, start, start + len(stretch), len(probabilities), share, max(probabilities))


def load_detector(model: str | Path) -> Detector:
    """Load a discriminator, from a run, a folder or the hub.

    Raises:
        ModelError: there is none, or it has no head that tells replaced tokens.
    """
    settings = ModelSettings(name=str(model))
    config = model_config(settings)
    kind = family(config)
    if kind != "encoder":
        raise ModelError(f"{model} is a model of the {kind} family, which detects no replaced tokens")
    classes = getattr(config, "architectures", None) or ()
    if any(name.endswith("ForTokenClassification") for name in classes) and config.num_labels != 1:
        raise ModelError(
            f"{model} sorts tokens into {config.num_labels} classes; a discriminator says one thing of each, whether "
            "it was replaced"
        )
    tokenizer = load_tokenizer(str(model))
    # The generator is not asked: a small one of random weights stands in for it, and none is fetched.
    loaded = load_model(settings, "replaced-token-detection", tokenizer, seed=0, head_options={"generator": {}})
    missing = [name for name in loaded.new_parameters if name.startswith("discriminator.")]
    if missing:
        names = ", ".join(name.removeprefix("discriminator.") for name in missing[:3])
        raise ModelError(
            f"{model} has no head that tells replaced tokens (missing: {names}, …), so that it would guess at random; "
            "train one with `acclimate pretrain --objective rtd`, or fill masks with `acclimate fill`"
        )
    return Detector(loaded.model.discriminator, tokenizer)


def detect(
    model: str | Path | Detector,
    texts: str | Iterable[str],
    *,
    threshold: float = 0.5,
    batch_size: int | None = None,
) -> Detection | list[Detection]:
    """Judge which tokens of one text or of several were replaced.

    Args:
        model: a run of `rtd`, a folder or hub id of a discriminator, or what `load_detector` gave.
        texts: of any length.
        threshold: from which probability on a token counts as replaced.
        batch_size: at most so many windows at a time; default by their length.

    Returns:
        For each text its tokens and sentences. For a single string, just its own.

    Raises:
        ModelError: no such model, or none that tells replaced tokens.
        DataError: a text is empty.
    """
    detector = model if isinstance(model, Detector) else load_detector(model)
    given, alone = as_list(texts)
    found = list(detect_texts(detector, given, threshold=threshold, batch_size=batch_size))
    return found[0] if alone else found


def detect_texts(
    detector: Detector, texts: Sequence[str], *, threshold: float = 0.5, batch_size: int | None = None
) -> Iterator[Detection]:
    """Like `detect`, one text after another; an error names the number of the text."""
    check_some(texts, "text")
    named = ((name_of(number, len(texts), "text"), text) for number, text in enumerate(texts, start=1))
    return detector.detect_each(named, threshold=threshold, batch_size=batch_size)


def to_json(detection: Detection) -> dict[str, Any]:
    """A detection as plain data, with the marked text."""
    return {**asdict(detection), "marked": detection.marked()}
