"""Load a model for an objective, or make a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from acclimate.artifacts import file_digest
from acclimate.errors import ModelError
from acclimate.hub import local_files_only, reaching_hub
from acclimate.models.adapters import adapted_base, without_adapter
from acclimate.models.attention import can_pack, separate_segments
from acclimate.models.dropout import dropout_changes
from acclimate.models.families import PACKING, load_config, position_limit
from acclimate.models.generators import GeneratorAndDiscriminator, generator_beside, new_generator
from acclimate.models.heads import auto_class_of, head_arguments
from acclimate.models.settings import ModelSettings
from acclimate.models.sparse_head import predict_at_positions


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to train.

    Attributes:
        model: with the head that was asked for: a `PreTrainedModel`, a `GeneratorAndDiscriminator`, or either with an
            adapter.
        new_parameters: names of parameters that the checkpoint did not have (a fresh head); all of them for a new
            model.
        from_scratch: whether all weights are random.
    """

    model: Any
    new_parameters: tuple[str, ...]
    from_scratch: bool


def model_config(settings: ModelSettings, tokenizer: PreTrainedTokenizerBase | None = None) -> PreTrainedConfig:
    """The configuration that `settings` name; for a new model, with the tokenizer's sizes and special tokens."""
    if settings.name is not None:
        base, revision = adapted_base(settings.name) or (settings.name, settings.revision)
        return load_config(base, revision, trust_remote_code=settings.trust_remote_code)
    assert settings.config is not None
    values: dict[str, Any] = dict(settings.config)
    if tokenizer is not None:
        values["vocab_size"] = len(tokenizer)
        for name in ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"):
            values.setdefault(name, getattr(tokenizer, name, None))
    try:
        config = AutoConfig.for_model(**values)
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"`model.config` makes no model: {error}") from error
    if config.is_encoder_decoder:
        config.decoder_start_token_id = decoder_start_id(config)
    if getattr(config, "forced_eos_token_id", None) is not None and "forced_eos_token_id" not in settings.config:
        # BART's default is the id that EOS has in its own vocabulary.
        config.forced_eos_token_id = config.eos_token_id
    return config


def decoder_start_id(config: PreTrainedConfig) -> int | None:
    """What the decoder's input of an encoder-decoder begins with: as its configuration says, else padding, as in T5;
    None for other models."""
    if not config.is_encoder_decoder:
        return None
    start: int | None = getattr(config, "decoder_start_token_id", None)
    return config.pad_token_id if start is None else start


def load_model(
    settings: ModelSettings,
    head: str,
    tokenizer: PreTrainedTokenizerBase,
    *,
    seed: int,
    head_options: Mapping[str, Any] | None = None,
    new_tokens: Sequence[int] = (),
    keep_dtype: bool = False,
) -> LoadedModel:
    """Load or make a model with a head, a row of `HEADS`.

    In fp32 whatever the checkpoint's own type: updates of 1e-5 are lost in bf16 parameters (`bf16: true` under
    `training:` computes in bf16 over fp32 weights).

    Args:
        seed: of the random weights of new parts, and of the whole of a new model.
        head_options: for "replaced-token-detection" the `generator`: a name, a configuration, or None.
        new_tokens: ids that the model has never seen; their embeddings start at the mean of the others.
        keep_dtype: leave the weights in the checkpoint's type, as for a model that is frozen beneath an adapter.

    Raises:
        ModelError: no such model, the hub is not reached, or the architecture does not have this head.
    """
    torch.manual_seed(seed)
    loaded = _load(settings, head, tokenizer, keep_dtype)
    if not loaded.from_scratch:
        _start_at_mean(loaded.model, tokenizer, new_tokens)
    for config in (loaded.model.config, getattr(loaded.model, "generation_config", None)):
        if config is not None and config.pad_token_id is None:
            config.pad_token_id = tokenizer.pad_token_id
    if head != "replaced-token-detection":
        predict_at_positions(loaded.model)
    else:
        wanted = (head_options or {}).get("generator")
        loaded = _with_generator(loaded, settings, wanted, tokenizer, new_tokens)
        predict_at_positions(loaded.model.generator)
    return loaded


def _load(settings: ModelSettings, head: str, tokenizer: PreTrainedTokenizerBase, keep_dtype: bool) -> LoadedModel:
    config = model_config(settings, tokenizer)
    _check_padding(config, tokenizer)
    auto_class = auto_class_of(head, config)
    auto = getattr(transformers, auto_class)
    arguments = head_arguments(head, config)
    dropout = {} if settings.dropout is None else dropout_changes(config, settings.dropout)
    own_dropout = {name: getattr(config, name) for name in dropout}
    loaded = _load_with(settings, auto, auto_class, config, {**arguments, **dropout}, keep_dtype)
    # The layers have it; what is saved keeps its own, for those who train it further.
    for name, value in own_dropout.items():
        setattr(loaded.model.config, name, value)
    return loaded


