"""LoRA: only the adapter is trained, a fresh one changes nothing, and a saved one finds its model again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from acclimate.errors import ModelError
from acclimate.models.adapters import adapted_base, add_adapter, is_adapted, without_adapter
from acclimate.models.loading import load_model, model_config
from acclimate.models.settings import AdapterSettings, ModelSettings
from acclimate.recipe import validate
from tests.objectives.tiny import tokenizer

IDS = torch.tensor([[10, 11, 12, 13]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(tmp_path / "llama")
    return tmp_path / "llama"


def load(name: Path) -> torch.nn.Module:
    settings = ModelSettings(name=str(name))
    return load_model(settings, "causal-lm", tokenizer(), seed=0, keep_dtype=True).model.eval()


def test_only_the_adapter_is_trained(folder: Path) -> None:
    model = load(folder)
    with torch.no_grad():
        before = model(input_ids=IDS).logits
    adapted = add_adapter(model, AdapterSettings(r=4), "causal-lm", seed=0)
    assert is_adapted(adapted) and not is_adapted(model)
    assert without_adapter(adapted) is model
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    # The model's own weights keep their type, the adapter's are fp32.
    types = {parameter.dtype for name, parameter in adapted.named_parameters() if name not in trained}
    assert types == {torch.bfloat16}
    assert {parameter.dtype for name, parameter in adapted.named_parameters() if name in trained} == {torch.float32}
    # B is zero at first.
    with torch.no_grad():
        assert torch.equal(adapted.eval()(input_ids=IDS).logits, before)


def test_a_fresh_adapter_is_a_function_of_the_seed(folder: Path) -> None:
    def weights(seed: int) -> torch.Tensor:
        adapted = add_adapter(load(folder), AdapterSettings(), "causal-lm", seed=seed)
        return torch.cat([p.flatten() for name, p in adapted.named_parameters() if "lora_A" in name])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_a_saved_adapter_finds_its_model(folder: Path, tmp_path: Path) -> None:
    adapted = add_adapter(load(folder), AdapterSettings(r=4), "causal-lm", seed=0)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    adapted.save_pretrained(tmp_path / "run")
    assert adapted_base(str(tmp_path / "run")) == (str(folder), None)
    assert adapted_base(str(folder)) is None
    assert model_config(ModelSettings(name=str(tmp_path / "run"))).model_type == "llama"
    with torch.no_grad():
        expected = adapted.eval()(input_ids=IDS).logits
        assert torch.allclose(load(tmp_path / "run")(input_ids=IDS).logits, expected, atol=2e-2)
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / "run").eval()
        assert torch.allclose(plain(input_ids=IDS).logits, expected, atol=2e-2)
        assert not torch.allclose(load(folder)(input_ids=IDS).logits, expected, atol=2e-2)


def test_layers_that_are_not_there_are_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="`adapter` does not fit this model.*nowhere"):
        add_adapter(load(folder), AdapterSettings(target_modules=["nowhere"]), "causal-lm", seed=0)


def test_a_damaged_configuration_is_told(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(ModelError, match="no configuration of an adapter"):
        adapted_base(str(tmp_path))


def test_the_shorthand() -> None:
    assert validate(AdapterSettings, "lora", "here").r == 16


def test_a_head_beneath_an_adapter_can_be_given_few_positions(folder: Path) -> None:
    # What a loss on few positions needs: a hook on the body hands the head only those rows. Under an adapter the body
    # is that of the model beneath it. Logits and the adapter's gradients are those of the whole, gathered afterwards.
    adapted = add_adapter(load(folder).float(), AdapterSettings(r=4), "causal-lm", seed=0)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    positions = torch.tensor([1, 3])

    def gathered(module: torch.nn.Module, args: object, output: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        output["last_hidden_state"] = output["last_hidden_state"][:, positions]
        return output

    def gradients(logits: torch.Tensor) -> dict[str, torch.Tensor]:
        adapted.zero_grad()
        logits.square().sum().backward()
        return {name: p.grad.clone() for name, p in adapted.named_parameters() if p.grad is not None}

    whole = adapted(input_ids=IDS).logits[:, positions]
    expected = gradients(whole)
    hook = without_adapter(adapted).base_model.register_forward_hook(gathered)
    few = adapted(input_ids=IDS).logits
    found = gradients(few)
    hook.remove()
    assert few.shape == (1, 2, 100)
    assert torch.allclose(few, whole, atol=1e-6)
    assert found.keys() == expected.keys() and expected
    top = float(max(gradient.abs().max() for gradient in expected.values()))
    differences = {name: float((found[name] - expected[name]).abs().max()) / top for name in expected}
    assert max(differences.values()) < 1e-5, differences
