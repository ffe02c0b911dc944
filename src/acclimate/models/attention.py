"""Attention that keeps the texts of a packed row apart.

A batch of packed rows says of every token which text (segment) it belongs to. `separate_segments(model)` makes a
model's forward take that as `segment_ids` [batch, length], beside its own arguments: tokens attend only within their
segment, and positions begin anew in each. Padding is a segment of its own (-1), so that no row of the attention matrix
is empty. An encoder-decoder takes `decoder_segment_ids` [batch, target length] as well: a token of its decoder sees its
own segment up to itself, and the encoder's segment of the same number.

Within its segment a token may be seen by all (`visibility` 0), by itself and later tokens (1), or by itself and earlier
ones (2): prefixes, left-to-right and right-to-left layouts, and decoders that see both ways are all said by that. The
model's own rule about direction gives way to it, its sliding windows stay.

The forward leaves a `_Layout` where the hooks below find it; which hooks a model type needs stands in `PACKING`.

Rejected: a ready-made 4-D mask. It cancels sliding windows, crashes several model types, and as a bool under eager
attention it is silently wrong. Instead the mask function that `transformers` itself calls is wrapped (under a name of
our own in its registry) and the segments are and-ed to whatever rule the model asks for.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import and_masks, bidirectional_mask_function, eager_mask, sdpa_mask

from acclimate.errors import ModelError
from acclimate.models.families import PACKING, Packing, packs, position_offset

# Names in transformers' registries; `kernels.py` has more, which stand in place of the first.
SDPA, EAGER = "acclimate_sdpa", "acclimate_eager"

# By whom of its segment a token is seen.
BY_ALL, BY_LATER, BY_EARLIER = 0, 1, 2


@dataclass(frozen=True)
class _Layout:
    """What a batch says of who sees whom.

    Attributes:
        segment_ids: [B, L] the segments of the tokens; of the encoder's in an encoder-decoder.
        position_ids: [B, L] their positions, from 0 in each segment.
        visibility: [B, L] by whom of its segment each token is seen: `BY_ALL`, `BY_LATER` or `BY_EARLIER`. None: as the
            model's own rule says.
        decoder: the same of the decoder's tokens, [B, T] each, in an encoder-decoder.
        bounds: [S + 1] int32, where each text begins in the rows laid end to end, and their end; None: not known yet.
    """

    segment_ids: torch.Tensor
    position_ids: torch.Tensor
    visibility: torch.Tensor | None = None
    decoder: _Layout | None = None
    bounds: torch.Tensor | None = None


class _Current:
    """The layout of the batch that is in a model just now, and whether an encoder-decoder is at its decoder.

    Plain attributes rather than a context variable: the latter breaks compiled graphs. One process trains in one
    thread. Models may run within each other: each forward puts back what it found.
    """

    layout: _Layout | None = None
    in_decoder: bool = False
    # Where each text of the layout begins, as kernels for sequences of unequal lengths want it (`kernels.py`).
    bounds: torch.Tensor | None = None


current = _Current()


def _allowed_pairs(layout: _Layout, mask_function: Callable[..., Any], shape: tuple[int, int]) -> Callable[..., Any]:
    """The model's own rule about (query, key), and-ed with that of the layout."""
    queries = keys = layout.segment_ids
    if current.in_decoder and layout.decoder is not None:
        queries = layout.decoder.segment_ids
        # A decoder asks for two masks: a causal one over its own tokens, a bidirectional one over the encoder's.
        if mask_function is not bidirectional_mask_function:
            keys = queries
    if (queries.shape[1], keys.shape[1]) != shape:
        raise ModelError(
            f"packed rows of {queries.shape[1]} x {keys.shape[1]} tokens met an attention of {shape[0]} x {shape[1]}; "
            "this model changes the length of its rows: use `packing: false`"
        )

    def same_segment(batch: Any, head: Any, query: Any, key: Any) -> Any:
        return queries[batch, query] == keys[batch, key]

    if layout.visibility is not None and not layout.decoder:
        mask_function = _directed(mask_function, layout.visibility)
    allowed: Callable[..., Any] = and_masks(mask_function, same_segment)
    return allowed


