"""The section `compute:`: what is chosen where, that it can be switched off, and that it learns the same."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from acclimate.errors import RecipeError
from acclimate.models.attention import separate_segments
from acclimate.models.dropout import ByteDropout
from acclimate.models.kernels import PRODUCTS_BYTES
from acclimate.models.sparse_head import predict_at_positions
from acclimate.objectives.predictions import takes_head_positions
from acclimate.recipe import validate
from acclimate.training import compute
from acclimate.training.compute import ComputeSettings, set_up, wants_compile, with_compile
from acclimate.training.settings import training_arguments
from tests.models.tiny import tiny_model

OFF = ComputeSettings(sparse_head=False, attention="sdpa", byte_dropout=False, keep_memory=False)


def bert(**changes: Any) -> Any:
    model = tiny_model("bert", "AutoModelForMaskedLM", attn_implementation="sdpa", **changes)
    predict_at_positions(model)
    separate_segments(model)
    return model


def arguments(device: str = "cpu", **values: Any) -> Any:
    found = {"bf16": False, "fp16": False, **values}
    return SimpleNamespace(device=torch.device(device), **found)


def test_the_defaults_of_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "keep_memory", lambda: True)
    model = bert()
    chosen = set_up(model, ComputeSettings(), arguments(), {})
    assert chosen == {
        "precision": "fp32",
        "attention": "products",
        "sparse_head": True,
        "byte_dropout": True,
        "keep_memory": True,
        "torch_compile": False,
        "threads": torch.get_num_threads(),
    }
    assert takes_head_positions(model)
    assert model.config._attn_implementation == PRODUCTS_BYTES
    assert any(isinstance(module, ByteDropout) for module in model.modules())


def test_all_of_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "keep_memory", lambda: pytest.fail("memory was to be left alone"))
    model = bert()
    chosen = set_up(model, OFF, arguments(), {})
    assert (chosen["attention"], chosen["sparse_head"], chosen["keep_memory"]) == ("sdpa", False, False)
    assert not takes_head_positions(model)
    assert not any(isinstance(module, ByteDropout) for module in model.modules())


@pytest.mark.parametrize(
    ("values", "dropout", "kernel"),
    [
        ({"bf16": True}, None, "sdpa"),  # BERT drops attention, which the kernel cannot
        ({"bf16": True}, 0.0, "varlen"),
        ({}, 0.0, "sdpa"),  # fp32
    ],
)
def test_the_kernel_of_a_gpu(values: dict[str, bool], dropout: float | None, kernel: str) -> None:
    chosen = set_up(bert(), ComputeSettings(), arguments("cuda", **values), {}, dropout=dropout)
    assert chosen["attention"] == kernel
    assert not chosen["byte_dropout"] and not chosen["keep_memory"]


@pytest.mark.parametrize(
    ("training", "device", "steps", "model_type", "packed", "expected"),
    [
        ({}, "cuda", 2000, "bert", True, True),
        ({}, "cuda", 1999, "bert", True, False),  # would not be repaid
        ({}, "cpu", 2000, "bert", True, False),
        ({}, "cuda", 2000, "bert", False, False),  # rows of many lengths
        ({}, "cuda", 2000, "albert", True, False),  # its layers are one
        ({"torch_compile": False}, "cuda", 2000, "bert", True, False),
        ({"torch_compile": True}, "cpu", 1, "bert", False, True),
    ],
)
def test_long_runs_on_a_gpu_are_compiled(
    training: dict[str, bool],
    device: str,
    steps: int,
    model_type: str,
    packed: bool,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compute, "can_compile", lambda: True)
    monkeypatch.setattr(compute, "fall_back_where_needed", lambda: None)
    model = tiny_model(model_type, "AutoModelForMaskedLM")
    found = with_compile(training, arguments(device, max_steps=steps), model, packed=packed)
    assert wants_compile(found) is expected
    monkeypatch.setattr(compute, "can_compile", lambda: False)
    assert with_compile(training, arguments(device, max_steps=steps), model, packed=packed) == training


def test_a_model_with_its_own_attention_keeps_it() -> None:
    model = tiny_model("deberta-v2", "AutoModelForMaskedLM")
    predict_at_positions(model)
    assert set_up(model, OFF, arguments(), {})["attention"] is None


def test_mistakes_are_told() -> None:
    with pytest.raises(RecipeError, match=r"compute\.attention"):
        validate(ComputeSettings, {"attention": "flash"}, "here", path="compute")


@pytest.mark.parametrize("fast", [True, False])
def test_bf16_is_the_default_where_it_is_fast(fast: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("acclimate.training.settings.has_fast_bf16", lambda *, on_cpu: fast)

    def precision(**values: Any) -> tuple[bool, bool]:
        args = training_arguments({"use_cpu": True, **values}, tmp_path, seed=0, report_to="none")
        return args.bf16, args.fp16

    assert precision() == (fast, False)
    assert precision(bf16=True) == (True, False)
    assert precision(bf16=False) == (False, False)
