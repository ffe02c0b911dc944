"""Generate: what a decoder says after a prompt, or an encoder-decoder to it (`scoring/generator.py`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from acclimate.errors import ModelError
from acclimate.models.directed import load_directed, run_objective, way_of_seeing
from acclimate.models.families import family
from acclimate.models.loading import load_model, model_config
from acclimate.models.settings import ModelSettings
from acclimate.scoring.generator import Generated, Generator
from acclimate.scoring.texts import as_list
from acclimate.tokens.tokenizers import load_tokenizer, text_frame


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
    trained, options = run_objective(model) or ("", {})
    way = way_of_seeing(trained, options, kind)
    if way == "prefix":
        return Generator(load_directed(model), tokenizer)
    if way is not None:
        raise ModelError(
            f"{model} was trained by `{trained}` to tell what stands in the gaps of a text that it sees as a whole, "
            "and continues none; fill masks with `acclimate fill`"
        )
    head = "causal-lm" if kind == "decoder" else "seq2seq-lm"
    loaded = load_model(settings, head, tokenizer, seed=0, keep_dtype=True)
    if loaded.new_parameters:
        raise ModelError(
            f"{model} has no language-modeling head (missing: {', '.join(loaded.new_parameters[:3])}, …), so that it "
            "would talk at random; train one with `acclimate pretrain`"
        )
    # In text infilling the beginning of a text, such as `<s>`, is the same for every text: it is given.
    prefix = text_frame(tokenizer).prefix if trained == "text_infilling" else ()
    return Generator(loaded.model, tokenizer, decoder_prefix=prefix)


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
