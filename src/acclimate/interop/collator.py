"""A collator that masks texts which a script of one's own has tokenized."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from acclimate.errors import DataError, ModelError
from acclimate.interop.loss import loss_of_outputs
from acclimate.interop.making import checked_objective
from acclimate.interop.surface import Surface
from acclimate.objectives.base import IGNORE, PADDING_SEGMENT, Batch, Objective, pad
from acclimate.objectives.rows import NO_PLACE, Row, Rows
from acclimate.tokens.sentences import batch_sentence_starts
from acclimate.tokens.words import batch_word_starts

# Those that are made of one text by itself, and that plain models take.
OBJECTIVES = ("mlm", "span_denoising", "text_infilling", "mass")
# The fields of an objective's batch that plain models take.
_PLAIN = ("input_ids", "decoder_input_ids", "labels")
# What the chance of an example hangs on, so that the two kinds never meet.
_BY_ID, _BY_CALL = 0, 1


class MaskingCollator:
    """Masks by the rules of an objective: in place of `DataCollatorForLanguageModeling`.

        collator = acclimate.MaskingCollator(tokenizer, unit="word")
        Trainer(model, args, train_dataset=tokenized, data_collator=collator, compute_loss_func=collator.compute_loss)

    It takes features with `input_ids`, whole texts framed by the tokenizer or pieces of joined ones (`group_texts` of
    `run_mlm.py`); special tokens are never chosen. It gives `input_ids`, `attention_mask` and `labels`, [B, L] each,
    with `token_type_ids` where the features have them, and `decoder_input_ids` for encoder-decoders: what plain models
    take, one text a row.

    Where words or sentences matter (`unit="word"` and `"span"`, BART's sentences) they are told by `text` and
    `offset_mapping` where the features have both, else by the text that the ids spell.

    Which tokens are masked is a function of the seed and `example_id` (a whole number from 0) where features have one:
    always the same ones, as for evaluation. Otherwise it is a function of the seed, the loader worker's seed and the
    number of the call: masks are new in every epoch, and another run meets the same ones.
    `TrainingArguments(remove_unused_columns=False)` keeps the Trainer from taking such columns out.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        objective: str = "mlm",
        *,
        model: Any = None,
        max_length: int = 512,
        seed: int = 42,
        pad_to_multiple_of: int | None = None,
        **options: Any,
    ) -> None:
        """
        Args:
            tokenizer: what `input_ids` are of.
            objective: "mlm", "span_denoising", "text_infilling" or "mass".
            model: what is to be trained, checked against both; encoder-decoders need it.
            max_length: the longest text, in tokens.
            seed: of the masks.
            pad_to_multiple_of: batches are as long as their longest row, or as the next multiple of this.
            options: of the objective, such as `unit="word"`, `mlm_probability=0.3`.

        Raises:
            RecipeError: an unknown objective, or mistakes in its options.
            ModelError: tokenizer, model and objective do not fit together, or the objective needs rows of its own.
        """
        self.objective: Objective = checked_objective(
            objective, options, tokenizer, model=model, max_length=max_length, seed=seed
        )
        if objective not in OBJECTIVES:
            raise ModelError(
                f"`{objective}` cannot be made of single texts: a collator offers {', '.join(OBJECTIVES)}; use "
                "`acclimate.examples_for`"
            )
        self.pad_to_multiple_of = pad_to_multiple_of
        self._needs_text = getattr(self.objective.settings, "unit", "token") != "token" or bool(
            getattr(self.objective.settings, "permute_sentences", False)
        )
        self._surface = Surface(tokenizer) if self._needs_text and tokenizer.is_fast else None
        self._tokenizer_name = tokenizer.name_or_path or type(tokenizer).__name__
        self._type_padding = tokenizer.pad_token_type_id
        self._calls = 0

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> Batch:
        rngs = self.objective.rngs(self._numbers(features))
        rows = Rows.of([self._row(feature) for feature in features])
        batch = self._plain(self.objective.collate(self.objective.corrupt_rows(rows, rngs)))
        if "token_type_ids" in features[0] and "decoder_input_ids" not in batch:
            types = [_seen(feature, "token_type_ids") for feature in features]
            batch["token_type_ids"] = pad(types, self._type_padding)
        return {name: self._padded(name, values) for name, values in batch.items()}

    def compute_loss(
        self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """The `compute_loss_func` of the stock `Trainer`: exact under accumulation, which the loss of many masked-LM
        heads is not."""
        return loss_of_outputs(self.objective, outputs, labels, num_items_in_batch)

    # ---- chance ------------------------------------------------------------------------------------------------

    def _numbers(self, features: Sequence[Mapping[str, Any]]) -> list[int]:
        """What the generator of each example is keyed by."""
        if "example_id" in features[0]:
            return [_number(_BY_ID, int(feature["example_id"])) for feature in features]
        worker = torch.utils.data.get_worker_info()
        call, self._calls = self._calls, self._calls + 1
        return [_number(_BY_CALL, 0 if worker is None else worker.seed, call, row) for row in range(len(features))]

    # ---- features to rows --------------------------------------------------------------------------------------

    def _row(self, feature: Mapping[str, Any]) -> Row:
        ids = _seen(feature, "input_ids")
        if len(ids) > self.objective.max_length:
            raise DataError(
                f"a text has {len(ids)} tokens, more than `max_length` of {self.objective.max_length}; cut texts when "
                "they are tokenized (`truncation=True`), or give the collator a larger `max_length`"
            )
        vocabulary = self.objective.vocabulary
        framed = _framed(ids, vocabulary.frame.prefix, vocabulary.frame.suffix)
        candidates = ~vocabulary.special[ids] & ~framed
        words, sentences = self._starts(feature, ids, candidates)
        return Row(
            input_ids=ids,
            candidates=candidates,
            word_starts=words,
            sentence_starts=sentences,
            segment_ids=np.zeros(len(ids), dtype=np.int64),
            position_ids=np.arange(len(ids)),
            places=np.where(framed, NO_PLACE, np.arange(len(ids))),
        )

    def _starts(
        self, feature: Mapping[str, Any], ids: NDArray[np.int64], candidates: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """[L], [L] bool: where words and sentences begin."""
        words, sentences = np.ones(len(ids), dtype=bool), np.zeros(len(ids), dtype=bool)
        if not self._needs_text:
            return words, sentences
        for stretch in _stretches(candidates):
            text, starts, ends = self._text(feature, ids, stretch)
            count = np.array([len(stretch)])
            words[stretch] = batch_word_starts([text], starts, ends, count)
            sentences[stretch] = batch_sentence_starts([text], starts, ends, count, words[stretch])
        return words, sentences

    def _text(
        self, feature: Mapping[str, Any], ids: NDArray[np.int64], stretch: NDArray[np.int64]
    ) -> tuple[str, NDArray[np.int64], NDArray[np.int64]]:
        """The text of neighbouring tokens, and where each stands in it."""
        if "text" in feature and "offset_mapping" in feature:
            bounds = _seen(feature, "offset_mapping")[stretch]
            return feature["text"], bounds[:, 0], bounds[:, 1]
        if self._surface is None:
            raise ModelError(
                f"{self._tokenizer_name} has no fast version, so that words cannot be told from its ids; give the "
                'columns `text` and `offset_mapping` beside `input_ids`, or use `unit="token"`'
            )
        return self._surface.text(ids[stretch].tolist())

    # ---- batches -----------------------------------------------------------------------------------------------

    def _plain(self, batch: Batch) -> Batch:
        """What plain models take of a batch of one text a row."""
        kept: Batch = {name: batch[name] for name in _PLAIN if name in batch}
        return kept | {"attention_mask": batch["segment_ids"].ne(PADDING_SEGMENT).long()}

    def _padded(self, name: str, values: torch.Tensor) -> torch.Tensor:
        if self.pad_to_multiple_of is None:
            return values
        fill = {**self.objective.padding(), "labels": IGNORE, "attention_mask": 0, "token_type_ids": self._type_padding}
        return F.pad(values, (0, -values.shape[1] % self.pad_to_multiple_of), value=fill[name])


def _seen(feature: Mapping[str, Any], name: str) -> NDArray[np.int64]:
    """A field of a feature, without the places that are padding already."""
    values = np.asarray(feature[name], dtype=np.int64)
    mask = feature.get("attention_mask")
    return values if mask is None else values[np.asarray(mask, dtype=bool)]


def _framed(ids: NDArray[np.int64], prefix: tuple[int, ...], suffix: tuple[int, ...]) -> NDArray[np.bool_]:
    """[L] which tokens are the tokenizer's frame. A piece of joined texts may have none, or a part of it."""
    framed = np.zeros(len(ids), dtype=bool)
    if prefix and tuple(ids[: len(prefix)]) == prefix:
        framed[: len(prefix)] = True
    if suffix and tuple(ids[-len(suffix) :]) == suffix:
        framed[-len(suffix) :] = True
    return framed


def _stretches(candidates: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """The positions of ordinary tokens, divided where special ones stand between them."""
    positions = np.flatnonzero(candidates)
    return [part for part in np.split(positions, np.flatnonzero(np.diff(positions) > 1) + 1) if len(part)]


def _number(*parts: int) -> int:
    """A number of 63 bits that stands for some whole numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
