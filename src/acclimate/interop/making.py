"""Examples made of a script's own texts: which objective, by which tokenizer, for which model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

from acclimate.corpus.folder import SplitName
from acclimate.errors import DataError, ModelError
from acclimate.interop.examples import Examples, prepare, unwrapped
from acclimate.interop.texts import Texts, store_texts
from acclimate.models.families import Family, family, model_types_of
from acclimate.models.generators import GeneratorAndDiscriminator
from acclimate.models.loading import check_max_length, decoder_start_id, packs
from acclimate.objectives import check_fit, find_objective, make_objective, resolve_objective
from acclimate.objectives.base import Objective
from acclimate.tokens.added import add_missing_tokens
from acclimate.tokens.store import Isolate


def examples_for(
    texts: Texts,
    tokenizer: PreTrainedTokenizerBase,
    objective: str = "mlm",
    max_length: int = 128,
    *,
    model: Any = None,
    packing: bool = True,
    isolate: Isolate = "group",
    seed: int = 42,
    split: SplitName = "train",
    text_column: str = "text",
    num_workers: int | None = None,
    **options: Any,
) -> Examples:
    """Examples of an objective for a training loop of one's own.

    Args:
        texts: a list of strings; rows with a column of texts, such as a `datasets.Dataset`; `Document`s; a corpus or
            its folder. A string is a corpus's folder. Each string or row is a group of its own.
        tokenizer: the model's. It must have the special tokens that the objective needs.
        objective: a name of the table of objectives.
        max_length: tokens in a row, frames included.
        model: what is to be trained, with its head; for `rtd` a `GeneratorAndDiscriminator`. It is checked against
            objective and tokenizer, and prepared for packed rows where its type takes them; other types get one text a
            row. Default: not known; encoder-decoders need it.
        packing: several texts in a row, where the objective has it so.
        isolate: what may not see each other: "document", "group" or "none".
        seed: of order and masks.
        split: of a corpus: "train" or "held_out".
        text_column: of rows.
        num_workers: processes that encode; default one per CPU, at most 8.
        options: of the objective, such as `unit="word"`.

    Raises:
        RecipeError: an unknown objective, or mistakes in its options.
        ModelError: model, tokenizer and objective do not fit together; the message says why.
        DataError: there is nothing to train on.
    """
    model = None if model is None else unwrapped(model)
    made = checked_objective(objective, options, tokenizer, model=model, max_length=max_length, seed=seed)
    prepared = model is not None and packs(model)
    packed = packing and made.packs and (model is None or prepared)
    if prepared:
        prepare(model)
    stored = store_texts(
        texts,
        tokenizer,
        split=split,
        text_column=text_column,
        num_workers=num_workers,
        layers=made.layers | {"bytes"},  # for `score`
    )
    plan = made.plan(stored.store, isolate=isolate, packed=packed)
    if len(plan) == 0:
        raise DataError("there is no text that is long enough to train on")
    return Examples(made, stored, plan, isolate=isolate, packed=packed, prepared=prepared)


def checked_objective(
    name: str,
    options: Mapping[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    *,
    model: Any,
    max_length: int,
    seed: int,
) -> Objective:
    """An objective for a tokenizer and, where it is known, a model; see `examples_for`."""
    kind = find_objective(name).families[0] if model is None else family(_config(model))
    if model is not None:
        _check_model(model, tokenizer, name, options, kind, max_length)
    return make_objective(
        name,
        options,
        _with_needs(tokenizer, name, options, kind),
        max_length=max_length,
        seed=seed,
        family=kind,
        decoder_start_id=_start_id(model, kind),
    )


def _config(model: Any) -> Any:
    if not hasattr(model, "config"):
        raise ModelError(f"`model` is a {type(model).__name__}; give a model of transformers, with its head")
    return model.config


def _start_id(model: Any, kind: Family) -> int | None:
    if kind != "encoder-decoder":
        return None
    if model is None:
        raise ModelError("an encoder-decoder's examples begin with the model's start token: give `model=`")
    return decoder_start_id(model.config)


def _check_model(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    name: str,
    options: Mapping[str, Any],
    kind: Family,
    max_length: int,
) -> None:
    """Refuse a model that an objective cannot train, before any text is encoded."""
    config = model.config
    check_fit(name, kind, config.model_type)
    check_max_length(config, max_length)
    wanted, _ = resolve_objective(name, options, kind)
    if wanted.directs and not packs(model):
        raise ModelError(
            f"`{name}` says which tokens see which, and models of type {config.model_type!r} cannot be told; those of "
            f"these types can: {', '.join(model_types_of(kind))}"
        )
    num_embeddings = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > num_embeddings:
        raise ModelError(
            f"the tokenizer has {len(tokenizer)} tokens and the model embeddings for {num_embeddings}; call "
            "`model.resize_token_embeddings(len(tokenizer))`, or use the model's own tokenizer"
        )
    if wanted.head == "replaced-token-detection":
        if not isinstance(model, GeneratorAndDiscriminator):
            raise ModelError(
                f"`{name}` trains two models: give `model=GeneratorAndDiscriminator(generator, discriminator)` of "
                "acclimate.models.generators"
            )
    elif model.get_output_embeddings() is None:
        raise ModelError(
            f"{type(model).__name__} has no head that says tokens; load the model with one, such as "
            "AutoModelForMaskedLM, AutoModelForCausalLM or AutoModelForSeq2SeqLM"
        )
    elif wanted.head == "pretraining" and "ForPreTraining" not in type(model).__name__:
        raise ModelError(f"`{name}` needs the head of two parts: load the model by AutoModelForPreTraining")


def _with_needs(
    tokenizer: PreTrainedTokenizerBase, name: str, options: Mapping[str, Any], kind: Family
) -> PreTrainedTokenizerBase:
    """The tokenizer, its vocabulary's tokens named for what the objective needs; new tokens are the caller's to add."""
    objective, settings = resolve_objective(name, options, kind)
    # Where there is no padding token any other stands in the places that nothing looks at.
    needs = [need for need in objective.needed(settings) if need != "pad"]
    extended, new = add_missing_tokens(tokenizer, needs)
    if new:
        raise ModelError(
            f"`{name}` needs tokens that the tokenizer lacks: {', '.join(new[:4])}{' …' if len(new) > 4 else ''}; add "
            f"them first: `tokenizer, new = acclimate.tokens.add_missing_tokens(tokenizer, {needs})` and "
            "`model.resize_token_embeddings(len(tokenizer))`"
        )
    return extended
