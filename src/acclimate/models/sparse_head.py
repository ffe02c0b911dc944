"""The head of a model at a few positions only.

A head of V tokens gives B x L x V logits, of which a masked language model's loss looks at 15 %. Here a hook on the
body hands the model's own head only the hidden states at the positions that are asked for, so that every head layout
works, logits and gradients are the same, and memory is no longer batch x length x vocabulary.

Where the labels are given as well, the head runs on chunks of the positions and no logits are kept (`token_losses.py`).
The model's own forward is then run once more for each chunk, with its body standing still: it gives back what it said,
but for the hidden states of the chunk. So whatever a forward does between body and logits (scaling, a soft cap, a
projection) is done.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from transformers import PreTrainedModel

from acclimate.models.families import ONE_TEXT_A_ROW, PACKING
from acclimate.models.token_losses import TokenLosses, token_losses

_HIDDEN = "last_hidden_state"
# Numbers in the logits at a time; None: as fits the device.
CHUNK: int | None = None


@dataclass
class _Body:
    """What the hook on the body finds, and what it leaves behind.

    Attributes:
        positions: [N] where the head is to run; None: everywhere.
        output: what the body said last, with the hidden states at `positions`: [1, N, H].
        keep: whether the forward that is running wants `output` rather than the head's logits.
    """

    positions: torch.Tensor | None = None
    output: Any = None
    keep: bool = False


def predict_at_positions(model: PreTrainedModel) -> None:
    """Make `model(..., head_positions=...)` run its head at these positions only; without them it works as before.

    The forward then takes

    - `head_positions` [N]: places in the rows laid end to end, b * length + l; of the decoder's rows in an
      encoder-decoder. The logits are [1, N, V].
    - `head_labels` [N] besides: the tokens to be said there, -100 for none. The output is a dict of what the model says
      beside its logits, and of `token_total`, `token_losses`, `token_correct` and `token_ranks` (see
      `TokenLosses`).

    The attribute `takes_head_positions` says that it is so. Model types that were not tried are left as they are.

    Args:
        model: a model of `transformers` with its head; bare, adapters may come later.
    """
    tried = model.config.model_type in PACKING or model.config.model_type in ONE_TEXT_A_ROW
    if hasattr(model, "takes_head_positions") or not tried:
        return
    body = _body(model)
    body._head_positions = _Body()
    body.register_forward_hook(_gather)
    # The plain function, bound again: so a deep copy of the model calls its own forward.
    inner: Callable[..., Any] = model.forward.__func__
    accepts = inspect.signature(inner).parameters

    @functools.wraps(inner)
    def forward(
        self: PreTrainedModel,
        *args: Any,
        head_positions: torch.Tensor | None = None,
        head_labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        if head_positions is None:
            return inner(self, *args, **kwargs)
        if "use_cache" in accepts:
            kwargs.setdefault("use_cache", False)
        run = functools.partial(inner, self, *args, **kwargs)
        if head_labels is None:
            with _positions(self, head_positions):
                return run()
        return _with_losses(self, run, head_positions, head_labels)

    model.forward = MethodType(forward, model)
    model.takes_head_positions = True


# Model types whose head takes what the decoder within the base model says.
_HEAD_ON_DECODER = frozenset({"opt"})


def _body(model: PreTrainedModel) -> Any:
    """The module whose hidden states the head takes; in T5, which has no base model, the decoder."""
    body = model.base_model
    return model.get_decoder() if body is model or model.config.model_type in _HEAD_ON_DECODER else body


def _still(model: PreTrainedModel) -> list[Any]:
    """The modules that compute what the head takes, as the model's own forward calls them."""
    body = _body(model)
    return [body, model.get_encoder()] if model.base_model is model else [body]


@contextmanager
def _positions(model: PreTrainedModel, positions: torch.Tensor, *, keep: bool = False) -> Iterator[_Body]:
    state: _Body = _body(model)._head_positions
    state.positions, state.keep = positions, keep
    try:
        yield state
    finally:
        state.positions, state.output, state.keep = None, None, False


def _gather(body: Any, args: Any, output: Any) -> Any:
    """The body's hook: its hidden states at the positions, [1, N, H]."""
    state: _Body = body._head_positions
    if state.positions is None:
        return None
    gathered = _hidden(output).flatten(0, 1).index_select(0, state.positions)[None]
    output = _with_hidden(output, gathered)
    if not state.keep:
        return output
    state.output = output
    # The head is not asked yet: one position is enough for what the forward computes beside.
    return _with_hidden(output, gathered[:, :1].detach())


def _hidden(output: Any) -> torch.Tensor:
    hidden: torch.Tensor = output[0] if isinstance(output, tuple) else output[_HIDDEN]
    return hidden


def _with_hidden(output: Any, hidden: torch.Tensor) -> Any:
    """What a body said, with other hidden states."""
    if isinstance(output, tuple):
        return (hidden, *output[1:])
    changed = copy.copy(output)
    changed[_HIDDEN] = hidden
    return changed


def _with_losses(
    model: PreTrainedModel, run: Callable[[], Any], positions: torch.Tensor, labels: torch.Tensor
) -> dict[str, Any]:
    with _positions(model, positions, keep=True) as state:
        beside = run()
        said = state.output

    def head(hidden_NH: torch.Tensor) -> torch.Tensor:
        with _standing_still(model, _with_hidden(said, hidden_NH[None])):
            return _logits(run())[0]

    vocabulary = int(model.get_output_embeddings().weight.shape[0])
    found: TokenLosses = token_losses(
        head, _hidden(said)[0], labels, _head_parameters(model), vocabulary=vocabulary, chunk=CHUNK
    )
    return {
        **{name: value for name, value in beside.items() if name not in _LOGITS},
        "token_total": found.total,
        "token_losses": found.losses,
        "token_correct": found.correct,
        "token_ranks": found.ranks,
    }


_LOGITS = ("logits", "prediction_logits")


def _logits(output: Any) -> torch.Tensor:
    logits: torch.Tensor = next(output[name] for name in _LOGITS if name in output)
    return logits


@contextmanager
def _standing_still(model: PreTrainedModel, said: Any) -> Iterator[None]:
    """The body (and T5's encoder) gives back what it said, without computing anything."""
    modules = _still(model)
    own = [module.__dict__.get("forward") for module in modules]
    for module in modules:
        module.forward = lambda *args, **kwargs: said
    try:
        yield
    finally:
        for module, forward in zip(modules, own, strict=True):
            if forward is None:
                del module.forward
            else:
                module.forward = forward


def _head_parameters(model: PreTrainedModel) -> list[torch.Tensor]:
    """The parameters outside of the body, and the output embeddings, which may be the body's own."""
    body = {id(module) for module in (model.base_model, *_still(model))}
    modules = [model.get_output_embeddings(), *(child for child in model.children() if id(child) not in body)]
    return list({id(parameter): parameter for module in modules for parameter in module.parameters()}.values())
