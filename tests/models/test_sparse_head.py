"""A head at a few positions, in every model type: logits, losses and gradients of the whole, gathered afterwards."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from acclimate.models import sparse_head, token_losses
from acclimate.models.adapters import add_adapter
from acclimate.models.attention import separate_segments
from acclimate.models.families import PACKING, family
from acclimate.models.settings import AdapterSettings
from acclimate.models.sparse_head import predict_at_positions
from tests.models.test_attention import HEADS, PEFT_WARNS
from tests.models.tiny import MODEL_TYPES, VOCABULARY, tiny_config, tiny_model

IDS = torch.randint(5, VOCABULARY, (3, 16), generator=torch.Generator().manual_seed(2))
# Of three rows laid end to end, some places; none of the second row.
POSITIONS = torch.tensor([0, 3, 4, 15, 33, 40, 47])
LABELS = IDS.flatten()[POSITIONS]


def tiny(model_type: str) -> PreTrainedModel:
    """MobileBERT in double precision: a pre-activation of its ReLU is so near to zero that fp32 rounds its gradient to
    either side."""
    model = tiny_model(model_type, HEADS[family(tiny_config(model_type))])
    return model.double() if model_type == "mobilebert" else model


def inputs(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    decoder = {"decoder_input_ids": IDS.flip(1)} if model.config.is_encoder_decoder else {}
    return {"input_ids": IDS, "attention_mask": torch.ones_like(IDS), **decoder}


def gradients(model: torch.nn.Module, total: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    total.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def check_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Equal within a hundred-thousandth of the largest gradient; one that is missing is zero."""
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    assert largest > 0
    for name in found.keys() | expected.keys():
        difference = found.get(name, torch.zeros(())) - expected.get(name, torch.zeros(()))
        assert float(difference.abs().max()) < 1e-5 * largest, name


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_logits_losses_and_gradients_are_those_of_the_whole(model_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny(model_type)
    whole = model(**inputs(model)).logits.flatten(0, 1)[POSITIONS]
    losses = F.cross_entropy(whole.float(), LABELS, reduction="none")
    expected = gradients(model, losses.sum())

    predict_at_positions(model)
    few = model(**inputs(model), head_positions=POSITIONS).logits
    assert few.shape == (1, len(POSITIONS), VOCABULARY)
    assert torch.allclose(few[0], whole, atol=1e-5)
    check_close(gradients(model, F.cross_entropy(few[0], LABELS, reduction="sum")), expected)

    # At once, and in chunks of 3, 3 and 1 positions.
    for chunk in (token_losses.CHUNK, 3 * VOCABULARY):
        monkeypatch.setattr(sparse_head, "CHUNK", chunk)
        output = model(**inputs(model), head_positions=POSITIONS, head_labels=LABELS)
        assert torch.allclose(output["token_losses"], losses, atol=1e-5)
        assert output["token_correct"] is None
        check_close(gradients(model, output["token_total"]), expected)
        with torch.inference_mode():
            again = model(**inputs(model), head_positions=POSITIONS, head_labels=LABELS)
        assert torch.allclose(again["token_losses"], losses, atol=1e-5)
        assert torch.equal(again["token_correct"], whole.argmax(-1) == LABELS)
    # Without positions it works as before.
    assert torch.equal(model(**inputs(model)).logits.flatten(0, 1)[POSITIONS], whole)


@pytest.mark.parametrize("model_type", ["bert", "llama", "t5", "bart", "xlm", "deberta-v2"])
def test_packed_rows_have_heads_at_positions_too(model_type: str) -> None:
    """In whatever order the model was prepared."""
    assert model_type in PACKING
    first, second = tiny(model_type), tiny(model_type)
    separate_segments(first)
    predict_at_positions(first)
    predict_at_positions(second)
    separate_segments(second)
    segments = torch.tensor([[0] * 9 + [1] * 7]).expand(3, 16)
    packed = {
        "segment_ids": segments,
        **({"decoder_segment_ids": segments} if second.config.is_encoder_decoder else {}),
    }
    batch = {name: values for name, values in inputs(first).items() if name != "attention_mask"} | packed
    with torch.no_grad():
        whole = first(**batch).logits.flatten(0, 1)[POSITIONS]
        for model in (first, second):
            few = model(**batch, head_positions=POSITIONS).logits[0]
            output = model(**batch, head_positions=POSITIONS, head_labels=LABELS)
            assert torch.allclose(few, whole, atol=1e-5)
            assert torch.allclose(output["token_losses"], F.cross_entropy(whole, LABELS, reduction="none"), atol=1e-5)


def test_what_a_model_says_beside_stays() -> None:
    model = tiny_model("bert", "AutoModelForPreTraining")
    verdicts = model(**inputs(model)).seq_relationship_logits
    predict_at_positions(model)
    output = model(**inputs(model), head_positions=POSITIONS, head_labels=LABELS)
    assert torch.allclose(output["seq_relationship_logits"], verdicts, atol=1e-6)
    assert "prediction_logits" not in output


def test_positions_that_are_no_targets_count_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As fills up a fixed number of positions."""
    model = tiny("bert")
    predict_at_positions(model)
    for chunk in (token_losses.CHUNK, 3 * VOCABULARY):
        monkeypatch.setattr(sparse_head, "CHUNK", chunk)
        few = model(**inputs(model), head_positions=POSITIONS, head_labels=LABELS)
        filled = model(
            **inputs(model),
            head_positions=F.pad(POSITIONS, (0, 2)),
            head_labels=F.pad(LABELS, (0, 2), value=token_losses.IGNORE),
        )
        assert torch.allclose(filled["token_total"], few["token_total"], atol=1e-4)
        assert filled["token_losses"][-2:].tolist() == [0, 0]
        check_close(gradients(model, filled["token_total"]), gradients(model, few["token_total"]))


@PEFT_WARNS
def test_adapters_have_heads_at_positions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_head, "CHUNK", 3 * VOCABULARY)
    model = tiny("llama")
    predict_at_positions(model)
    adapted = add_adapter(model, AdapterSettings(r=4), "causal-lm", seed=0)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    assert adapted.takes_head_positions
    whole = adapted(**inputs(model)).logits.flatten(0, 1)[POSITIONS]
    expected = gradients(adapted, F.cross_entropy(whole, LABELS, reduction="sum"))
    output = adapted(**inputs(model), head_positions=POSITIONS, head_labels=LABELS)
    assert torch.allclose(output["token_total"], F.cross_entropy(whole, LABELS, reduction="sum"), rtol=1e-5)
    check_close(gradients(adapted, output["token_total"]), expected)


def test_a_copy_has_a_head_of_its_own() -> None:
    model = tiny("bert")
    predict_at_positions(model)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
        few = model(**inputs(model), head_positions=POSITIONS).logits[0]
        assert torch.allclose(few, model(**inputs(model)).logits.flatten(0, 1)[POSITIONS], atol=1e-5)
        changed = other(**inputs(model), head_positions=POSITIONS).logits[0]
        assert torch.allclose(changed, other(**inputs(model)).logits.flatten(0, 1)[POSITIONS], atol=1e-5)
    assert not torch.allclose(few, changed, atol=1e-2)


def test_logits_are_never_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tensor of the loss has more numbers than a chunk, or than the head's weights."""
    chunk = 8 * VOCABULARY
    monkeypatch.setattr(sparse_head, "CHUNK", chunk)
    model = tiny("llama")
    predict_at_positions(model)
    positions = torch.arange(IDS.numel())
    largest = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.shape[-1:] == (VOCABULARY,):
                largest.append(result.numel())
            return result

    with Watch():
        model(**inputs(model), head_positions=positions, head_labels=IDS.flatten())
    assert max(largest) == chunk < IDS.numel() * VOCABULARY


def test_types_that_were_not_tried_are_left_alone() -> None:
    model = tiny("bert")
    model.config.model_type = "bert-of-ones-own"
    predict_at_positions(model)
    assert not hasattr(model, "takes_head_positions")
    assert model(**inputs(model)).logits.shape == (3, 16, VOCABULARY)
