"""Models that see as they were trained to: `load_directed`.

A model of `prefix_lm` or `mntp` is saved as the decoder (or encoder) that its architecture is, and plain `transformers`
runs it left to right (an encoder in both directions). Here its forward gets its own way of seeing back:

    mntp                        every token sees every other
    prefix_lm on a decoder      the prompt is seen in both directions, what is generated left to right
    …, variant blank_infilling  the text with its blanks is seen in both directions; the blanks are filled in behind it
    prefix_lm on an encoder     as `visibility` says, token by token; in both directions without it (UniLM)
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MethodType
from typing import Any, Literal

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from acclimate.artifacts import find_manifest
from acclimate.errors import ModelError, RecipeError
from acclimate.models.attention import BY_ALL, BY_LATER, can_pack, separate_segments
from acclimate.models.families import PACKING, Family, family
from acclimate.models.loading import load_model, model_config
from acclimate.models.settings import ModelSettings
from acclimate.tokens.tokenizers import load_tokenizer

Way = Literal["both", "prefix", "blanks", "given"]

# Why a model that sees in this way does not generate, and what it does instead.
_GENERATES_NOT: dict[Way, str] = {
    "both": "a model of `mntp` sees both ways and continues no text; fill its masks with `acclimate.fill`",
    "blanks": "a model of `blank_infilling` writes what a text's masks stand for; use `acclimate.fill_blanks`",
    "given": "an encoder continues no text; fill its masks with `acclimate.fill`",
}
_PADDING = -1  # the segment of padding


def run_objective(folder: str | Path) -> tuple[str, dict[str, Any]] | None:
    """The objective that a run was trained with, and its options; None for a folder or hub id that is no run."""
    manifest = find_manifest(folder, "run") if Path(folder).is_dir() else None
    trained = None if manifest is None else manifest.get("objective")
    return None if trained is None else (str(trained["name"]), dict(trained["options"]))


def way_of_seeing(objective: str, options: Mapping[str, Any], kind: Family) -> Way | None:
    """In which way a model of an objective sees; None where it is that of its architecture."""
    if objective == "mntp":
        return "both"
    if objective != "prefix_lm":
        return None
    if kind == "encoder":
        return "given"
    return "blanks" if options.get("variant") == "blank_infilling" else "prefix"


def load_directed(folder: str | Path, *, objective: str | Mapping[str, Any] | None = None) -> Any:
    """Load the model of a run, with its head, so that it sees as it was trained to.

    It is a model of `transformers` (with its adapter, where the run has one), in the checkpoint's own number type and
    in evaluation mode. Its forward takes the arguments that it has always had; padding is told by a two-dimensional
    `attention_mask`, and may stand on either side. It takes besides:

    - `prefix_length`, of `prefix_lm` on a decoder: how many tokens of each text, padding not counted, are seen in both
      directions, a number or [B]; default all tokens of a forward without cache. `generate` takes it as well; there it
      is the prompt by default.
    - `visibility` [B, L] (0: seen by all, 1: by itself and later tokens, 2: by itself and earlier ones) and
      `segment_ids`, of all of them, as in training.

    Saving the model writes what plain `transformers` reads.

    Args:
        folder: a run (of LoRA, too), or another folder or hub id together with `objective`.
        objective: `mntp` or `prefix_lm`, or a mapping such as `{"name": "prefix_lm", "variant": "blank_infilling"}`;
            default the run's own.

    Raises:
        ModelError: no such model; no run, and no objective given; a model type that cannot be told what sees what; or
            an objective whose models plain `transformers` runs as they were trained.
        RecipeError: `objective` has no name.
    """
    settings = ModelSettings(name=str(folder))
    name, options = _objective_of(folder, objective)
    config = model_config(settings)
    kind = family(config)
    way = way_of_seeing(name, options, kind)
    if way is None:
        raise ModelError(
            f"a model of `{name}` sees as its architecture does, so that plain transformers computes what was trained; "
            "load it by `from_pretrained`"
        )
    _check_type(config, name, kind)
    loaded = load_model(
        settings,
        "masked-lm" if kind == "encoder" else "causal-lm",
        load_tokenizer(str(folder)),
        seed=0,
        keep_dtype=True,
    )
    if loaded.new_parameters:
        raise ModelError(
            f"{folder} has no language-modeling head (missing: {', '.join(loaded.new_parameters[:3])}, …), so that it "
            "would talk at random; train one with `acclimate pretrain`"
        )
    model: PreTrainedModel = loaded.model.eval()
    direct(model, way)
    return model


def _objective_of(folder: str | Path, given: str | Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
    if isinstance(given, str):
        return given, {}
    if given is not None:
        options = dict(given)
        if "name" not in options:
            raise RecipeError("`objective` has no name; give `mntp` or `prefix_lm`")
        return str(options.pop("name")), options
    found = run_objective(folder)
    if found is None:
        raise ModelError(
            f"{folder} is no run of acclimate, so that it does not say how its model sees; give `objective`: `mntp` or "
            "`prefix_lm`"
        )
    return found


def _check_type(config: PreTrainedConfig, objective: str, kind: Family) -> None:
    """Refuse model types that cannot be told which tokens see which, and those of whom the objective asks too much."""
    packing = PACKING.get(config.model_type)
    if packing is None or kind == "encoder-decoder" or (objective == "mntp" and kind != "decoder"):
        wants = "decoders" if objective == "mntp" else "decoders and encoders"
        raise ModelError(
            f"`{objective}` is for {wants} whose attention was tried, and model type {config.model_type!r} ({kind}) is "
            "none of them"
        )
    if packing.positions == "alibi":
        raise ModelError(
            f"a model of type {config.model_type!r} cannot see both ways: its position bias grows with the distance to "
            "the right"
        )


def direct(model: PreTrainedModel, way: Way) -> None:
    """Give a model's forward a way of seeing.

    Raises:
        ModelError: its type is not in `PACKING`.
    """
    if not can_pack(model):
        raise ModelError(f"models of type {model.config.model_type!r} cannot be told which tokens see which")
    separate_segments(model)
    # The plain function, bound again: so a deep copy of the model calls its own forward.
    inner: Callable[..., Any] = model.forward.__func__
    names = [name for name in inspect.signature(inner).parameters if name != "self"]

    @functools.wraps(inner)
    def forward(self: Any, *args: Any, prefix_length: int | torch.Tensor | None = None, **kwargs: Any) -> Any:
        inputs = {**dict(zip(names, args, strict=False)), **kwargs}
        if prefix_length is not None and way != "prefix":
            raise ModelError("`prefix_length` is for models of `prefix_lm` on a decoder")
        if inputs.get("segment_ids") is not None:
            return inner(self, **inputs)
        past = inputs.get("past_key_values")
        seen = 0 if past is None else int(past.get_seq_length())
        _check_cache(self, way, past, seen)
        given = inputs.get("visibility")
        if seen or (way == "given" and given is None):
            return inner(self, **inputs)
        mask = inputs.pop("attention_mask", None)
        segment_ids = _segments(inputs, mask)
        if given is None:
            inputs["visibility"] = _visibility(self, segment_ids, prefix_length if way == "prefix" else None)
        return inner(self, **inputs, segment_ids=segment_ids)

    model.forward = MethodType(forward, model)
    model.generate = MethodType(_generate, model)
    model._way_of_seeing = way
    model._prompt = None


def sees_prefixes(model: Any) -> bool:
    """Whether `generate` of a model reads its prompt in both directions."""
    return getattr(model, "_way_of_seeing", None) == "prefix"


def _generate(
    self: Any, inputs: torch.Tensor | None = None, *args: Any, prefix_length: Any = None, **kwargs: Any
) -> Any:
    """`generate` of the model's class, which tells the forwards what the prompt is."""
    if self._way_of_seeing != "prefix":
        raise ModelError(_GENERATES_NOT[self._way_of_seeing])
    given = (inputs, kwargs.get("input_ids"), kwargs.get("inputs_embeds"))
    prompt = next((tokens for tokens in given if tokens is not None), None)
    found = self._prompt
    # Without a prompt there is the beginning token that `generate` puts there itself.
    self._prompt = (1 if prompt is None else prompt.shape[1], prefix_length)
    try:
        return type(self).generate(self, inputs, *args, **kwargs)
    finally:
        self._prompt = found


