"""Generate: what a decoder says after a prompt, or an encoder-decoder to it.

A prompt is framed as a text in training is: behind the tokenizer's own beginning (`<s>`, where there is one), and
without EOS at its end for decoders; an encoder's input has the whole frame. Special tokens written in a prompt, such as
`<extra_id_0>`, are these tokens. A run of `prefix_lm` sees its prompt in both directions, as in training.

What is shown is the user's own prompt with the continuation behind it, not the decoded ids. Each continuation has a
score, by which they are sorted: the mean log-probability of its tokens, its EOS included where it has one, by a forward
over prompt and continuation. So it does not depend on how the tokens were chosen (temperature, beams, penalties), and
continuations of different length can be compared.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from acclimate.errors import DataError, ModelError, RecipeError
from acclimate.models.directed import sees_prefixes
from acclimate.models.families import position_limit
from acclimate.models.loading import decoder_start_id
from acclimate.objectives.base import pad
from acclimate.scoring.batches import batches_by_length, one_length_only, token_limit
from acclimate.scoring.reading import TokenReader
from acclimate.scoring.sampling import generation_config
from acclimate.scoring.texts import check_some, check_text, name_of, on_best_device
from acclimate.tokens.tokenizers import text_frame

Stopped = Literal["eos", "length", "positions"]

DEFAULT_NEW_TOKENS = 64
# Settings that look at what stands before: padding would count as a part of the prompt.
_SEE_PADDING = (
    "max_length",
    "min_length",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "sequence_bias",
    "bad_words_ids",
    "prompt_lookup_num_tokens",
    "exponential_decay_length_penalty",
)


@dataclass(frozen=True)
class Continuation:
    """One continuation of a prompt.

    Attributes:
        continuation: what the model added; of an encoder-decoder, what its decoder said.
        text: the prompt with the continuation behind it; of an encoder-decoder, the continuation.
        score: mean log-probability of the tokens, in nats, EOS included where the model ended the text.
        num_tokens: how many tokens that is.
        stopped: why it ends: "eos", the model ended it (or a stop string came); "length", it has the length that was
            asked for; "positions", the model has no more.
    """

    continuation: str
    text: str
    score: float
    num_tokens: int
    stopped: Stopped


@dataclass(frozen=True)
class Generated:
    """The continuations of one prompt, best score first.

    Attributes:
        prompt: as it was given.
        continuations: no two of the same text.
        num_duplicates: how many more were generated whose text is among them.
    """

    prompt: str
    continuations: tuple[Continuation, ...]
    num_duplicates: int


@dataclass(frozen=True)
class Prompt:
    """A prompt as ids, and how much may follow it. Made by a `Generator`."""

    number: int
    text: str
    ids: tuple[int, ...]
    max_new_tokens: int
    min_new_tokens: int
    limited_by: Stopped


class Generator:
    """A decoder or encoder-decoder ready to generate."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, *, decoder_prefix: Sequence[int] = ()) -> None:
        """
        Args:
            decoder_prefix: of an encoder-decoder, ids that its decoder is given behind its start token, and says
                nothing of.

        Raises:
            ModelError: neither the tokenizer nor the model knows an end of texts, and there is no padding either.
        """
        self.model = on_best_device(model)
        self.tokenizer = tokenizer
        config = model.config
        self.is_encoder_decoder: bool = config.is_encoder_decoder
        self.limit = position_limit(config)
        self.vocabulary_size = int(model.get_input_embeddings().weight.shape[0])
        self.eos_ids = self._eos_ids()
        pad = tokenizer.pad_token_id
        if pad is None and not self.eos_ids:
            raise ModelError(
                f"the tokenizer {tokenizer.name_or_path} has neither an EOS nor a padding token; give it an `eos_token`"
            )
        self.pad_id: int = self.eos_ids[0] if pad is None else pad
        self.decoder_ids = (decoder_start_id(config) or 0, *decoder_prefix)
        self.reader = TokenReader(tokenizer, self.vocabulary_size)

    def generate(
        self, prompts: Sequence[str], *, seed: int = 42, batch_size: int = 8, **settings: Any
    ) -> Iterator[Generated]:
        """The continuations of prompts, in their order.

        Args:
            prompts: not empty.
            seed: of what is drawn. The same prompts with the same settings give the same texts.
            batch_size: prompts at a time; each has `num_return_sequences` continuations.
            settings: fields of `transformers.GenerationConfig`; what is None or missing is as the model's own
                configuration has it, and `max_new_tokens` is 64 where neither limits the length.

        Raises:
            RecipeError: settings that are unknown or make no sense.
            DataError: a prompt is empty, or longer than the model's positions.
        """
        if batch_size < 1:
            raise RecipeError(f"`batch_size`: expected a number of at least 1, got {batch_size!r}")
        check_some(prompts, "prompt")
        config = generation_config(self.model.generation_config, settings)
        if config.max_length is None and config.max_new_tokens is None:
            config.max_new_tokens = DEFAULT_NEW_TOKENS
        if settings.get("max_new_tokens") is not None:
            config.max_length = None
        elif settings.get("max_length") is not None:
            config.max_new_tokens = None
        config.pad_token_id = self.pad_id
        config.eos_token_id = config.eos_token_id if settings.get("eos_token_id") is not None else self.eos_ids or None
        if settings.get("forced_eos_token_id") is None and config.forced_eos_token_id not in self.eos_ids:
            # A new BART's configuration says 2, whatever the tokenizer has there.
            config.forced_eos_token_id = None
        read = [self._read(number, text, len(prompts), config) for number, text in enumerate(prompts, start=1)]
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(seed)
            for batch in _batches(read, batch_size, self._padding_shows(config)):
                yield from self._generate_batch(batch, config)

    def _eos_ids(self) -> list[int]:
        """What ends a text: as the model's settings and its tokenizer say; a separator where there is nothing else."""
        own = self.model.generation_config.eos_token_id
        listed = own if isinstance(own, list) else [own]
        for candidates in ([*listed, self.tokenizer.eos_token_id], [self.tokenizer.sep_token_id]):
            found = [token for token in candidates if token is not None and 0 <= token < self.vocabulary_size]
            if found:
                return list(dict.fromkeys(found))
        return []

    def _padding_shows(self, config: GenerationConfig) -> bool:
        neutral = (None, 0, 1.0)
        return not self.is_encoder_decoder and any(getattr(config, name) not in neutral for name in _SEE_PADDING)

    # ---- prompts -----------------------------------------------------------------------------------------------

    def _read(self, number: int, text: str, total: int, config: GenerationConfig) -> Prompt:
        name = name_of(number, total, "prompt")
        check_text(text, name)
        ids = list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        frame = text_frame(self.tokenizer)
        if tuple(ids[: len(frame.prefix)]) != frame.prefix:
            ids = [*frame.prefix, *ids]
        if self.is_encoder_decoder:
            ids = [*ids, *frame.suffix]
        if not ids:
            raise DataError(f"{name}, {text[:60]!r}, has no tokens for this tokenizer; write something else")
        room = self.limit
        if room is not None:
            spare = room if self.is_encoder_decoder else room - 1
            if len(ids) > spare:
                raise DataError(
                    f"{name} has {len(ids)} tokens, and the model positions for {room}"
                    f"{'' if self.is_encoder_decoder else ' with the continuation'}; shorten it: {text[:60]!r}…"
                )
        # Of an encoder-decoder, what the decoder begins with takes positions, and is counted by `max_length`.
        before = len(self.decoder_ids) if self.is_encoder_decoder else len(ids)
        wanted = config.max_new_tokens or (config.max_length or 0) - before
        if wanted < 1:
            raise DataError(
                f"{name} has {before} tokens, which leaves no room in a `max_length` of {config.max_length}"
            )
        least = max(config.min_new_tokens or 0, (config.min_length or 0) - before)
        longest = wanted if room is None else min(wanted, room - before)
        return Prompt(
            number, text, tuple(ids), longest, min(least, longest), "length" if longest == wanted else "positions"
        )

    def _padded(self, batch: Sequence[Prompt]) -> dict[str, torch.Tensor]:
        """Ids and attention mask, [B, L]: a decoder's prompts end in one column, an encoder's begin in one."""
        length = max(len(prompt.ids) for prompt in batch)
        ids = torch.full((len(batch), length), self.pad_id)
        mask = torch.zeros((len(batch), length), dtype=torch.long)
        for row, prompt in enumerate(batch):
            places = slice(0, len(prompt.ids)) if self.is_encoder_decoder else slice(length - len(prompt.ids), length)
            ids[row, places] = torch.tensor(prompt.ids)
            mask[row, places] = 1
        return {"input_ids": ids.to(self.model.device), "attention_mask": mask.to(self.model.device)}

    # ---- continuations -----------------------------------------------------------------------------------------

    def _generate_batch(self, batch: Sequence[Prompt], config: GenerationConfig) -> Iterator[Generated]:
        ends = _as_list(config.eos_token_id)
        for prompt, found in zip(batch, self.ids_of(batch, config), strict=True):
            yield self._sorted(prompt, found, ends)

    def ids_of(self, batch: Sequence[Prompt], config: GenerationConfig) -> list[list[list[int]]]:
        """The ids of the continuations of each prompt."""
        config = copy.deepcopy(config)
        config.max_length = config.min_length = None
        config.max_new_tokens = batch[0].max_new_tokens
        config.min_new_tokens = batch[0].min_new_tokens or None
        inputs = self._padded(batch)
        first = inputs["input_ids"].shape[1]
        if self.is_encoder_decoder:
            first = len(self.decoder_ids)
            if first > 1:
                given = torch.tensor([self.decoder_ids], device=self.model.device)
                inputs["decoder_input_ids"] = given.expand(len(batch), -1)
        # What is None in the settings would be taken from the model's own, which are in them already.
        own = self.model.generation_config
        self.model.generation_config = config
        try:
            output = self.model.generate(
                **inputs, generation_config=config, **({"tokenizer": self.tokenizer} if config.stop_strings else {})
            )
        except (ValueError, TypeError, NotImplementedError) as error:
            raise RecipeError(f"the model cannot generate with these settings: {error}") from error
        finally:
            self.model.generation_config = own
        ends = _as_list(config.eos_token_id)
        found = [_until_end(ids, ends) for ids in output[:, first:].tolist()]
        each = len(found) // len(batch)
        return [found[row * each : (row + 1) * each] for row in range(len(batch))]

    def _sorted(self, prompt: Prompt, found: Sequence[list[int]], ends: Sequence[int]) -> Generated:
        scores = self.scores(prompt, found)
        best: dict[str, Continuation] = {}
        for ids, score in sorted(zip(found, scores, strict=True), key=lambda pair: -pair[1]):
            continuation = self._decode_behind(prompt.text, ids)
            ended = ids[-1] in ends or len(ids) < prompt.max_new_tokens
            text = continuation if self.is_encoder_decoder else prompt.text + continuation
            stopped: Stopped = "eos" if ended else prompt.limited_by
            best.setdefault(continuation, Continuation(continuation, text, score, len(ids), stopped))
        return Generated(prompt.text, tuple(best.values()), len(found) - len(best))

    def scores(self, prompt: Prompt, continuations: Sequence[list[int]]) -> list[float]:
        """The mean log-probability of each continuation's tokens after the prompt. What is padded is behind them, and
        seen by none of them."""
        scores = [0.0] * len(continuations)
        behind = 0 if self.is_encoder_decoder else len(prompt.ids)
        for batch in batches_by_length(
            [behind + len(ids) for ids in continuations],
            max_tokens=token_limit(self.model),
            one_length=one_length_only(self.model),
        ):
            rows = [np.array(continuations[index], dtype=np.int64) for index in batch]
            tokens = pad(rows, self.pad_id).to(self.model.device)
            given = torch.tensor([prompt.ids], device=self.model.device).expand(len(batch), -1)
            options: dict[str, Any] = {"use_cache": False}
            if self.is_encoder_decoder:
                start = torch.tensor([self.decoder_ids], device=self.model.device).expand(len(batch), -1)
                options["decoder_input_ids"] = torch.cat([start, tokens[:, :-1]], dim=1)
            else:
                given = torch.cat([given, tokens[:, :-1]], dim=1)
            if sees_prefixes(self.model):
                options["prefix_length"] = len(prompt.ids)
            logits = self.model(input_ids=given, **options).logits[:, -tokens.shape[1] :]
            log_probabilities = logits.float().log_softmax(-1).gather(-1, tokens[..., None])[..., 0].double()
            for index, row, values in zip(batch, rows, log_probabilities, strict=True):
                scores[index] = float(values[: len(row)].mean())
        return scores

    # ---- text --------------------------------------------------------------------------------------------------

    def _decode_behind(self, prompt: str, ids: Sequence[int]) -> str:
        """The continuation as it stands behind the prompt; what an encoder-decoder says stands alone."""
        return self.reader.alone(ids) if self.is_encoder_decoder else self.reader.behind(prompt, ids)


def _until_end(ids: Sequence[int], ends: Sequence[int]) -> list[int]:
    """A row's tokens up to its first EOS, which is one of them; what follows is padding."""
    for place, token in enumerate(ids):
        if token in ends:
            return list(ids[: place + 1])
    return list(ids)


def _as_list(ids: int | Sequence[int] | None) -> list[int]:
    return [] if ids is None else [ids] if isinstance(ids, int) else list(ids)


def _batches(prompts: Sequence[Prompt], size: int, padding_shows: bool) -> Iterator[list[Prompt]]:
    """Consecutive prompts whose continuations have the same limits; of one length where padding would show."""
    batch: list[Prompt] = []
    for prompt in prompts:
        alike = not batch or (
            (prompt.max_new_tokens, prompt.min_new_tokens) == (batch[0].max_new_tokens, batch[0].min_new_tokens)
            and not (padding_shows and len(prompt.ids) != len(batch[0].ids))
        )
        if len(batch) == size or not alike:
            yield batch
            batch = []
        batch.append(prompt)
    if batch:
        yield batch
