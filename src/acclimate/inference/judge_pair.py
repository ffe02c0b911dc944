"""Judge pairs: whether text B follows text A, by a model with a head for next sentences (BERT) or for the order of two
segments (ALBERT).

A pair is framed as in training: `[CLS] A [SEP] B [SEP]`, token types 0 and 1. In the classes of transformers, class 0
is "B follows A", class 1 that it does not; here classes have names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from acclimate.errors import DataError, ModelError
from acclimate.models.families import family, position_limit
from acclimate.models.loading import load_model, model_config
from acclimate.models.settings import ModelSettings
from acclimate.objectives.base import pad
from acclimate.scoring.batches import batches_by_length, check_batch_size, in_windows, one_length_only, token_limit
from acclimate.scoring.texts import check_some, check_text, name_of, on_best_device, read_text_file
from acclimate.tokens.tokenizers import encode_text, load_tokenizer, plain_backend, text_frame

# By the output that holds the verdict, [B, 2]: the names of class 0 and class 1.
_VERDICTS: dict[str, tuple[str, str]] = {
    "seq_relationship_logits": ("next", "random"),
    "sop_logits": ("in order", "swapped"),
}
# By model type: which of these its pretraining class has.
_OUTPUTS: dict[str, str] = {
    "albert": "sop_logits",
    **dict.fromkeys(
        ("bert", "big_bird", "ernie", "fnet", "megatron-bert", "mobilebert"),
        "seq_relationship_logits",
    ),
}
# What the names of the masked-LM head begin with, which the verdict does not need.
_MASKED_LM_HEAD = ("cls.predictions.", "predictions.")
# Where a model's positions are not limited.
_LENGTH = 512


@dataclass(frozen=True)
class Verdict:
    """What a model says of a pair.

    Attributes:
        text_a, text_b: the pair as it was given.
        label: "next" or "random"; of a model for the order of segments "in order" or "swapped".
        probability: that B follows A ("next", "in order").
        num_cut: tokens that did not fit and were cut off the longer text's end, one after the other.
    """

    text_a: str
    text_b: str
    label: str
    probability: float
    num_cut: int


class PairJudge:
    """A model with a head for pairs, ready to judge."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
        """
        Raises:
            ModelError: the model's type has no such head.
        """
        self.model = on_best_device(model)
        self.tokenizer = tokenizer
        self.output = _output_of(model.config.model_type, str(tokenizer.name_or_path))
        self.labels = _VERDICTS[self.output]
        self.max_length = position_limit(model.config) or _LENGTH
        self._frame = text_frame(tokenizer)
        self._frame_length = len(self._frame.prefix) + 2 * len(self._frame.suffix)
        self._room = self.max_length - self._frame_length
        self._backend = plain_backend(tokenizer) if tokenizer.is_fast else None

    def judge(self, pairs: Iterable[tuple[str, str]], *, batch_size: int | None = None) -> Iterator[Verdict]:
        """A verdict for each pair, in their order.

        Args:
            batch_size: at most so many pairs at a time; default by their length.

        Raises:
            DataError: a text is empty.
        """
        check_batch_size(batch_size)
        given = list(pairs)
        check_some(given, "pair")
        names = [name_of(number, len(given), "pair") for number in range(1, len(given) + 1)]
        for name, pair in zip(names, given, strict=True):
            for text, which in zip(pair, "AB", strict=True):
                check_text(text, f"text {which} of {name}")
        return in_windows(zip(names, given, strict=True), lambda part: self._judge(part, batch_size))

    def _judge(self, named: Sequence[tuple[str, tuple[str, str]]], batch_size: int | None) -> Iterator[Verdict]:
        read = self._read(named)
        probabilities: list[list[float]] = [[]] * len(read)
        for batch in batches_by_length(
            [len(a) + len(b) + self._frame_length for a, b, _ in read],
            max_tokens=token_limit(self.model),
            max_rows=batch_size,
            one_length=one_length_only(self.model),
        ):
            asked = [read[index][:2] for index in batch]
            for index, found in zip(batch, self._probabilities(asked), strict=True):
                probabilities[index] = found
        for (_, (text_a, text_b)), (_, _, num_cut), (first, second) in zip(named, read, probabilities, strict=True):
            yield Verdict(text_a, text_b, self.labels[int(second > first)], first, num_cut)

    def _read(self, named: Sequence[tuple[str, tuple[str, str]]]) -> list[tuple[list[int], list[int], int]]:
        """The ids of both texts of each pair, cut to fit, and how many tokens that cost."""
        encoded = self._encoded([text for _, pair in named for text in pair])
        read = []
        for (name, pair), ids_a, ids_b in zip(named, encoded[::2], encoded[1::2], strict=True):
            for text, ids, which in zip(pair, (ids_a, ids_b), "AB", strict=True):
                if not ids:
                    raise DataError(f"text {which} of {name}, {text[:60]!r}, has no tokens for this tokenizer")
            lengths = [len(ids_a), len(ids_b)]
            excess = max(0, sum(lengths) - self._room)
            for _ in range(excess):  # as `truncation="longest_first"`
                lengths[int(lengths[1] > lengths[0])] -= 1
            read.append((ids_a[: lengths[0]], ids_b[: lengths[1]], excess))
        return read

    def _encoded(self, texts: Sequence[str]) -> list[list[int]]:
        if self._backend is None:
            return [encode_text(self.tokenizer, text) for text in texts]
        return [encoding.ids for encoding in self._backend.encode_batch(texts, add_special_tokens=False)]

    def _probabilities(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[list[float]]:
        prefix, suffix = self._frame.prefix, self._frame.suffix
        rows = [([*prefix, *a, *suffix], [*b, *suffix]) for a, b in pairs]
        inputs = {
            "input_ids": pad([np.array([*a, *b], dtype=np.int64) for a, b in rows], self.tokenizer.pad_token_id or 0),
            "token_type_ids": pad([np.repeat([0, 1], [len(a), len(b)]) for a, b in rows], 0),
            "attention_mask": pad([np.ones(len(a) + len(b), dtype=np.int64) for a, b in rows], 0),
        }
        if self.model.config.model_type == "fnet":  # which mixes all tokens and takes no mask
            del inputs["attention_mask"]
        with torch.inference_mode():
            output = self.model(**{name: value.to(self.model.device) for name, value in inputs.items()})
        probabilities: list[list[float]] = output[self.output].float().softmax(-1).tolist()
        return probabilities


def _output_of(model_type: str, name: str) -> str:
    if model_type not in _OUTPUTS:
        raise ModelError(
            f"{name} is of type {model_type!r}, which has no head that judges pairs; these have one: "
            f"{', '.join(sorted(_OUTPUTS))}"
        )
    return _OUTPUTS[model_type]


def load_pair_judge(model: str | Path) -> PairJudge:
    """Load a model that judges pairs, from a run, a folder or the hub.

    Raises:
        ModelError: there is none, its type has no such head, or the checkpoint does not have it.
    """
    settings = ModelSettings(name=str(model))
    config = model_config(settings)
    kind = family(config)
    if kind != "encoder":
        raise ModelError(f"{model} is a model of the {kind} family, which judges no pairs")
    _output_of(config.model_type, str(model))
    tokenizer = load_tokenizer(str(model))
    loaded = load_model(settings, "pretraining", tokenizer, seed=0)
    missing = [name for name in loaded.new_parameters if not name.startswith(_MASKED_LM_HEAD)]
    if missing:
        objective = "mlm_sop" if config.model_type == "albert" else "mlm_nsp"
        raise ModelError(
            f"{model} has no head that judges pairs (missing: {', '.join(missing[:3])}, …), so that it would guess at "
            f"random; train one with `acclimate pretrain --objective {objective}`"
        )
    return PairJudge(loaded.model, tokenizer)


def judge_pair(
    model: str | Path | PairJudge,
    text_a: str | Iterable[tuple[str, str]],
    text_b: str | None = None,
    *,
    batch_size: int | None = None,
) -> Verdict | list[Verdict]:
    """Judge whether text B follows text A.

    Args:
        model: a run of `mlm_nsp` or `mlm_sop`, a folder or hub id of such a model, or what `load_pair_judge` gave.
        text_a, text_b: the pair; or a list of pairs, and no `text_b`.
        batch_size: at most so many pairs at a time; default by their length.

    Returns:
        The verdict; for a list of pairs a list of them.

    Raises:
        DataError: a text is empty, or `text_b` is missing.
    """
    judge = model if isinstance(model, PairJudge) else load_pair_judge(model)
    if not isinstance(text_a, str):
        return list(judge.judge(text_a, batch_size=batch_size))
    if text_b is None:
        raise DataError("a pair has two texts, and text B is missing")
    return next(judge.judge([(text_a, text_b)]))


def read_pairs(path: str | Path) -> list[tuple[str, str]]:
    """The pairs of a file: two columns by tab, a pair a line; or a `.csv` with the columns sentence_a and sentence_b.

    Raises:
        SourceError: the file cannot be read.
        DataError: a line has not two columns, or the columns have other names.
    """
    import csv
    import io

    text = read_text_file(path)
    if str(path).lower().endswith(".csv"):
        rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        columns = rows.fieldnames or []
        if not {"sentence_a", "sentence_b"} <= {*columns}:
            raise DataError(f"{path} has the columns {', '.join(columns)}; it needs sentence_a and sentence_b")
        try:
            return [(row["sentence_a"] or "", row["sentence_b"] or "") for row in rows]
        except csv.Error as error:
            raise DataError(f"{path}, line {rows.line_num}: {error}") from error
    pairs = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        if not line.strip():
            continue
        columns = line.split("\t")
        if len(columns) != 2:
            raise DataError(
                f"{path}, line {number}: {len(columns)} {'column' if len(columns) == 1 else 'columns'} instead of two, "
                "separated by one tab"
            )
        pairs.append((columns[0], columns[1]))
    return pairs


def to_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict as plain data."""
    return asdict(verdict)
