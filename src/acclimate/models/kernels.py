"""How attention is computed: by plain matrix products on the CPU, by variable-length attention on the GPU.

Both have the arguments and the result of `transformers`' attention functions (queries, keys and values [B, H, L, D] to
[B, L, H, D]), and stand in its registry under names of our own, which never reach `config.json`.

Packed rows on the GPU need no mask: each text is a sequence of its own to the kernel in torch (`varlen_attn`), which
skips what lies between texts instead of masking it. It has no dropout and takes half-precision numbers only, and it
knows texts that are seen whole or left to right. Whatever is otherwise (sliding windows made by masks, prefixes,
encoder-decoders, fp32 in evaluation) gets the mask of `attention.py` and `scaled_dot_product_attention`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import bidirectional_mask_function, causal_mask_function, sdpa_mask

from acclimate.errors import ModelError
from acclimate.models.attention import SDPA, current, with_layout
from acclimate.models.dropout import byte_dropout

Kernel = Literal["sdpa", "products", "varlen"]
PRODUCTS, PRODUCTS_BYTES, VARLEN = "acclimate_products", "acclimate_products_bytes", "acclimate_varlen"
_NAMES: dict[Kernel, str] = {"sdpa": SDPA, "products": PRODUCTS, "varlen": VARLEN}

# Tokens in a row up to which the matrix of all pairs is cheaper than a kernel that never holds it.
LONGEST_BY_PRODUCTS = 512


def product_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: torch.Tensor | None = None,
    drop: Callable[[torch.Tensor, float], torch.Tensor] = torch.nn.functional.dropout,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention by two batched products and a softmax.

    On CPUs the backward pass of `scaled_dot_product_attention` in bf16 takes four times as long, and with dropout it is
    no faster in fp32 either. Without a gradient, and for rows past `LONGEST_BY_PRODUCTS`, that function is used.
    """
    length, key_length = query.shape[2], key.shape[2]
    if not query.requires_grad or max(length, key_length) > LONGEST_BY_PRODUCTS or kwargs.get("cache") is not None:
        bias = {} if position_bias is None else {"position_bias": position_bias}
        return _sdpa(module, query, key, value, attention_mask, dropout, scaling, is_causal, **bias, **kwargs)
    groups = getattr(module, "num_key_value_groups", 1)
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    batch, heads, _, width = query.shape
    query = query * (width**-0.5 if scaling is None else scaling)
    scores = torch.bmm(query.reshape(-1, length, width), key.reshape(-1, key_length, width).transpose(1, 2))
    scores = scores.view(batch, heads, length, key_length)
    if position_bias is not None:
        scores = scores + position_bias
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if attention_mask is None and length > 1 and causal:
        attention_mask = torch.ones(length, key_length, dtype=torch.bool, device=query.device).tril()
    if attention_mask is not None:
        scores = scores.add_(_additive(attention_mask, scores.dtype))
    shares = drop(torch.softmax(scores, dim=-1), dropout)
    values = value.reshape(-1, key_length, value.shape[-1])
    mixed = torch.bmm(shares.to(value.dtype).view(-1, length, key_length), values)
    return mixed.view(batch, heads, length, -1).transpose(1, 2).contiguous(), None


def _additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)


def _sdpa(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float,
    scaling: float | None,
    is_causal: bool | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """What `transformers` does for `attn_implementation="sdpa"`."""
    output: tuple[torch.Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **kwargs
    )
    return output


# ---- variable lengths ------------------------------------------------------------------------------------------------

_PLAIN_RULES = (causal_mask_function, bidirectional_mask_function)


def _varlen_mask(*, mask_function: Callable[..., Any], device: torch.device, **kwargs: Any) -> torch.Tensor | None:
    """No mask where the kernel keeps texts apart by itself; else that of `scaled_dot_product_attention`."""
    if mask_function in _PLAIN_RULES and _keeps_apart(device):
        assert current.layout is not None
        # Once a forward, and outside of what is compiled: how many texts there are must be asked of the device, where
        # the batch does not say it.
        known = current.layout.bounds
        current.bounds = _bounds(current.layout.segment_ids) if known is None else known
        return None
    mask: torch.Tensor | None = with_layout(sdpa_mask)(mask_function=mask_function, device=device, **kwargs)
    return mask


def _keeps_apart(device: torch.device) -> bool:
    """Whether the batch that is in the model is one for the kernel: packed texts, seen whole or left to right, computed
    in half precision. The same for all layers of a forward."""
    layout = current.layout
    if layout is None or layout.visibility is not None or layout.decoder is not None:
        return False
    return torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type) != torch.float32