def _directed(mask_function: Callable[..., Any], visibility: torch.Tensor) -> Callable[..., Any]:
    """The model's own rule without its direction, and that of the batch instead.

    A pair is within the model's reach (a sliding window, say) where its rule lets either see the other.
    """

    def directed(batch: Any, head: Any, query: Any, key: Any) -> Any:
        reach = mask_function(batch, head, query, key) | mask_function(batch, head, key, query)
        seen_by = visibility[batch, key]
        return reach & ((seen_by != BY_LATER) | (key <= query)) & ((seen_by != BY_EARLIER) | (key >= query))

    return directed


def with_layout(mask: Callable[..., torch.Tensor | None]) -> Callable[..., torch.Tensor | None]:
    """`transformers`' own mask of an attention implementation, with the current layout."""

    def masked(
        *,
        q_length: int,
        kv_length: int,
        mask_function: Callable[..., Any],
        allow_is_causal_skip: bool = True,
        allow_is_bidirectional_skip: bool = False,
        **kwargs: Any,
    ) -> torch.Tensor | None:
        if current.layout is not None:
            mask_function = _allowed_pairs(current.layout, mask_function, (q_length, kv_length))
            allow_is_causal_skip = allow_is_bidirectional_skip = False
        return mask(
            q_length=q_length,
            kv_length=kv_length,
            mask_function=mask_function,
            allow_is_causal_skip=allow_is_causal_skip,
            allow_is_bidirectional_skip=allow_is_bidirectional_skip,
            **kwargs,
        )

    return masked


