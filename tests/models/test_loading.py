"""Loading: what is new in a model is known, the weights are fp32, and what does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, BertModel, GPT2Config, GPT2LMHeadModel, RobertaConfig, RobertaForMaskedLM

from acclimate.errors import ModelError
from acclimate.models.families import family, load_config, position_limit, position_offset
from acclimate.models.loading import check_max_length, load_model, model_config
from acclimate.models.settings import ModelSettings
from acclimate.recipe import check
from tests.objectives.tiny import PAD, bert, tokenizer

HEAD = "masked-lm"


def test_a_whole_checkpoint_has_nothing_new(tmp_path: Path) -> None:
    bert().save_pretrained(tmp_path)
    loaded = load_model(ModelSettings(name=str(tmp_path)), HEAD, tokenizer(), seed=0)
    assert loaded.new_parameters == ()
    assert not loaded.from_scratch


def test_a_fresh_head_is_told_and_is_a_function_of_the_seed(tmp_path: Path) -> None:
    BertModel(bert().config, add_pooling_layer=False).save_pretrained(tmp_path)
    settings = ModelSettings(name=str(tmp_path))
    first, same, other = (load_model(settings, HEAD, tokenizer(), seed=seed) for seed in (1, 1, 2))
    # The decoder's weight is tied to the embeddings, which the checkpoint has.
    assert first.new_parameters == (
        "cls.predictions.bias",
        "cls.predictions.transform.LayerNorm.bias",
        "cls.predictions.transform.LayerNorm.weight",
        "cls.predictions.transform.dense.bias",
        "cls.predictions.transform.dense.weight",
    )
    weights = [loaded.model.cls.predictions.transform.dense.weight for loaded in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_half_precision_checkpoints_are_trained_in_fp32(tmp_path: Path) -> None:
    bert().to(torch.bfloat16).save_pretrained(tmp_path)
    loaded = load_model(ModelSettings(name=str(tmp_path)), HEAD, tokenizer(), seed=0)
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}


def test_embeddings_grow_with_the_tokenizer(tmp_path: Path) -> None:
    bert(90).save_pretrained(tmp_path)
    loaded = load_model(ModelSettings(name=str(tmp_path)), HEAD, tokenizer(100), seed=0)
    embeddings = loaded.model.get_input_embeddings().weight
    assert embeddings.shape[0] == 100
    assert torch.allclose(embeddings[90:], embeddings[:90].mean(dim=0), atol=1e-6)


def test_a_new_token_in_an_unused_row_starts_at_the_mean_too(tmp_path: Path) -> None:
    # The embeddings have 100 rows, of which 90 to 99 stood for nothing; the tokenizer now has a token 95.
    bert(100).save_pretrained(tmp_path)
    loaded = load_model(ModelSettings(name=str(tmp_path)), HEAD, tokenizer(100), seed=0, new_tokens=(95,))
    embeddings = loaded.model.get_input_embeddings().weight
    others = torch.cat([embeddings[:95], embeddings[96:]])
    assert torch.allclose(embeddings[95], others.mean(dim=0), atol=1e-6)


def test_a_new_model_takes_its_sizes_from_the_tokenizer() -> None:
    settings = ModelSettings(
        config={"model_type": "bert", "hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1}
    )
    loaded = load_model(settings, HEAD, tokenizer(77), seed=0)
    assert loaded.from_scratch
    assert (loaded.model.config.vocab_size, loaded.model.config.pad_token_id) == (77, PAD)
    again = load_model(settings, HEAD, tokenizer(77), seed=0)
    assert all(torch.equal(a, b) for a, b in zip(loaded.model.parameters(), again.model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "x", "config": {"model_type": "bert"}}, "either `name`"),
        ({}, "either `name`"),
        ({"config": {"hidden_size": 3}}, "model_type"),
    ],
)
def test_settings_name_one_origin(values: dict[str, object], said: str) -> None:
    (problem,) = check(ModelSettings, values)
    assert said in problem


def test_an_unknown_model_type_is_an_error() -> None:
    with pytest.raises(ModelError, match="makes no model"):
        model_config(ModelSettings(config={"model_type": "bertt"}))


def test_a_missing_folder_is_an_error() -> None:
    with pytest.raises(ModelError, match="there is no such folder"):
        load_config("./no/such/model")


def test_families() -> None:
    assert family(bert().config) == "encoder"
    assert family(GPT2Config()) == "decoder"
    assert family(AutoConfig.for_model("t5")) == "encoder-decoder"
    with pytest.raises(ModelError, match="no language model|not a language model"):
        family(AutoConfig.for_model("vit"))


def test_positions() -> None:
    roberta = RobertaConfig(max_position_embeddings=514, pad_token_id=1)
    assert (position_limit(roberta), position_offset(roberta)) == (512, 2)
    assert (position_limit(bert().config), position_offset(bert().config)) == (64, 0)
    check_max_length(roberta, 512)
    with pytest.raises(ModelError, match="positions for 512 tokens"):
        check_max_length(roberta, 513)


def test_a_decoder_has_no_masked_head(tmp_path: Path) -> None:
    config = GPT2Config(vocab_size=100, n_embd=32, n_layer=1, n_head=2, n_positions=32)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(ModelSettings(name=str(tmp_path)), HEAD, tokenizer(), seed=0)


def test_a_new_bart_ends_with_the_end_of_its_tokenizer() -> None:
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1}
    made = tokenizer(77)
    made.eos_token = "[SEP]"
    config = model_config(ModelSettings(config={"model_type": "bart", **sizes}), made)
    assert (config.eos_token_id, config.forced_eos_token_id) == (3, 3)


def test_another_padding_than_that_which_positions_count_from_is_refused(tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    RobertaForMaskedLM(RobertaConfig(vocab_size=100, pad_token_id=1, **sizes)).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="has the id 1, and the tokenizer's has 0"):
        load_model(ModelSettings(name=str(tmp_path)), HEAD, tokenizer(), seed=0)
