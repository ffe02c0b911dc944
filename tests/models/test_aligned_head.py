"""A vocabulary that is filled up gives the same logits and gradients."""

from __future__ import annotations

import copy
from typing import Any

import torch

from acclimate.models.aligned_head import MULTIPLE, align_vocabulary
from acclimate.models.sparse_head import predict_at_positions
from tests.models.test_sparse_head import IDS
from tests.models.tiny import VOCABULARY, tiny_model


def logits_and_gradients(model: Any, weights: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=IDS).logits
    (logits.float() * weights).sum().backward()
    return logits, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_same_logits_and_gradients() -> None:
    assert VOCABULARY % MULTIPLE
    model = tiny_model("bert", "AutoModelForMaskedLM")
    predict_at_positions(model)
    weights = torch.randn(*IDS.shape, VOCABULARY, generator=torch.Generator().manual_seed(3))
    plain, expected = logits_and_gradients(model, weights)
    saved = copy.deepcopy(model.state_dict())
    assert align_vocabulary(model)
    aligned, found = logits_and_gradients(model, weights)
    assert aligned.shape == plain.shape
    # Both are sums of 32 products in bf16, perhaps in another order: 8 bits of mantissa.
    assert torch.allclose(aligned.float(), plain.float(), atol=0.02)
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    assert all(float((found[name] - expected[name]).abs().max()) < 0.01 * largest for name in expected)
    assert all(torch.equal(values, saved[name]) for name, values in model.state_dict().items())


def test_nothing_changes_without_autocast_or_need() -> None:
    model = tiny_model("bert", "AutoModelForMaskedLM")
    predict_at_positions(model)
    plain = model(input_ids=IDS).logits
    assert align_vocabulary(model)
    assert torch.equal(model(input_ids=IDS).logits, plain)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.get_output_embeddings().weight.zero_()
    assert torch.equal(model(input_ids=IDS).logits, plain)
    fitting = tiny_model("bert", "AutoModelForMaskedLM", vocab_size=MULTIPLE * 2)
    predict_at_positions(fitting)
    assert not align_vocabulary(fitting)
