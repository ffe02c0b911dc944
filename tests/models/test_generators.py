"""A generator beside a discriminator: found, made, sharing embeddings, saved and read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForTokenClassification,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
)

from acclimate.errors import ModelError
from acclimate.models.generators import GeneratorAndDiscriminator, generator_beside
from acclimate.models.loading import LoadedModel, load_model
from acclimate.models.settings import ModelSettings
from tests.objectives.tiny import bert, tokenizer

HEAD = "replaced-token-detection"
IDS = torch.tensor([[2, 10, 11, 12, 3]])


def electra(**changes: Any) -> ElectraConfig:
    values = {
        "vocab_size": 100,
        "embedding_size": 16,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    }
    return ElectraConfig(**{**values, **changes})


def load(name: Path, generator: Any = None) -> LoadedModel:
    return load_model(ModelSettings(name=str(name)), HEAD, tokenizer(), seed=0, head_options={"generator": generator})


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A discriminator and the generator that its name promises."""
    discriminator, generator = tmp_path / "electra-discriminator", tmp_path / "electra-generator"
    torch.manual_seed(1)
    ElectraForPreTraining(electra()).save_pretrained(discriminator)
    ElectraForMaskedLM(electra(hidden_size=16)).save_pretrained(generator)
    return discriminator, generator


def test_the_generator_of_that_name_is_found(folders: tuple[Path, Path], tmp_path: Path) -> None:
    discriminator, generator = folders
    assert generator_beside(str(discriminator)) == str(generator)
    assert generator_beside("google/electra-small-discriminator") == "google/electra-small-generator"
    assert generator_beside("google-bert/bert-base-uncased") is None
    assert generator_beside(None) is None
    loaded = load(discriminator)
    assert loaded.new_parameters == ()
    assert loaded.model.generator.config.hidden_size == 16


def test_token_embeddings_are_one_parameter(folders: tuple[Path, Path]) -> None:
    model = load(folders[0]).model
    ours = model.discriminator.electra.embeddings.word_embeddings.weight
    assert model.generator.electra.embeddings.word_embeddings.weight is ours
    assert model.generator.generator_lm_head.weight is ours
    # The discriminator's are kept.
    saved = ElectraForPreTraining.from_pretrained(folders[0])
    assert torch.equal(ours, saved.electra.embeddings.word_embeddings.weight)
    counted = sum(parameter.numel() for parameter in {id(p): p for p in model.parameters()}.values())
    assert model.num_parameters() == counted


def test_a_new_generator_is_small(tmp_path: Path) -> None:
    # A quarter of the width and of the heads, the embedding size as it is.
    ElectraForPreTraining(electra(hidden_size=64, intermediate_size=128)).save_pretrained(tmp_path / "a")
    loaded = load(tmp_path / "a")
    config = loaded.model.generator.config
    assert (config.hidden_size, config.num_attention_heads, config.intermediate_size) == (16, 1, 32)
    assert config.embedding_size == 16
    assert loaded.new_parameters and all(name.startswith("generator.") for name in loaded.new_parameters)
    assert "generator.electra.embeddings.word_embeddings.weight" not in loaded.new_parameters
    # BERT has no embedding size of its own: as wide, half as deep; its verdicts come from a token classifier.
    bert().save_pretrained(tmp_path / "b")
    loaded = load(tmp_path / "b")
    config = loaded.model.generator.config
    assert (config.hidden_size, config.num_hidden_layers) == (32, 1)
    assert {"discriminator.classifier.weight", "discriminator.classifier.bias"} <= set(loaded.new_parameters)
    # A configuration says otherwise.
    assert load(tmp_path / "b", {"num_hidden_layers": 2}).model.generator.config.num_hidden_layers == 2


def test_what_does_not_go_together_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    ElectraForMaskedLM(electra(embedding_size=8)).save_pretrained(tmp_path / "narrow")
    with pytest.raises(ModelError, match=r"share their token embeddings.*\(100, 8\).*\(100, 16\)"):
        load(folders[0], str(tmp_path / "narrow"))
    with pytest.raises(ModelError, match="no `hidden_width`"):
        load(folders[0], {"hidden_width": 3})
    with pytest.raises(ModelError, match="nowhere"):
        load(folders[0], str(tmp_path / "nowhere"))


def test_both_are_saved_and_read_again(folders: tuple[Path, Path], tmp_path: Path) -> None:
    model = load(folders[0]).model.eval()
    torch.nn.init.normal_(model.discriminator.electra.embeddings.word_embeddings.weight)
    model.save_pretrained(tmp_path / "run")

    def outputs(subject: GeneratorAndDiscriminator) -> tuple[torch.Tensor, ...]:
        with torch.no_grad():
            return subject({"input_ids": IDS}, lambda logits: logits.argmax(-1))

    expected = outputs(model)
    again = load(tmp_path / "run").model.eval()
    assert all(torch.equal(a, b) for a, b in zip(outputs(again), expected, strict=True))
    other = load(folders[0]).model.eval()
    other.load_weights(tmp_path / "run")
    assert all(torch.equal(a, b) for a, b in zip(outputs(other), expected, strict=True))
    # With plain transformers: the folder is the discriminator, its subfolder the generator.
    generator = AutoModelForMaskedLM.from_pretrained(tmp_path / "run" / "generator").eval()
    discriminator = AutoModelForPreTraining.from_pretrained(tmp_path / "run").eval()
    with torch.no_grad():
        assert torch.allclose(generator(input_ids=IDS).logits, expected[0], atol=1e-6)
        assert torch.allclose(discriminator(input_ids=expected[2]).logits, expected[1], atol=1e-6)


def test_a_token_classifier_says_one_thing_a_token(tmp_path: Path) -> None:
    bert().save_pretrained(tmp_path / "bert")
    model = load(tmp_path / "bert").model.eval()
    with torch.no_grad():
        logits = model({"input_ids": IDS}, lambda _: IDS)[1]
    assert logits.shape == IDS.shape
    model.save_pretrained(tmp_path / "run")
    assert AutoModelForTokenClassification.from_pretrained(tmp_path / "run").config.num_labels == 1


def test_weights_of_something_else_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    model = load(folders[0]).model
    model.save_pretrained(tmp_path / "run")
    bert().save_pretrained(tmp_path / "run" / "generator")
    with pytest.raises(ModelError, match="generator does not hold the weights"):
        model.load_weights(tmp_path / "run")