def _eager_attention(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
    """The eager attention of the model that an attention module is of; each modeling file has its own."""
    return sys.modules[type(module).__module__].eager_attention_forward(module, *args, **kwargs)


AttentionMaskInterface.register(SDPA, with_layout(sdpa_mask))
AttentionMaskInterface.register(EAGER, with_layout(eager_mask))
AttentionInterface.register(SDPA, sdpa_attention_forward)
AttentionInterface.register(EAGER, _eager_attention)


def can_pack(model: Any) -> bool:
    """Whether packed rows are right in this model, bare or with adapters of PEFT: its type was tried.

    Not with prompt or prefix tuning, whose extra tokens would belong to no text.
    """
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        return False
    return packs(_base(model).config)


def _base(model: Any) -> PreTrainedModel:
    """The model that PEFT's wrapper holds; any other as it is."""
    base: PreTrainedModel = model.get_base_model() if hasattr(model, "get_base_model") else model
    return base


def separate_segments(model: Any) -> None:
    """Make `model(..., segment_ids=...)` keep segments apart; without `segment_ids` it works as before.

    `position_ids`, where given, count from 0 in each segment, and are counted so where they are not given; the model's
    own offset is added here. `text_bounds`, where given, spares a GPU's kernel to look for the bounds of the texts. An
    encoder-decoder takes `decoder_segment_ids` beside `segment_ids`; where it gets `labels` alone, they are shifted
    within their segments. Caching is off for packed rows unless asked for. Saving the model afterwards writes no name
    of ours into `config.json`.

    Args:
        model: a model of `transformers`, bare or with adapters of PEFT.

    Raises:
        ModelError: its type is not in `PACKING`, or its configuration mixes neighbouring tokens.
    """
    base = _base(model)
    if not can_pack(model):
        raise ModelError(f"packed rows were not tried with model type {base.config.model_type!r}")
    if hasattr(base, "takes_segments"):
        return
    packing = PACKING[base.config.model_type]
    for module in base.modules():
        if isinstance(module, PreTrainedModel):
            eager = module.config._attn_implementation in ("eager", EAGER)
            module.config._attn_implementation = EAGER if eager else SDPA
    _add_hooks(base, packing)
    _take_segments(base)
    base.takes_segments = True


def _take_segments(model: PreTrainedModel) -> None:
    """Wrap the forward of a model: it takes segments, and the layout holds for as long as it runs."""
    # The plain function, bound again: so a deep copy of the model calls its own forward.
    inner: Callable[..., Any] = model.forward.__func__
    accepts = inspect.signature(inner).parameters

    @functools.wraps(inner)
    def forward(
        self: PreTrainedModel,
        *args: Any,
        segment_ids: torch.Tensor | None = None,
        decoder_segment_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        visibility: torch.Tensor | None = None,
        text_bounds: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        layout = _layout_of(self, segment_ids, decoder_segment_ids, position_ids, visibility, text_bounds)
        _check_shape("input_ids", kwargs.get("input_ids"), segment_ids)
        _check_shape("decoder_input_ids", kwargs.get("decoder_input_ids"), decoder_segment_ids)
        if layout is not None:
            position_ids = layout.position_ids
            if "use_cache" in accepts:
                kwargs.setdefault("use_cache", False)
            if "attention_mask" in accepts and kwargs.get("attention_mask") is None:
                # Without a mask `transformers` takes each jump of the positions for the beginning of another text: in
                # prefixes and blanks they are not, and elsewhere the segments say it already.
                kwargs["attention_mask"] = torch.ones_like(layout.segment_ids)
            if layout.decoder is not None and kwargs.get("decoder_input_ids") is None and "labels" in kwargs:
                kwargs["decoder_input_ids"] = _shifted_labels(self, kwargs["labels"], layout.decoder)
        if position_ids is not None and "position_ids" in accepts:
            kwargs["position_ids"] = position_ids + position_offset(self.config)
        found = current.layout, current.in_decoder, current.bounds
        current.layout, current.in_decoder, current.bounds = layout, False, None
        try:
            return inner(self, *args, **kwargs)
        finally:
            current.layout, current.in_decoder, current.bounds = found

    model.forward = MethodType(forward, model)


def _layout_of(
    model: PreTrainedModel,
    segment_ids: torch.Tensor | None,
    decoder_segment_ids: torch.Tensor | None,
    position_ids: torch.Tensor | None,
    visibility: torch.Tensor | None,
    text_bounds: torch.Tensor | None,
) -> _Layout | None:
    if bool(model.config.is_encoder_decoder) and (segment_ids is None) != (decoder_segment_ids is None):
        raise ModelError("packed rows of an encoder-decoder need both `segment_ids` and `decoder_segment_ids`")
    if segment_ids is None:
        return None
    decoder = None
    if decoder_segment_ids is not None:
        decoder = _Layout(decoder_segment_ids, _positions(decoder_segment_ids))
    positions = _positions(segment_ids) if position_ids is None else position_ids
    return _Layout(segment_ids, positions, visibility, decoder, text_bounds)


def _check_shape(name: str, ids: torch.Tensor | None, segment_ids: torch.Tensor | None) -> None:
    if ids is not None and segment_ids is not None and ids.shape != segment_ids.shape:
        raise ModelError(f"`{name}` of shape {tuple(ids.shape)} came with segments of shape {tuple(segment_ids.shape)}")


def _positions(segment_ids: torch.Tensor) -> torch.Tensor:
    """[B, L] positions that count from 0 in each segment."""
    places = torch.arange(segment_ids.shape[1], device=segment_ids.device).expand_as(segment_ids)
    starts = torch.ones_like(segment_ids, dtype=torch.bool)
    starts[:, 1:] = segment_ids[:, 1:] != segment_ids[:, :-1]
    return places - places.where(starts, 0).cummax(dim=1).values


def _shifted_labels(model: Any, labels: torch.Tensor, decoder: _Layout) -> torch.Tensor:
    """[B, T] the decoder's input for labels: each text shifted by one, behind the token that starts a decoder."""
    start = model.config.decoder_start_token_id
    if start is None:
        raise ModelError("packed rows need `decoder_input_ids`: this model's configuration has no start token for them")
    shifted: torch.Tensor = model.prepare_decoder_input_ids_from_labels(labels=labels)
    return shifted.masked_fill(decoder.position_ids == 0, start)


def _add_hooks(model: PreTrainedModel, packing: Packing) -> None:
    """What a model type needs beside the mask of the registry."""
    body: Any = model.base_model
    if model.config.is_encoder_decoder:
        decoder = model.get_decoder()
        decoder.register_forward_pre_hook(_enter_decoder)
        decoder.register_forward_hook(_leave_decoder)
    if packing.mask_argument is not None:
        module = body.get_submodule(packing.mask_argument)
        for taker in module if isinstance(module, torch.nn.ModuleList) else [module]:
            taker.register_forward_pre_hook(_pass_pair_mask, with_kwargs=True)
    if packing.positions == "embedding":
        for stack in (model.get_encoder(), model.get_decoder()):
            stack.embed_positions.register_forward_hook(_embed_positions)
    if packing.triangle is not None:
        for name, buffer in body.named_buffers():
            if name.endswith(f".{packing.triangle}"):
                buffer |= buffer.transpose(-1, -2).clone()
    if packing.positions == "alibi":
        body.register_forward_pre_hook(_ask_for_alibi, with_kwargs=True)
        body.build_alibi_tensor = MethodType(_alibi, body)


def _enter_decoder(module: torch.nn.Module, args: Any) -> None:
    current.in_decoder = True


def _leave_decoder(module: torch.nn.Module, args: Any, output: Any) -> None:
    current.in_decoder = False


def _pass_pair_mask(module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    """The second argument, a mask [B, L], becomes one of pairs [B, L, L]."""
    if current.layout is None:
        return None
    layout = current.layout
    segments = layout.segment_ids
    pairs = segments[:, :, None] == segments[:, None, :]
    if layout.visibility is not None:
        places = torch.arange(segments.shape[1], device=segments.device)
        later, earlier = places[:, None] >= places[None, :], places[:, None] <= places[None, :]
        seen_by = layout.visibility[:, None, :]
        pairs = pairs & ((seen_by != BY_LATER) | later) & ((seen_by != BY_EARLIER) | earlier)
    return (args[0], pairs, *args[2:]), kwargs


def _embed_positions(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
    """Positions that begin anew in each segment, where a model counts along the row and takes no others."""
    layout = current.layout
    if layout is None:
        return output
    if current.in_decoder and layout.decoder is not None:
        layout = layout.decoder
    return functional.embedding(layout.position_ids + getattr(module, "offset", 0), module.weight)


def _ask_for_alibi(module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    """Bloom calls `build_alibi_tensor` only where there is a 2-D mask."""
    layout = current.layout
    if layout is None or kwargs.get("attention_mask") is not None:
        return None
    return args, {**kwargs, "attention_mask": torch.ones_like(layout.segment_ids)}


def _alibi(self: Any, attention_mask: torch.Tensor, num_heads: int, dtype: torch.dtype) -> torch.Tensor:
    """[B * heads, 1, L] Bloom's bias, slope x position, with positions that begin anew in each segment.

    Softmax takes away what all keys of a text have in common, so positions along the row would do in exact arithmetic.
    But bf16 holds slope x 1000 only to within 2 or 4, which is more than the step from one token to the next.
    """
    build = type(self).build_alibi_tensor
    layout = current.layout
    if layout is None:
        alibi: torch.Tensor = build(self, attention_mask, num_heads, dtype)
        return alibi
    # The library's bias of a row of two tokens is 0 and the slope.
    slopes: torch.Tensor = build(self, torch.ones_like(layout.segment_ids[:, :2]), num_heads, torch.float32)[:, :, 1:]
    return (slopes * layout.position_ids.repeat_interleave(num_heads, 0)[:, None, :]).to(dtype)
