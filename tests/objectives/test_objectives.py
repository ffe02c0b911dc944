"""The table of objectives: which fit a model, which one is its own, and what is said where one does not fit."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

from acclimate.errors import ModelError, RecipeError
from acclimate.models.families import ONE_TEXT_A_ROW, PACKING, family
from acclimate.models.heads import HEADS
from acclimate.objectives import (
    OBJECTIVES,
    OWN_OBJECTIVE,
    check_fit,
    check_objective,
    find_objective,
    fitting_objectives,
    make_objective,
    own_objective,
    resolve_objective,
)
from acclimate.tokens.added import add_missing_tokens
from acclimate.tokens.store import SENTENCE_START, WORD_START
from tests.models.tiny import tiny_config
from tests.objectives.tiny import MASK, PAD, memory_store, tokenizer

ENCODERS = "bert ernie roberta xlm-roberta distilbert convbert xlm flaubert funnel deberta-v2 modernbert megatron-bert"
DECODERS = "bloom gpt2 gpt_neox llama phi phi3 qwen2 qwen3 glm"
T5_LIKE = "t5 mt5 umt5 longt5"
BART_LIKE = "bart mbart pegasus"


def config_of(model_type: str, *architectures: str) -> Any:
    config = tiny_config(model_type)
    config.architectures = list(architectures) or None
    return config


# ---- the table ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_row_is_complete(name: str) -> None:
    objective = OBJECTIVES[name]
    assert objective.name == name
    assert objective.head in HEADS
    assert objective.families and objective.parts and objective.summary
    # Where the rule is from, with the year.
    assert re.search(r"(19|20)\d\d", objective.paper)
    assert all(part.weight > 0 for part in objective.parts)
    # Types that are named can be trained: they are of a family that fits, and known to the tests.
    for model_type in objective.model_types:
        assert family(tiny_config(model_type)) in objective.families
    # The settings have defaults for all.
    objective.Settings()


def test_every_own_objective_is_in_the_table() -> None:
    assert {name for _, name in OWN_OBJECTIVE} <= OBJECTIVES.keys()


# ---- own objectives ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_type", "name"),
    [
        *((model_type, "mlm") for model_type in ENCODERS.split()),
        *((model_type, "clm") for model_type in DECODERS.split()),
        *((model_type, "span_denoising") for model_type in T5_LIKE.split()),
        *((model_type, "text_infilling") for model_type in BART_LIKE.split()),
        ("albert", "mlm_sop"),
    ],
)
def test_the_objective_that_a_model_was_made_for(model_type: str, name: str) -> None:
    config = tiny_config(model_type)
    assert own_objective(family(config), config) == name
    check_fit(name, family(config), model_type)


def test_electra_is_a_discriminator_or_a_generator() -> None:
    assert own_objective("encoder", config_of("electra", "ElectraForPreTraining")) == "rtd"
    assert own_objective("encoder", config_of("electra", "ElectraForMaskedLM")) == "mlm"
    assert own_objective("encoder", config_of("electra")) == "mlm"


def test_bert_is_trained_by_masks_alone() -> None:
    # BERT's checkpoints were saved with both heads, and RoBERTa showed that the second is not worth its cost.
    assert own_objective("encoder", config_of("bert", "BertForPreTraining")) == "mlm"


def test_a_bert_that_is_a_decoder_is_trained_as_one() -> None:
    config = tiny_config("bert", is_decoder=True)
    assert own_objective(family(config), config) == "clm"


def test_nothing_fits_a_model_that_no_objective_is_for() -> None:
    # LED is an encoder-decoder that was not tried.
    assert fitting_objectives("encoder-decoder", "led") == []
    with pytest.raises(ModelError, match="no objective here fits encoder-decoder models such as 'led'.*text_infilling"):
        check_fit("text_infilling", "encoder-decoder", "led")


# ---- which fit -----------------------------------------------------------------------------------------------------


_OF_TYPES = {"mlm_nsp": "bert ernie megatron-bert", "mlm_sop": "albert", "span_denoising": T5_LIKE}


@pytest.mark.parametrize("model_type", sorted({*PACKING, *ONE_TEXT_A_ROW}))
def test_what_fits_is_accepted_and_all_else_refused(model_type: str) -> None:
    kind = family(tiny_config(model_type))
    fitting = fitting_objectives(kind, model_type)
    expected = {
        "encoder": {"mlm", "rtd", "prefix_lm"},
        "decoder": {"clm", "prefix_lm", "mntp"},
        "encoder-decoder": {"text_infilling", "mass"},
    }[kind]
    expected |= {name for name, types in _OF_TYPES.items() if model_type in types.split()}
    if model_type == "bloom":
        # Its position bias grows with the distance to the right.
        expected -= {"prefix_lm", "mntp"}
    assert set(fitting) == expected
    for name in OBJECTIVES:
        if name in fitting:
            check_fit(name, kind, model_type)
        else:
            with pytest.raises(ModelError, match=f"`{name}` "):
                check_fit(name, kind, model_type)


@pytest.mark.parametrize(
    ("name", "model_type", "message"),
    [
        ("mlm", "phi3", "`mlm` needs encoder models, and model type 'phi3' is a decoder; .* fit it: clm, .*mntp"),
        ("mlm_nsp", "phi", "`mlm_nsp` needs encoder models, and .* is a decoder; .* fit it: clm, .*mntp"),
        ("clm", "bert", "`clm` needs decoder models, .* 'bert' is an encoder; .* fit it: mlm, mlm_nsp, rtd"),
        ("mlm_nsp", "roberta", "`mlm_nsp` needs a model of type bert, ernie, megatron-bert, .* fit it: mlm, rtd"),
        ("mlm_sop", "bert", "`mlm_sop` needs a model of type albert, .*'bert' is an encoder"),
        (
            "span_denoising",
            "bart",
            "`span_denoising` needs a model of type t5, mt5, umt5, longt5, .* fit it: text_infilling, mass",
        ),
        ("rtd", "t5", "`rtd` needs encoder models, .*'t5' is an encoder-decoder; .* fit it: span_denoising"),
    ],
)
def test_a_refusal_says_what_fits_instead(name: str, model_type: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        check_fit(name, family(tiny_config(model_type)), model_type)


def test_what_an_objective_cannot_train_is_said_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OBJECTIVES["rtd"], "unfit", {"xlm": "it has two heads"})
    assert "rtd" not in fitting_objectives("encoder", "xlm")
    with pytest.raises(ModelError, match="`rtd` cannot train model type 'xlm': it has two heads; .* fit it: mlm"):
        check_fit("rtd", "encoder", "xlm")


# ---- names and options ---------------------------------------------------------------------------------------------


def test_an_unknown_name_is_told_the_nearest() -> None:
    assert find_objective("rtd") is OBJECTIVES["rtd"]
    with pytest.raises(RecipeError, match="did you mean `mlm_nsp`"):
        find_objective("mlm-nsp")
    with pytest.raises(RecipeError, match="there are: mlm, mlm_nsp, mlm_sop, rtd, clm, .*span_denoising"):
        find_objective("diffusion")


def test_every_mistake_in_the_options_is_told() -> None:
    assert check_objective("mlm", {"mlm_probability": 0.3}) == []
    problems = check_objective("rtd", {"mlm_probability": 2, "wieght": 1})
    assert len(problems) == 2
    assert all("objective." in problem for problem in problems)
    assert check_objective("mlmm", {}) != []


@pytest.mark.parametrize("name", ["mlm", "mlm_nsp", "mlm_sop", "rtd"])
def test_objectives_are_made_with_a_tokenizer(name: str) -> None:
    objective = make_objective(name, {"mlm_probability": 0.2}, tokenizer(), max_length=32, seed=7)
    assert type(objective) is OBJECTIVES[name]
    assert (objective.max_length, objective.seed) == (32, 7)
    assert (objective.vocabulary.mask_id, objective.vocabulary.pad_id) == (MASK, PAD)
    assert objective.masking.mlm_probability == 0.2  # type: ignore[attr-defined]


def test_the_start_of_a_decoder_comes_from_the_model() -> None:
    assert make_objective("mlm", {}, tokenizer(), max_length=32, seed=1).vocabulary.decoder_start_id is None
    made = make_objective("mlm", {}, tokenizer(), max_length=32, seed=1, decoder_start_id=5)
    assert made.vocabulary.decoder_start_id == 5


_LAYERS = {
    "mlm": set(),
    "mlm unit=word": {"words"},
    "mlm unit=span": {"words"},
    "mlm_nsp": {"sentences"},
    "mlm_nsp unit=word": {"sentences", "words"},
    "text_infilling": {"sentences"},
    "text_infilling permute_sentences=": set(),
}


@pytest.mark.parametrize("case", [*_LAYERS, *(name for name in OBJECTIVES if name not in _LAYERS)])
def test_an_objective_reads_only_the_layers_that_it_names(case: str) -> None:
    name, *options = case.split()
    kind = OBJECTIVES[name].families[0]
    given = {key: value if value else False for key, _, value in (option.partition("=") for option in options)}
    made, _ = add_missing_tokens(tokenizer(), resolve_objective(name, given, kind)[0].needs)
    objective = make_objective(name, given, made, max_length=24, seed=1, family=kind, decoder_start_id=PAD)
    if case in _LAYERS:
        assert objective.layers == _LAYERS[case]

    rng = np.random.default_rng(0)
    documents = [rng.integers(5, 90, size=size).tolist() for size in rng.integers(20, 60, size=12)]
    words = [rng.integers(0, 2, size=len(document)) * WORD_START for document in documents]
    flags = [[int(flag) | SENTENCE_START * (flag and rng.random() < 0.3) for flag in marks] for marks in words]
    full = memory_store(documents, flags=flags)
    # A sentence begins with a word, so that a store which tells sentences tells words.
    told = objective.layers | ({"words"} if "sentences" in objective.layers else set())
    absent = (0 if "words" in told else WORD_START) | (0 if "sentences" in told else SENTENCE_START)
    bare = dataclasses.replace(full, flags=full.flags & np.uint8(255 - absent))
    plans = [objective.plan(store, isolate="document", packed=objective.packs) for store in (full, bare)]  # type: ignore[arg-type]
    assert plans[0].pieces.tolist() == plans[1].pieces.tolist()
    for key in range(2 * len(plans[0])):
        one, other = (objective.example(store, plan, key) for store, plan in zip((full, bare), plans, strict=True))  # type: ignore[arg-type]
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[field], other[field]) for field in one)


def test_wrong_options_make_no_objective() -> None:
    with pytest.raises(RecipeError, match="noise_density"):
        make_objective("span_denoising", {"noise_density": 1.5}, tokenizer(), max_length=32, seed=1)
