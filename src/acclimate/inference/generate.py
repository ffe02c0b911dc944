"""Generate: what a decoder says after a prompt, or an encoder-decoder to it.

A prompt is framed as a text in training is: behind the tokenizer's own beginning (`<s>`, where there is one), and
without EOS at its end for decoders; an encoder's input has the whole frame. Special tokens written in a prompt, such as
`<extra_id_0>`, are these tokens.

What is shown is the user's own prompt with the continuation behind it, not the decoded ids. Each continuation has a
score, by which they are sorted: the mean log-probability of its tokens, its EOS included where it has one, by a forward
over prompt and continuation. So it does not depend on how the tokens were chosen (temperature, beams, penalties), and
continuations of different length can be compared.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from acclimate.errors import DataError, ModelError, RecipeError
from acclimate.inference.sampling import generation_config
from acclimate.inference.texts import as_list, check_some, check_text, name_of, on_best_device
from acclimate.models.families import family, position_limit
from acclimate.models.loading import decoder_start_id, load_model, model_config
from acclimate.models.settings import ModelSettings
from acclimate.tokens.added import sentinel_ids
from acclimate.tokens.tokenizers import load_tokenizer, text_frame

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
# Characters between which WordPiece's blanks are none of the text's.
_CJK = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_BLANK_AT_CJK = re.compile(f"(?<=[{_CJK}]) | (?=[{_CJK}])")


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
class _Prompt:
    """A prompt as ids, and how much may follow it."""

    number: int
    text: str
    ids: tuple[int, ...]
    max_new_tokens: int
    min_new_tokens: int
    limited_by: Stopped


class Generator:
    """A decoder or encoder-decoder ready to generate."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
        """
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
        self._start_id = decoder_start_id(config)
        self._hidden = self._hidden_ids()
        self._anchor = self._plain_ids()
        self._anchor_text = self._decode(self._anchor)
        self._makes_blanks = _is_word_piece(tokenizer)

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

    def _hidden_ids(self) -> frozenset[int]:
        """Special tokens, which are not shown; sentinels are."""
        added = {index for index, token in self.tokenizer.added_tokens_decoder.items() if token.special}
        return frozenset({*self.tokenizer.all_special_ids, *added} - {*sentinel_ids(self.tokenizer)})

    def _plain_ids(self) -> list[int]:
        """Tokens behind which any other is decoded as in the middle of a text."""
        for text in ("a", "A", "0"):
            ids = list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
            if ids and not self._hidden & {*ids}:
                return ids
        return [next(token for token in range(self.vocabulary_size) if token not in self._hidden)]

    def _padding_shows(self, config: GenerationConfig) -> bool:
        neutral = (None, 0, 1.0)
        return not self.is_encoder_decoder and any(getattr(config, name) not in neutral for name in _SEE_PADDING)

    # ---- prompts -----------------------------------------------------------------------------------------------

    def _read(self, number: int, text: str, total: int, config: GenerationConfig) -> _Prompt:
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
        # Of an encoder-decoder, the decoder's start token takes a position, and is counted by `max_length`.
        before = 1 if self.is_encoder_decoder else len(ids)
        wanted = config.max_new_tokens or (config.max_length or 0) - before
        if wanted < 1:
            raise DataError(
                f"{name} has {before} tokens, which leaves no room in a `max_length` of {config.max_length}"
            )
        least = max(config.min_new_tokens or 0, (config.min_length or 0) - before)
        longest = wanted if room is None else min(wanted, room - before)
        return _Prompt(
            number, text, tuple(ids), longest, min(least, longest), "length" if longest == wanted else "positions"
        )

    def _padded(self, batch: Sequence[_Prompt]) -> dict[str, torch.Tensor]:
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

    def _generate_batch(self, batch: Sequence[_Prompt], config: GenerationConfig) -> Iterator[Generated]:
        config = copy.deepcopy(config)
        config.max_length = config.min_length = None
        config.max_new_tokens = batch[0].max_new_tokens
        config.min_new_tokens = batch[0].min_new_tokens or None
        inputs = self._padded(batch)
        try:
            output = self.model.generate(
                **inputs, generation_config=config, **({"tokenizer": self.tokenizer} if config.stop_strings else {})
            )
        except (ValueError, TypeError, NotImplementedError) as error:
            raise RecipeError(f"the model cannot generate with these settings: {error}") from error
        first = 1 if self.is_encoder_decoder else inputs["input_ids"].shape[1]
        sequences = output[:, first:].tolist()
        each = len(sequences) // len(batch)
        ends = _as_list(config.eos_token_id)
        for row, prompt in enumerate(batch):
            found = [_until_end(ids, ends) for ids in sequences[row * each : (row + 1) * each]]
            yield self._sorted(prompt, found, ends)

    def _sorted(self, prompt: _Prompt, found: Sequence[list[int]], ends: Sequence[int]) -> Generated:
        scores = self._scores(prompt, found)
        best: dict[str, Continuation] = {}
        for ids, score in sorted(zip(found, scores, strict=True), key=lambda pair: -pair[1]):
            continuation = self._decode_behind(prompt.text, ids)
            ended = ids[-1] in ends or len(ids) < prompt.max_new_tokens
            text = continuation if self.is_encoder_decoder else prompt.text + continuation
            stopped: Stopped = "eos" if ended else prompt.limited_by
            best.setdefault(continuation, Continuation(continuation, text, score, len(ids), stopped))
        return Generated(prompt.text, tuple(best.values()), len(found) - len(best))

    def _scores(self, prompt: _Prompt, continuations: Sequence[list[int]]) -> list[float]:
        """The mean log-probability of each continuation's tokens after the prompt; one forward each."""
        scores = []
        for ids in continuations:
            tokens = torch.tensor([ids], device=self.model.device)
            given = torch.tensor([prompt.ids], device=self.model.device)
            if self.is_encoder_decoder:
                start = torch.full_like(tokens[:, :1], self._start_id or 0)
                logits = self.model(
                    input_ids=given, decoder_input_ids=torch.cat([start, tokens[:, :-1]], dim=1), use_cache=False
                ).logits[0]
            else:
                logits = self.model(input_ids=torch.cat([given, tokens[:, :-1]], dim=1), use_cache=False).logits[0]
                logits = logits[-len(ids) :]
            log_probabilities = logits.float().log_softmax(-1).gather(1, tokens[0][:, None])
            scores.append(float(log_probabilities.double().mean()))
        return scores

    # ---- text --------------------------------------------------------------------------------------------------

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(
            [token for token in ids if token not in self._hidden],
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
        )
        return text

    def _decode_behind(self, prompt: str, ids: Sequence[int]) -> str:
        """The continuation as it stands behind the prompt: with its first blank, and without any that are none."""
        if self.is_encoder_decoder:
            return _without_blanks("", self._decode(ids)) if self._makes_blanks else self._decode(ids)
        text = self._decode([*self._anchor, *ids])
        if not text.startswith(self._anchor_text):  # a character of several tokens, cut off
            return self._decode(ids)
        text = text[len(self._anchor_text) :]
        return _without_blanks(prompt, text) if self._makes_blanks else text


