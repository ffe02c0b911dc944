"""Kernels of attention: the result and the gradient of the ones that they stand for."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from acclimate.errors import ModelError
from acclimate.models import kernels
from acclimate.models.attention import separate_segments
from acclimate.models.families import PACKING, family
from acclimate.models.kernels import has_attention_dropout, use_kernel
from tests.models.test_attention import HEADS, PADDED_SEGMENTS, inputs, segments
from tests.models.tiny import VOCABULARY, tiny_config, tiny_model

IDS = torch.randint(5, VOCABULARY, (1, 30), generator=torch.Generator().manual_seed(3))
# No dropout, under whatever name; a configuration ignores those that it does not have.
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "dropout_rate": 0.0, "dropout": 0.0}


def tiny(model_type: str, **changes: Any) -> PreTrainedModel:
    auto = HEADS[family(tiny_config(model_type))]
    return tiny_model(model_type, auto, attn_implementation="sdpa", **changes)


def run(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits of a forward that wants gradients, and these; those of unread positions do not count."""
    model.zero_grad()
    logits = model(**batch).logits
    logits[PADDED_SEGMENTS.expand(logits.shape[:2]) >= 0].square().sum().backward()
    return logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def check_same(found: tuple[Any, Any], expected: tuple[Any, Any], *, tolerance: float) -> None:
    real = PADDED_SEGMENTS.expand(expected[0].shape[:2]) >= 0
    assert torch.allclose(found[0][real], expected[0][real], atol=tolerance, rtol=tolerance)
    largest = max(float(gradient.abs().max()) for gradient in expected[1].values())
    for name, gradient in expected[1].items():
        assert float((found[1][name] - gradient).abs().max()) < tolerance * largest, name


def takes_sdpa(model_type: str) -> bool:
    auto = HEADS[family(tiny_config(model_type))]
    return bool(getattr(type(tiny_model(model_type, auto)), "_supports_sdpa", False))


SDPA_TYPES = sorted(model_type for model_type in PACKING if takes_sdpa(model_type))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("model_type", SDPA_TYPES)
def test_products_are_what_sdpa_gives(model_type: str, packed: bool) -> None:
    model = tiny(model_type, **STILL)
    batch = inputs(model, IDS)
    if packed:
        separate_segments(model)
        batch |= segments(model, PADDED_SEGMENTS)
    else:
        batch["attention_mask"] = (PADDED_SEGMENTS >= 0).long()
    expected = run(model, batch)
    assert use_kernel(model, "products")
    check_same(run(model, batch), expected, tolerance=1e-4)


