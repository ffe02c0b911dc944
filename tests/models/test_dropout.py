"""Dropout by bytes: its rates, its gradient, and that it stays a function of torch's generator."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from acclimate.models.dropout import ByteDropout, byte_dropout, dropout_changes, use_byte_dropout
from acclimate.models.families import family
from acclimate.models.loading import load_model
from acclimate.models.settings import ModelSettings
from tests.models.test_attention import HEADS
from tests.models.tiny import MODEL_TYPES, tiny_config, tiny_model
from tests.objectives.test_matrix import matrix_tokenizer


@pytest.mark.parametrize("p", [0.1, 0.5, 0.001, 0.999])
def test_rate_and_scale(p: float) -> None:
    """0.1 is 26 of 256, 0.5 is 128; 0.001 and 0.999 are the smallest and largest, 1 and 255."""
    threshold = min(max(round(256 * p), 1), 255)
    torch.manual_seed(0)
    count = 1_000_003
    values = byte_dropout(torch.ones(count), p)
    kept = values > 0
    rate = 1 - threshold / 256
    # Within four standard errors of a binomial share.
    assert abs(float(kept.float().mean()) - rate) < 4 * (rate * (1 - rate) / count) ** 0.5
    assert torch.allclose(values[kept], torch.tensor(256 / (256 - threshold)))


def test_neighbours_are_independent() -> None:
    """Eight elements share a draw: of two neighbours both are dropped a quarter of the time at p = 1/2, whatever their
    place in it, the top bit's included."""
    torch.manual_seed(0)
    dropped = byte_dropout(torch.ones(400_000), 0.5).view(-1, 8) == 0
    shares = (dropped[:, :, None] & dropped[:, None, :]).float().mean(0)
    expected = torch.full((8, 8), 0.25).fill_diagonal_(0.5)
    assert torch.allclose(shares, expected, atol=4 * (0.25 / 50_000) ** 0.5)


def test_the_gradient_goes_where_values_went() -> None:
    torch.manual_seed(0)
    values = torch.randn(7, 11, requires_grad=True)
    dropped = byte_dropout(values, 0.5)
    dropped.sum().backward()
    assert torch.equal(values.grad, torch.where(dropped == 0, 0.0, 2.0))


def test_it_is_a_function_of_the_generator() -> None:
    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return byte_dropout(torch.ones(100), 0.5)

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_nothing_is_dropped_in_evaluation_or_at_zero() -> None:
    ones = torch.ones(100)
    assert torch.equal(ByteDropout(0.5).eval()(ones), ones)
    assert torch.equal(byte_dropout(ones, 0.0), ones)
    assert torch.equal(ByteDropout(1.0)(ones), torch.zeros(100))


def test_a_model_takes_it() -> None:
    model = tiny_model("bert", "AutoModelForMaskedLM")
    state = copy.deepcopy(model.state_dict())
    use_byte_dropout(model)
    kinds = {type(module) for module in model.modules() if isinstance(module, torch.nn.Dropout)}
    assert kinds == {ByteDropout}
    assert model.state_dict().keys() == state.keys()


def _two_draws(model: torch.nn.Module, config: Any) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(5, 120, (2, 12), generator=torch.Generator().manual_seed(1))
    inputs = {"input_ids": ids, **({"decoder_input_ids": ids} if config.is_encoder_decoder else {})}
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        with torch.no_grad():
            found.append(model.train()(**inputs).logits)
    return found[0], found[1]


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_dropout_can_be_set_for_every_model_type(model_type: str, tmp_path: Path) -> None:
    """At 0 nothing is drawn, while the saved configuration keeps what it said."""
    kind = family(tiny_config(model_type))
    names = dropout_changes(tiny_config(model_type), 0.5)
    tiny_model(model_type, HEADS[kind], **names).save_pretrained(tmp_path)
    found = {}
    for p in (None, 0.0):
        settings = ModelSettings(name=str(tmp_path), dropout=p)
        model = load_model(settings, HEAD_NAMES[kind], matrix_tokenizer(kind), seed=0).model
        assert all(getattr(model.config, name) == 0.5 for name in names)
        first, second = _two_draws(model)
        found[p] = torch.equal(first, second)
    assert found == {None: not names, 0.0: True}


HEAD_NAMES = {"encoder": "masked-lm", "decoder": "causal-lm", "encoder-decoder": "seq2seq-lm"}


def _two_draws(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(5, 120, (2, 12), generator=torch.Generator().manual_seed(1))
    inputs = {"input_ids": ids, **({"decoder_input_ids": ids} if model.config.is_encoder_decoder else {})}
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        with torch.no_grad():
            found.append(model.train()(**inputs).logits)
    return found[0], found[1]