def _without_blanks(before: str, text: str) -> str:
    """A WordPiece decoder's text without the blanks that it puts where the text before has one, and around Chinese."""
    if not before or before[-1].isspace():
        text = text.removeprefix(" ")
    last = before[-1:]
    return _BLANK_AT_CJK.sub("", last + text)[len(last) :]


def _is_word_piece(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer drops blanks and its decoder puts one between any two words."""
    if not tokenizer.is_fast:
        return False
    return type(tokenizer.backend_tokenizer.model).__name__ in ("WordPiece", "WordLevel")


def _until_end(ids: Sequence[int], ends: Sequence[int]) -> list[int]:
    """A row's tokens up to its first EOS, which is one of them; what follows is padding."""
    for place, token in enumerate(ids):
        if token in ends:
            return list(ids[: place + 1])
    return list(ids)


def _as_list(ids: int | Sequence[int] | None) -> list[int]:
    return [] if ids is None else [ids] if isinstance(ids, int) else list(ids)


def _batches(prompts: Sequence[_Prompt], size: int, padding_shows: bool) -> Iterator[list[_Prompt]]:
    """Consecutive prompts whose continuations have the same limits; of one length where padding would show."""
    batch: list[_Prompt] = []
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


def load_generator(model: str | Path) -> Generator:
    """Load a decoder or encoder-decoder, from a run, a folder or the hub, in the checkpoint's own number type.

    Raises:
        ModelError: there is none, or it is an encoder, which generates nothing.
    """
    settings = ModelSettings(name=str(model))
    config = model_config(settings)
    kind = family(config)
    if kind == "encoder":
        raise ModelError(
            f"{model} is a model of the encoder family ({config.model_type}), which sees both sides of a gap and "
            "continues no text; fill its masks with `acclimate fill`"
        )
    tokenizer = load_tokenizer(str(model))
    head = "causal-lm" if kind == "decoder" else "seq2seq-lm"
    loaded = load_model(settings, head, tokenizer, seed=0, keep_dtype=True)
    if loaded.new_parameters:
        raise ModelError(
            f"{model} has no language-modeling head (missing: {', '.join(loaded.new_parameters[:3])}, …), so that it "
            "would talk at random; train one with `acclimate pretrain`"
        )
    return Generator(loaded.model, tokenizer)


def generate(
    model: str | Path | Generator,
    prompts: str | Iterable[str],
    *,
    max_length: int | None = None,
    max_new_tokens: int | None = None,
    min_length: int | None = None,
    do_sample: bool | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    num_beams: int | None = None,
    num_return_sequences: int | None = None,
    repetition_penalty: float | None = None,
    no_repeat_ngram_size: int | None = None,
    seed: int = 42,
    batch_size: int = 8,
    **settings: Any,
) -> Generated | list[Generated]:
    """Continue one prompt or several; the arguments have their names and meanings from `transformers`.

    Args:
        model: a run (of LoRA, too), a folder, a hub id, or what `load_generator` gave.
        prompts: for a decoder, the beginning of a text; for an encoder-decoder, the encoder's input, such as
            `The <extra_id_0> sat.` for T5.
        max_length: length in tokens with the prompt (of an encoder-decoder: of what the decoder says).
        max_new_tokens: length in tokens without the prompt; default 64 where the model itself says nothing.
        do_sample: draw tokens; otherwise the likeliest is taken. Default: as the model's own settings have it.
        num_return_sequences: continuations of each prompt; equal ones are given once.
        seed: of what is drawn.
        batch_size: prompts at a time.
        settings: any other field of `transformers.GenerationConfig`.

    Returns:
        For each prompt its continuations, best first. For a single string, just its own.

    Raises:
        RecipeError: settings that are unknown or make no sense.
        ModelError: no such model, or an encoder.
        DataError: a prompt is empty, or longer than the model's positions.
    """
    generator = model if isinstance(model, Generator) else load_generator(model)
    texts, alone = as_list(prompts)
    named = {
        "max_length": max_length,
        "max_new_tokens": max_new_tokens,
        "min_length": min_length,
        "do_sample": do_sample,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "num_beams": num_beams,
        "num_return_sequences": num_return_sequences,
        "repetition_penalty": repetition_penalty,
        "no_repeat_ngram_size": no_repeat_ngram_size,
    }
    generated = list(generator.generate(texts, seed=seed, batch_size=batch_size, **named, **settings))
    return generated[0] if alone else generated


def to_json(generated: Generated) -> dict[str, Any]:
    """The continuations of a prompt as plain data."""
    return asdict(generated)