def _check_cache(model: Any, way: Way, past: Any, seen: int) -> None:
    if past is None:
        return
    if way in ("both", "given"):
        raise ModelError(
            "a token that comes later would be seen by those before it, whose keys and values are in the cache "
            "already; give the whole text at once, without `past_key_values`"
        )
    if getattr(past, "is_compileable", False):
        raise ModelError("a cache of fixed length does not go with a prompt that is seen in both directions")
    if model._prompt is not None and 0 < seen < model._prompt[0]:
        raise ModelError("the prompt must come in one piece: leave `prefill_chunk_size` out")


def _segments(inputs: Mapping[str, Any], mask: torch.Tensor | None) -> torch.Tensor:
    """[B, L] 0 where a text is, and the segment of padding elsewhere."""
    tokens = inputs.get("input_ids")
    if tokens is None:
        tokens = inputs["inputs_embeds"]
    if mask is None:
        return torch.zeros(tokens.shape[:2], dtype=torch.long, device=tokens.device)
    if mask.shape != tokens.shape[:2]:
        raise ModelError(f"`attention_mask` must be of shape {tuple(tokens.shape[:2])}, not {tuple(mask.shape)}")
    return torch.where(mask.bool(), 0, _PADDING)


def _visibility(model: Any, segment_ids: torch.Tensor, prefix_length: int | torch.Tensor | None) -> torch.Tensor:
    """[B, L] the prefix is seen by all, the rest by later tokens; of an objective without prefix all is seen."""
    columns = torch.arange(segment_ids.shape[1], device=segment_ids.device).expand_as(segment_ids)
    if prefix_length is None and model._prompt is not None:
        num_columns, prefix_length = model._prompt
        if prefix_length is None:
            return torch.where(columns < num_columns, BY_ALL, BY_LATER)
    if prefix_length is None:
        return torch.full_like(segment_ids, BY_ALL)
    lengths = torch.as_tensor(prefix_length, device=segment_ids.device).reshape(-1, 1)
    if len(lengths) > 1:  # beams and several sequences of a prompt stand beside each other
        lengths = lengths.repeat_interleave(max(1, len(segment_ids) // len(lengths)), 0)
    positions = segment_ids.ne(_PADDING).long().cumsum(1) - 1
    return torch.where(positions < lengths, BY_ALL, BY_LATER)
