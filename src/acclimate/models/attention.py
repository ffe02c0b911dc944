"""Attention that keeps the texts of a packed row apart.

A batch of packed rows says of every token which text (segment) it belongs to. `separate_segments(model)` makes a
model's forward take that as `segment_ids` [batch, length], beside its own arguments: tokens attend only within their
segment. Padding is a segment of its own (-1), so that no row of the attention matrix is empty.

Rejected: a ready-made 4-D mask. It cancels sliding windows, crashes several model types, and as a bool under eager
attention it is silently wrong. Instead the mask function that `transformers` itself calls is wrapped (under a name of
our own in its registry) and the segments are and-ed to whatever rule the model asks for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import and_masks, sdpa_mask

from acclimate.errors import ModelError
from acclimate.models.families import PACKING, position_offset

IMPLEMENTATION = "acclimate_sdpa"


class _Layout:
    """The segments of the batch that is in the model just now.

    A plain attribute rather than a context variable: the latter breaks compiled graphs. One process trains one model
    at a time.
    """

    segment_ids: torch.Tensor | None = None


_layout = _Layout()


def _segment_mask(
    *,
    q_length: int,
    kv_length: int,
    mask_function: Callable[..., Any],
    allow_is_causal_skip: bool = True,
    allow_is_bidirectional_skip: bool = False,
    **kwargs: Any,
) -> torch.Tensor | None:
    """`transformers`' own SDPA mask, and-ed with "same segment" where a batch has segments."""
    segments = _layout.segment_ids
    if segments is not None:
        if not segments.shape[1] == q_length == kv_length:
            raise ModelError(
                f"packed rows of {segments.shape[1]} tokens met an attention of {q_length} x {kv_length}; this model "
                "changes the length of its rows: use `packing: false`"
            )

        def same_segment(batch: Any, head: Any, query: Any, key: Any) -> Any:
            return segments[batch, query] == segments[batch, key]

        mask_function = and_masks(mask_function, same_segment)
        allow_is_causal_skip = allow_is_bidirectional_skip = False
    mask: torch.Tensor | None = sdpa_mask(
        q_length=q_length,
        kv_length=kv_length,
        mask_function=mask_function,
        allow_is_causal_skip=allow_is_causal_skip,
        allow_is_bidirectional_skip=allow_is_bidirectional_skip,
        **kwargs,
    )
    return mask


def can_pack(model: PreTrainedModel) -> bool:
    """Whether packed rows are right in this model: its type was tried, and it attends by SDPA."""
    return model.config.model_type in PACKING and bool(getattr(type(model), "_supports_sdpa", False))


def separate_segments(model: PreTrainedModel) -> None:
    """Make `model(..., segment_ids=...)` keep segments apart; without `segment_ids` it works as before.

    `position_ids`, where given, count from 0 in each segment; the model's own offset is added here. Saving the model
    afterwards writes no name of ours into `config.json`.
    """
    if not can_pack(model):
        raise ModelError(f"packed rows were not tried with model type {model.config.model_type!r}")
    if getattr(model, "_separates_segments", False):
        return
    AttentionMaskInterface.register(IMPLEMENTATION, _segment_mask)
    AttentionInterface.register(IMPLEMENTATION, sdpa_attention_forward)
    model.set_attn_implementation(IMPLEMENTATION)
    offset = position_offset(model.config)
    takes_positions = "position_ids" in inspect.signature(model.forward).parameters

    def before(module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        kwargs = dict(kwargs)
        _layout.segment_ids = kwargs.pop("segment_ids", None)
        positions = kwargs.pop("position_ids", None)
        if positions is not None and takes_positions:
            kwargs["position_ids"] = positions + offset if offset else positions
        return args, kwargs

    def after(module: torch.nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        _layout.segment_ids = None

    model.register_forward_pre_hook(before, with_kwargs=True)
    model.register_forward_hook(after, with_kwargs=True, always_call=True)
    model._separates_segments = True