def varlen_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of packed rows by torch's kernel for sequences of unequal lengths; no dropout."""
    if attention_mask is not None or not _keeps_apart(query.device):
        return _sdpa(module, query, key, value, attention_mask, dropout, scaling, is_causal, **kwargs)
    if dropout:
        raise ModelError(
            "`compute.attention: varlen` has no dropout; set `model.dropout: 0`, or use `compute.attention: sdpa`"
        )
    batch, heads, length, width = query.shape
    groups = getattr(module, "num_key_value_groups", 1)
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    dtype = torch.get_autocast_dtype(query.device.type)
    query, key, value = (
        tensor.transpose(1, 2).reshape(batch * length, heads, -1).to(dtype) for tensor in (query, key, value)
    )
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    assert current.bounds is not None, "the mask function has run"
    scaling = width**-0.5 if scaling is None else scaling
    mixed = _kernel(query, key, value, current.bounds, length, causal=causal, scaling=scaling)
    return mixed.view(batch, length, heads, -1), None


def _bounds(segment_ids: torch.Tensor) -> torch.Tensor:
    """[S + 1] int32: where each text begins in the rows laid end to end, and their end. Padding is a text, too."""
    starts = torch.ones_like(segment_ids, dtype=torch.bool)
    starts[:, 1:] = segment_ids[:, 1:] != segment_ids[:, :-1]
    places = starts.flatten().nonzero()[:, 0]
    return torch.nn.functional.pad(places, (0, 1), value=segment_ids.numel()).to(torch.int32)


def _kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bounds: torch.Tensor,
    longest: int,
    *,
    causal: bool,
    scaling: float,
) -> torch.Tensor:
    """[T, H, D] `varlen_attn`, whose arguments have changed between versions of torch."""
    from torch.nn.attention.varlen import varlen_attn

    options: dict[str, Any] = {}
    known = inspect.signature(varlen_attn).parameters
    if "window_size" in known:
        options["window_size"] = (-1, 0) if causal else (-1, -1)
    else:
        options["is_causal"] = causal
    if "scale" in known:
        options["scale"] = scaling
    else:
        query = query * (scaling * query.shape[-1] ** 0.5)
    mixed = varlen_attn(query, key, value, bounds, bounds, longest, longest, **options)
    assert isinstance(mixed, torch.Tensor), "no auxiliary output was asked for"
    return mixed


for _name in (PRODUCTS, PRODUCTS_BYTES):
    AttentionMaskInterface.register(_name, with_layout(sdpa_mask))
AttentionMaskInterface.register(VARLEN, _varlen_mask)
AttentionInterface.register(PRODUCTS, product_attention)
AttentionInterface.register(PRODUCTS_BYTES, functools.partial(product_attention, drop=byte_dropout))
AttentionInterface.register(VARLEN, varlen_attention)


# ---- choosing --------------------------------------------------------------------------------------------------------


def use_kernel(model: torch.nn.Module, kernel: Kernel, *, byte_dropout: bool = False) -> bool:
    """Let a model that attends by `scaled_dot_product_attention` attend by a kernel; False where none of it does.

    Args:
        model: prepared for packed rows or not.
        byte_dropout: draw the dropout of `products` by bytes, on a CPU.
    """
    name = PRODUCTS_BYTES if kernel == "products" and byte_dropout else _NAMES[kernel]
    mine = {"sdpa", PRODUCTS_BYTES, *_NAMES.values()}
    found = [
        module.config
        for module in model.modules()
        if isinstance(module, PreTrainedModel) and module.config._attn_implementation in mine
    ]
    for config in found:
        config._attn_implementation = name
    return bool(found)


def has_attention_dropout(model: torch.nn.Module) -> bool:
    """Whether a model drops any of its attention in training, as far as its configuration says."""
    names = ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop", "dropout_rate")
    configs = [module.config for module in model.modules() if isinstance(module, PreTrainedModel)]
    return any(getattr(config, name, 0) for config in configs for name in names)