def test_long_rows_and_evaluation_use_sdpa(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("bert", **STILL)
    use_kernel(model, "products")
    used = []
    monkeypatch.setattr(
        kernels, "sdpa_attention_forward", lambda *a, **k: used.append(1) or (a[3].transpose(1, 2), None)
    )
    model(input_ids=IDS)
    assert not used
    with torch.no_grad():
        model(input_ids=IDS)
    assert len(used) == 2  # layers
    monkeypatch.setattr(kernels, "LONGEST_BY_PRODUCTS", 29)
    model(input_ids=IDS)
    assert len(used) == 4


@pytest.mark.parametrize("byte_dropout", [True, False])
def test_dropout_of_the_products_is_drawn(byte_dropout: bool) -> None:
    model = tiny("bert", **{**STILL, "attention_probs_dropout_prob": 0.5}).train()
    use_kernel(model, "products", byte_dropout=byte_dropout)
    torch.manual_seed(1)
    first = model(input_ids=IDS).logits
    again = model(input_ids=IDS).logits
    torch.manual_seed(1)
    assert torch.equal(model(input_ids=IDS).logits, first)
    assert not torch.equal(again, first)


def test_models_with_their_own_attention_keep_it() -> None:
    model = tiny_model("deberta-v2", "AutoModelForMaskedLM")
    assert not use_kernel(model, "products")


def test_attention_dropout_is_known() -> None:
    assert has_attention_dropout(tiny("bert"))
    assert not has_attention_dropout(tiny("bert", **STILL))
    assert not has_attention_dropout(tiny("llama"))


# ---- variable lengths ------------------------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What torch's kernel computes, sequence by sequence, in its place: it runs on a GPU only. How many sequences each
    call had."""
    found: list[int] = []

    def varlen_attn(
        query: Any, key: Any, value: Any, cu_seq_q: Any, cu_seq_k: Any, max_q: int, max_k: int, **options: Any
    ) -> torch.Tensor:
        assert query.dtype == torch.bfloat16 and cu_seq_q.dtype == torch.int32
        assert torch.equal(cu_seq_q, cu_seq_k) and max_q == max_k >= int(cu_seq_q.diff().max())
        parts = []
        for start, end in zip(cu_seq_q[:-1].tolist(), cu_seq_q[1:].tolist(), strict=True):
            rows = (tensor[start:end].transpose(0, 1)[None].float() for tensor in (query, key, value))
            causal = options["window_size"] == (-1, 0)
            mixed = functional.scaled_dot_product_attention(*rows, is_causal=causal, scale=options["scale"])
            parts.append(mixed[0].transpose(0, 1).to(query.dtype))
        found.append(len(parts))
        return torch.cat(parts)

    # The names that the kernel of this version of torch knows.
    options = inspect.Parameter.KEYWORD_ONLY
    names = [inspect.Parameter(name, options) for name in ("scale", "window_size")]
    varlen_attn.__signature__ = inspect.Signature(names)  # type: ignore[attr-defined]
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", varlen_attn)
    return found


@pytest.mark.parametrize("model_type", ["bert", "roberta", "llama", "qwen3", "gpt2", "eurobert"])
def test_variable_lengths_are_what_masks_give(model_type: str, calls: list[int]) -> None:
    model = tiny(model_type, **STILL)
    separate_segments(model)
    batch = {
        "input_ids": IDS.repeat(2, 1),
        "segment_ids": torch.stack([PADDED_SEGMENTS[0], torch.zeros(30, dtype=torch.long)]),
    }
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        use_kernel(model, "sdpa")
        expected = model(**batch).logits.float()
        use_kernel(model, "varlen")
        found = model(**batch).logits.float()
    # Three texts (one is padding) in the first row, one in the second; in each of two layers.
    assert calls == [4, 4]
    real = batch["segment_ids"] >= 0
    assert torch.allclose(found[real], expected[real], atol=0.15, rtol=0.05)
    with torch.no_grad():
        # Evaluation in fp32 is not for the kernel: masks keep the texts apart.
        whole = model(**batch).logits
        use_kernel(model, "sdpa")
        assert torch.equal(model(**batch).logits, whole)
    assert calls == [4, 4]


def test_sliding_windows_and_prefixes_keep_their_masks(calls: list[int]) -> None:
    model = tiny("modernbert")
    separate_segments(model)
    use_kernel(model, "varlen")
    batch = {"input_ids": IDS, "segment_ids": PADDED_SEGMENTS}
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        model(**batch)
        full = sum(kind == "full_attention" for kind in model.config.layer_types)
        assert 0 < full < model.config.num_hidden_layers
        assert len(calls) == full
        model(**batch, visibility=torch.zeros_like(IDS))
    assert len(calls) == full


def test_variable_lengths_refuse_dropout(calls: list[int]) -> None:
    model = tiny("bert").train()
    separate_segments(model)
    use_kernel(model, "varlen")
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ModelError, match="`model.dropout: 0`"):
        model(input_ids=IDS, segment_ids=PADDED_SEGMENTS)


@pytest.mark.gpu
@pytest.mark.parametrize("model_type", ["bert", "llama"])
def test_the_real_kernel(model_type: str) -> None:
    model = tiny(model_type, **STILL).cuda()
    separate_segments(model)
    batch = {"input_ids": IDS.cuda(), "segment_ids": PADDED_SEGMENTS.cuda()}
    real = PADDED_SEGMENTS >= 0
    with torch.autocast("cuda", torch.bfloat16):
        use_kernel(model, "sdpa")
        expected = model(**batch).logits.float().cpu()
        use_kernel(model, "varlen")
        found = model(**batch).logits.float()
        found.square().sum().backward()
    assert torch.allclose(found.detach().cpu()[real], expected.detach()[real], atol=0.15, rtol=0.05)
