"""Packed rows in every model type of the table: no text sees another, and each is computed as if it stood alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedModel

from acclimate.errors import ModelError
from acclimate.models.attention import can_pack, separate_segments
from acclimate.models.families import PACKING

COMMON = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 96,
    "pad_token_id": 1,
    "initializer_range": 0.3,
}
SPECIAL: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 16},
    "electra": {"embedding_size": 16},
    "distilbert": {
        **{key: COMMON[key] for key in ("vocab_size", "max_position_embeddings", "pad_token_id", "initializer_range")},
        "dim": 32,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 64,
    },
    # Sliding windows of 8 tokens in two of three layers.
    "modernbert": {"num_hidden_layers": 4, "local_attention": 8, "cls_token_id": 0, "sep_token_id": 2},
}


def tiny(model_type: str, **changes: Any) -> PreTrainedModel:
    values = SPECIAL[model_type] if model_type == "distilbert" else {**COMMON, **SPECIAL.get(model_type, {})}
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **{**values, **changes})
    return AutoModelForMaskedLM.from_config(config, attn_implementation="sdpa").eval()


FIRST, SECOND, OTHER = torch.randint(5, 120, (3, 1, 13), generator=torch.Generator().manual_seed(1))
SEGMENTS = torch.tensor([[0] * 13 + [1] * 13])
POSITIONS = torch.arange(13).repeat(2)[None]


@pytest.mark.parametrize("model_type", sorted(PACKING))
def test_segments_are_kept_apart(model_type: str) -> None:
    model = tiny(model_type)
    with torch.no_grad():
        alone = [model(input_ids=ids).logits for ids in (FIRST, SECOND)]
        separate_segments(model)
        packed, changed = (
            model(input_ids=torch.cat([FIRST, other], 1), segment_ids=SEGMENTS, position_ids=POSITIONS).logits
            for other in (SECOND, OTHER)
        )
    assert torch.equal(packed[:, :13], changed[:, :13])
    assert not torch.equal(packed[:, 13:], changed[:, 13:])
    assert torch.allclose(packed[:, :13], alone[0], atol=1e-4)
    assert torch.allclose(packed[:, 13:], alone[1], atol=1e-4)


@pytest.mark.parametrize("model_type", sorted(PACKING))
def test_padding_is_not_seen(model_type: str) -> None:
    model = tiny(model_type)
    separate_segments(model)
    padding = torch.full((1, 5), 1)
    with torch.no_grad():
        alone = model(input_ids=FIRST).logits
        padded = model(
            input_ids=torch.cat([FIRST, padding], 1),
            segment_ids=torch.tensor([[0] * 13 + [-1] * 5]),
            position_ids=torch.tensor([[*range(13), 0, 0, 0, 0, 0]]),
        ).logits
    assert torch.allclose(padded[:, :13], alone, atol=1e-4)
    assert padded.isfinite().all()


def test_without_segments_the_model_is_as_before() -> None:
    model = tiny("bert")
    mask = torch.tensor([[1] * 10 + [0] * 3])
    with torch.no_grad():
        before = model(input_ids=FIRST, attention_mask=mask).logits
        separate_segments(model)
        after = model(input_ids=FIRST, attention_mask=mask).logits
        # Segments of one batch are forgotten by the next, even when the forward fails.
        with pytest.raises(IndexError):
            model(input_ids=torch.full((1, 13), 10_000), segment_ids=SEGMENTS[:, :13])
        again = model(input_ids=FIRST, attention_mask=mask).logits
    assert torch.equal(before[:, :10], after[:, :10])
    assert torch.equal(after, again)


def test_gradients_flow_as_in_separate_rows() -> None:
    model = tiny("bert")
    separate_segments(model)
    packed = model(input_ids=torch.cat([FIRST, SECOND], 1), segment_ids=SEGMENTS, position_ids=POSITIONS).logits
    (packed[:, :13].logsumexp(-1).sum()).backward()
    ours = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    model(input_ids=FIRST).logits.logsumexp(-1).sum().backward()
    for name, parameter in model.named_parameters():
        assert torch.allclose(ours[name], parameter.grad, rtol=1e-3, atol=1e-4), name


def test_no_name_of_ours_is_saved(tmp_path: Path) -> None:
    model = tiny("bert")
    separate_segments(model)
    model.save_pretrained(tmp_path)
    assert "acclimate" not in (tmp_path / "config.json").read_text()
    again = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.allclose(model(input_ids=FIRST).logits, again(input_ids=FIRST).logits, atol=1e-5)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["BertForMaskedLM"]


def test_a_model_type_that_was_not_tried_is_refused() -> None:
    config = AutoConfig.for_model(
        "funnel", vocab_size=120, d_model=32, d_head=8, n_head=4, d_inner=64, block_sizes=[1, 1], num_decoder_layers=1
    )
    model = AutoModelForMaskedLM.from_config(config)
    assert not can_pack(model)
    with pytest.raises(ModelError, match="funnel"):
        separate_segments(model)


def test_rows_whose_length_the_model_changes_are_refused() -> None:
    model = tiny("bert")
    separate_segments(model)
    with pytest.raises(ModelError, match="packing: false"):
        model(input_ids=FIRST, segment_ids=SEGMENTS)
