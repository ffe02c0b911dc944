"""What the tables say of each model type, against the models themselves."""

from __future__ import annotations

import inspect

import pytest
import torch
from packaging.version import Version
from transformers import AutoConfig, PreTrainedConfig

from acclimate.errors import ModelError
from acclimate.models.families import (
    ONE_TEXT_A_ROW,
    PACKING,
    family,
    model_types_of,
    packs,
    position_limit,
    position_offset,
)
from tests.models.tiny import MODEL_TYPES, VOCABULARY, tiny_config, tiny_model

ENCODERS = (
    "albert bert camembert convbert data2vec-text deberta deberta-v2 distilbert electra ernie eurobert flaubert funnel "
    "megatron-bert mobilebert modernbert mpnet nomic_bert rembert roberta roberta-prelayernorm roformer xlm "
    "xlm-roberta xlm-roberta-xl"
)
DECODERS = (
    "bloom cohere gemma gemma2 gemma3_text glm glm4 gpt2 gpt_bigcode gpt_neo gpt_neox gptj granite llama ministral "
    "mistral mixtral modernbert-decoder olmo2 opt phi phi3 qwen2 qwen3 qwen3_moe smollm3 stablelm starcoder2"
)
ENCODER_DECODERS = "bart longt5 marian mbart mt5 pegasus plbart t5 umt5"


def test_families() -> None:
    assert model_types_of("encoder") == tuple(ENCODERS.split())
    assert model_types_of("decoder") == tuple(DECODERS.split())
    assert model_types_of("encoder-decoder") == tuple(ENCODER_DECODERS.split())
    for expected in ("encoder", "decoder", "encoder-decoder"):
        assert {family(tiny_config(name)) for name in model_types_of(expected)} == {expected}


def test_an_encoder_may_be_set_up_as_a_decoder() -> None:
    assert family(tiny_config("bert", is_decoder=True)) == "decoder"
    assert family(tiny_config("xlm", causal=True)) == "decoder"


def test_other_models_have_no_family() -> None:
    with pytest.raises(ModelError, match="'vit' is not a language model"):
        family(AutoConfig.for_model("vit"))


def test_settings_may_rule_packs_out() -> None:
    assert packs(tiny_config("deberta-v2"))
    assert not packs(tiny_config("deberta-v2", conv_kernel_size=3))
    assert not any(packs(tiny_config(name)) for name in ONE_TEXT_A_ROW)
    assert not packs(AutoConfig.for_model("big_bird"))
    for name, packing in PACKING.items():
        unknown = set(packing.unless) - {"conv_kernel_size"} - set(dir(tiny_config(name)))
        assert not unknown, f"{name} has no setting {unknown}"


UNLIMITED = ("bloom", "deberta", "deberta-v2", "funnel", "longt5", "mt5", "t5", "umt5")
OFFSET_2 = ("camembert", "data2vec-text", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl")


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_position_limits(model_type: str) -> None:
    """The tiny models have 96 positions where they count them, and RoBERTa's line uses all but two."""
    expected = None if model_type in UNLIMITED else 94 if model_type in OFFSET_2 else 96
    assert position_limit(tiny_config(model_type)) == expected
    assert position_offset(tiny_config(model_type)) == (2 if model_type in OFFSET_2 else 0)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_model_computes_rows_up_to_the_limit(model_type: str) -> None:
    """And fails on a longer one where positions are looked up in a table."""
    config = tiny_config(model_type)
    head = {"encoder": "AutoModelForMaskedLM", "decoder": "AutoModelForCausalLM"}.get(family(config))
    model = tiny_model(model_type, head or "AutoModelForSeq2SeqLM")
    limit = position_limit(config) or 200

    def logits(length: int) -> torch.Tensor:
        ids = torch.randint(5, VOCABULARY, (1, length), generator=torch.Generator().manual_seed(0))
        decoder = {"decoder_input_ids": ids} if config.is_encoder_decoder else {}
        found: torch.Tensor = model(input_ids=ids, **decoder).logits
        return found

    with torch.no_grad():
        assert logits(limit).isfinite().all()
        if _looks_positions_up(model):
            with pytest.raises((IndexError, RuntimeError, AssertionError)):
                logits(limit + 1)


def _looks_positions_up(model: torch.nn.Module) -> bool:
    names = ("position_embeddings", "embed_positions", "wpe")
    return any(
        name.rsplit(".", 1)[-1] in names and isinstance(module, torch.nn.Embedding)
        for name, module in model.named_modules()
    )


def test_positions_of_other_names_and_of_none() -> None:
    config = PreTrainedConfig()
    assert position_limit(config) is None
    config.n_ctx = 77
    assert position_limit(config) == 77
    assert position_limit(AutoConfig.for_model("xlnet")) is None
    # Old checkpoints of T5 say 512, which means nothing.
    assert position_limit(AutoConfig.for_model("t5", n_positions=512)) is None
    assert position_limit(tiny_config("deberta-v2", position_biased_input=True)) == 96


def test_the_offset_is_that_of_the_padding_token() -> None:
    assert position_offset(AutoConfig.for_model("roberta", pad_token_id=3)) == 4
    assert position_offset(AutoConfig.for_model("mpnet", pad_token_id=3)) == 2  # a constant in its embeddings


@pytest.mark.parametrize("model_type", sorted(PACKING))
def test_positions_are_taken_as_the_table_says(model_type: str) -> None:
    """A type without `position_ids` must have positions that are relative, or that are replaced."""
    config = tiny_config(model_type)
    head = {"encoder": "AutoModelForMaskedLM", "decoder": "AutoModelForCausalLM"}.get(family(config))
    model = tiny_model(model_type, head or "AutoModelForSeq2SeqLM")
    if "position_ids" not in inspect.signature(model.forward).parameters:
        relative = ("mt5", "roformer", "t5", "umt5")
        assert PACKING[model_type].positions != "argument" or model_type in relative


def test_older_libraries_that_compute_packs_wrong_get_one_text_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config("umt5")
    monkeypatch.setitem(packs.__globals__, "TRANSFORMERS", Version("5.18.0"))
    assert packs(config)
    monkeypatch.setitem(packs.__globals__, "TRANSFORMERS", Version("5.17.0"))
    assert not packs(config)
    assert packs(tiny_config("t5"))