def _load_with(
    settings: ModelSettings,
    auto: Any,
    auto_class: str,
    config: PreTrainedConfig,
    arguments: Mapping[str, Any],
    keep_dtype: bool,
) -> LoadedModel:
    """Load or make a model whose configuration has some values changed."""
    if settings.name is None:
        for key, value in arguments.items():
            setattr(config, key, value)
        try:
            model = auto.from_config(config, attn_implementation=_attention(auto, config))
        except ValueError as error:
            raise ModelError(f"`model.config` makes no model with {auto_class}: {_first_line(error)}") from error
        return LoadedModel(model, tuple(name for name, _ in model.named_parameters()), True)
    with reaching_hub("model", settings.name, ModelError):
        model, info = auto.from_pretrained(
            settings.name,
            revision=settings.revision,
            trust_remote_code=settings.trust_remote_code,
            dtype="auto" if keep_dtype else torch.float32,
            local_files_only=local_files_only(settings.name),
            output_loading_info=True,
            attn_implementation=_attention(auto, config),
            **arguments,
        )
    if info.get("mismatched_keys"):
        names = ", ".join(sorted(str(key[0]) for key in info["mismatched_keys"]))
        raise ModelError(f"{settings.name}: these weights do not have the shapes that its config.json says: {names}")
    parameters = {name for name, _ in model.named_parameters()}
    return LoadedModel(model, tuple(sorted(name for name in info["missing_keys"] if name in parameters)), False)


def _check_padding(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer with another padding than the model's where positions count from it (RoBERTa's line)."""
    packing = PACKING.get(config.model_type)
    if packing is None or packing.position_offset != "pad":
        return
    if tokenizer.pad_token_id not in (None, config.pad_token_id):
        raise ModelError(
            f"models of type {config.model_type!r} count positions from their padding token, which has the id "
            f"{config.pad_token_id}, and the tokenizer's has {tokenizer.pad_token_id}; use the model's own tokenizer, "
            "or name the right token by `tokenizer.pad_token`"
        )


def _with_generator(
    loaded: LoadedModel,
    settings: ModelSettings,
    wanted: str | Mapping[str, Any] | None,
    tokenizer: PreTrainedTokenizerBase,
    new_tokens: Sequence[int],
) -> LoadedModel:
    """The discriminator with its generator; the names of parameters say which of the two they are of."""
    name = wanted if isinstance(wanted, str) else generator_beside(settings.name) if wanted is None else None
    if name is None:
        dropout = {} if settings.dropout is None else dropout_changes(loaded.model.config, settings.dropout)
        model = new_generator(loaded.model, {**dropout, **(wanted if isinstance(wanted, Mapping) else {})})
        generator = LoadedModel(model, tuple(key for key, _ in model.named_parameters()), True)
    else:
        revision = None if wanted is not None else settings.revision
        named = ModelSettings(name=name, revision=revision, dropout=settings.dropout)
        generator = _load(named, "masked-lm", tokenizer, keep_dtype=False)
        _start_at_mean(generator.model, tokenizer, new_tokens)
    both = GeneratorAndDiscriminator(generator.model, loaded.model)
    parameters = dict(both.named_parameters())
    new = (
        *(f"discriminator.{key}" for key in loaded.new_parameters),
        *(f"generator.{key}" for key in generator.new_parameters),
    )
    # The generator's token embeddings are the discriminator's.
    return LoadedModel(both, tuple(key for key in new if key in parameters), loaded.from_scratch)


def prepare_head(model: Any, *, sparse: bool) -> None:
    """Say whether a model's head, or a generator's, may be asked for a few positions only (it may by default)."""
    part = model.generator if isinstance(model, GeneratorAndDiscriminator) else without_adapter(model)
    predict_at_positions(part)
    if hasattr(part, "takes_head_positions"):
        part.takes_head_positions = sparse


def prepare_for_packs(model: Any) -> None:
    """Make a model, or generator and discriminator, keep the texts of a packed row apart."""
    for part in _parts(model):
        separate_segments(part)


def packs(model: Any) -> bool:
    """Whether packed rows are right in a model, or in generator and discriminator both."""
    return all(can_pack(part) for part in _parts(model))


def _parts(model: Any) -> tuple[PreTrainedModel, ...]:
    if isinstance(model, GeneratorAndDiscriminator):
        return model.generator, model.discriminator
    return (model,)


def _attention(auto: Any, config: PreTrainedConfig) -> str | None:
    """SDPA where the architecture has it; the model's own choice otherwise."""
    try:
        model_class = auto._model_mapping[type(config)]
    except KeyError:
        return None
    return "sdpa" if getattr(model_class, "_supports_sdpa", False) else None


def _start_at_mean(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, new_tokens: Sequence[int]) -> None:
    """Grow the embeddings where the tokenizer has more tokens, and start new tokens at the mean of the old ones.

    Embeddings often have more rows than the tokenizer has tokens (T5's): a new token may get one that was never
    trained, so that growing alone would not do.
    """
    have = int(model.get_input_embeddings().weight.shape[0])
    new = sorted({*new_tokens, *range(have, len(tokenizer))})
    if not new:
        return
    if len(tokenizer) > have:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    old = torch.ones(len(tokenizer), dtype=torch.bool)
    old[new] = False
    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    with torch.no_grad():
        for layer in {id(layer.weight): layer for layer in layers if layer is not None}.values():
            layer.weight[new] = layer.weight[: len(tokenizer)][old].mean(dim=0)
            if getattr(layer, "bias", None) is not None:
                layer.bias[new] = layer.bias[: len(tokenizer)][old].mean()


def weight_digests(name: str | None) -> dict[str, str]:
    """Digests of the weight files of a model's folder, by file name; empty for a hub id, which has its commit."""
    folder = Path(name) if name is not None else None
    if folder is None or not folder.is_dir():
        return {}
    return {path.name: file_digest(path) for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")])}


def check_max_length(config: PreTrainedConfig, max_length: int) -> None:
    """Refuse rows that are longer than the model's positions."""
    limit = position_limit(config)
    if limit is not None and max_length > limit:
        raise ModelError(f"`max_length` is {max_length}, but this model has positions for {limit} tokens")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
