"""Every objective with every model type that it is for: a few steps with accumulated gradient, packed where the type
can be, saved and read again with plain `transformers`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from acclimate.models import sparse_head
from acclimate.models.families import Family, family
from acclimate.models.generators import GENERATOR, GeneratorAndDiscriminator
from acclimate.models.heads import HEADS, auto_class_of
from acclimate.models.loading import decoder_start_id, load_model, packs, prepare_head
from acclimate.models.settings import ModelSettings
from acclimate.objectives import check_fit, make_objective, resolve_objective
from acclimate.objectives.predictions import takes_head_positions
from acclimate.tokens.added import add_missing_tokens
from acclimate.training.trainer import ObjectiveTrainer
from tests.models.tiny import PAD, VOCABULARY, tiny_config
from tests.objectives.checks import check_gradients, gradients, loss_of, make_trainer, topics
from tests.objectives.tiny import memory_store

MATRIX: dict[str, str] = {
    "mlm": "bert ernie roberta xlm-roberta albert distilbert convbert electra xlm flaubert funnel deberta-v2 "
    "modernbert megatron-bert",
    "mlm_nsp": "bert ernie megatron-bert",
    "mlm_sop": "albert",
    "rtd": "electra bert funnel deberta-v2",
    "clm": "bloom gpt2 gpt_neox llama phi phi3 qwen2 qwen3 glm",
    "prefix_lm": "gpt2 gpt_neox llama phi phi3 qwen2 qwen3 glm bert roberta xlm-roberta deberta-v2 modernbert",
    "mntp": "gpt2 gpt_neox llama phi phi3 qwen2 qwen3 glm",
    "span_denoising": "t5 mt5 umt5 longt5",
    "text_infilling": "bart mbart pegasus",
    "mass": "bart mbart pegasus",
}
CASES = [(name, model_type) for name, types in MATRIX.items() for model_type in types.split()]
# In `make test` these are shown with fewer types; what their types have to do is done for `clm`, too.
_FEWER = {"prefix_lm": "llama bert", "mntp": "llama", "mass": "bart"}
QUICK = [(name, model_type) for name, model_type in CASES if model_type in _FEWER.get(name, MATRIX[name]).split()]
_SENTINELS = 10


def matrix_tokenizer(kind: Family) -> PreTrainedTokenizerFast:
    """The ids that `tests.models.tiny` has for special tokens, words `w5` and up to `w109`, and sentinels; framed as
    tokenizers of a family of models frame."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    words = [f"w{index}" for index in range(5, VOCABULARY - _SENTINELS)]
    sentinels = [f"<extra_id_{number}>" for number in reversed(range(_SENTINELS))]
    vocabulary = {piece: index for index, piece in enumerate([*special, *words, *sentinels])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    single = {"encoder": "<s> $A </s>", "decoder": "<s> $A", "encoder-decoder": "$A </s>"}[kind]
    backend.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[(token, vocabulary[token]) for token in ("<s>", "</s>")]
    )
    both = {"cls_token": "<s>", "sep_token": "</s>"} if kind == "encoder" else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        additional_special_tokens=sentinels,
        **both,
    )


@dataclass
class Trained:
    trainer: ObjectiveTrainer
    model: Any
    is_packed: bool

    @property
    def losses(self) -> list[float]:
        return [record["loss"] for record in self.trainer.state.log_history if "loss" in record]


def train(name: str, model_type: str, folder: Path, *, steps: int, options: dict[str, Any] | None = None) -> Trained:
    """Make a model as `pretrain` does, from a configuration, and train it."""
    plain = tiny_config(model_type).to_diff_dict()
    # Weights of an ordinary size: those of `tiny_config` are large.
    config = {**plain, "model_type": model_type, **{key: 0.02 for key in plain if "init" in key and "range" in key}}
    settings = ModelSettings(config={**config, "dtype": "float32"})
    kind = family(tiny_config(model_type))
    tokenizer = matrix_tokenizer(kind)
    check_fit(name, kind, model_type)
    start_id = decoder_start_id(tiny_config(model_type))
    options = options or {}
    needs = resolve_objective(name, options, kind)[0].needs
    tokenizer, _ = add_missing_tokens(tokenizer, needs)
    objective = make_objective(name, options, tokenizer, max_length=32, seed=1, family=kind, decoder_start_id=start_id)
    model = load_model(settings, objective.head, tokenizer, seed=1, head_options=objective.head_options()).model
    is_packed = objective.packs and packs(model)
    store = memory_store(topics(24, longest=40), joint=2)
    trainer = make_trainer(
        objective,
        store,
        objective.plan(store, isolate="document", packed=is_packed),  # type: ignore[arg-type]
        model,
        folder,
        saved_with=tokenizer,
        max_steps=steps,
        learning_rate=1e-2,
        gradient_accumulation_steps=2,
    )
    trainer.train()
    return Trained(trainer, model, is_packed)


def check_reload(trained: Trained, folder: Path) -> None:
    """The same logits from the folder with a plain auto class."""
    trained.trainer.save_model(str(folder))
    model = trained.model
    pairs = [(model, folder, trained.trainer.objective.head)]
    if isinstance(model, GeneratorAndDiscriminator):
        pairs = [
            (model.discriminator, folder, trained.trainer.objective.head),
            (model.generator, folder / GENERATOR, "masked-lm"),
        ]
    ids = torch.randint(5, 80, (2, 12), generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids[:, :4]
    for ours, place, head in pairs:
        assert head in HEADS
        plain = getattr(transformers, auto_class_of(head, ours.config)).from_pretrained(place).eval()
        assert type(plain) is type(ours)
        with torch.no_grad():
            mine, its = ours.eval()(**inputs), plain(**inputs)
        keys = [key for key in mine if "logits" in key]
        assert keys
        for key in keys:
            real = torch.ones(mine[key].shape[-1], dtype=torch.bool)
            if ours.config.model_type == "funnel" and len(real) == VOCABULARY:
                # Whenever a Funnel is loaded, transformers sets the embedding of padding to zero.
                real[PAD] = False
            assert torch.allclose(mine[key][..., real], its[key][..., real], atol=1e-5), key


def check_head_at_targets(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss and gradient are the same with the logits of all positions, of the targets, and of a few targets at a
    time."""
    objective, model = trained.trainer.objective, trained.model.eval()
    batch = objective.collate([trained.trainer.train_dataset[key] for key in range(4)])
    found = []
    for sparse, chunk in ((False, 1 << 24), (True, 1 << 24), (True, 5 * VOCABULARY)):
        monkeypatch.setattr(sparse_head, "CHUNK", chunk)
        prepare_head(model, sparse=sparse)
        assert takes_head_positions(model) == sparse
        model.zero_grad()
        loss = loss_of(objective, model, batch)
        loss.backward()
        found.append((float(loss.detach()), gradients(model)))
    for loss_value, ours in found[1:]:
        assert loss_value == pytest.approx(found[0][0], rel=1e-5)
        check_gradients(ours, found[0][1], rtol=1e-4)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Libraries have things to say about tiny configurations."""
    transformers.utils.logging.disable_progress_bar()
    before = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    yield
    transformers.utils.logging.set_verbosity(before)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "model_type"), CASES)
def test_it_trains_and_is_saved(
    name: str, model_type: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = train(name, model_type, tmp_path / "run", steps=20)
    losses = trained.losses
    assert len(losses) == 20
    assert sum(losses[-4:]) < 0.85 * sum(losses[:4])
    assert trained.is_packed == (
        name not in ("mlm_nsp", "mlm_sop") and model_type not in ("convbert", "funnel", "longt5")
    )
    check_reload(trained, tmp_path / "saved")
    check_head_at_targets(trained, monkeypatch)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("name", "model_type"), QUICK)
def test_it_takes_two_steps(name: str, model_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = train(name, model_type, tmp_path / "run", steps=2)
    assert len(trained.losses) == 2
    assert all(loss == loss and 0 < loss < 100 for loss in trained.losses)
    check_reload(trained, tmp_path / "saved")
    check_head_at_targets(trained, monkeypatch)


# ---- variants ----------------------------------------------------------------------------------------------------

VARIANTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "blank infilling": ("prefix_lm", {"variant": "blank_infilling"}, MATRIX["mntp"] + " gpt_neo opt gemma2 mistral"),
    "ul2": ("span_denoising", {"mixture": "ul2"}, MATRIX["span_denoising"]),
    # Bodies and positions unlike BART's.
    "text infilling": ("text_infilling", {}, "t5 plbart marian"),
    "mass": ("mass", {}, "t5 plbart marian"),
}
VARIANT_CASES = [(variant, model_type) for variant, row in VARIANTS.items() for model_type in row[2].split()]


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "model_type"), VARIANT_CASES)
def test_variants_train_and_are_saved(
    variant: str, model_type: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name, options, _ = VARIANTS[variant]
    trained = train(name, model_type, tmp_path / "run", steps=20, options=options)
    assert sum(trained.losses[-4:]) < 0.85 * sum(trained.losses[:4])
    assert trained.is_packed == (model_type != "longt5")
    check_reload(trained, tmp_path / "saved")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("variant", "model_type"), [("blank infilling", "llama"), ("ul2", "t5")])
def test_variants_take_two_steps(
    variant: str, model_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, options, _ = VARIANTS[variant]
    trained = train(name, model_type, tmp_path / "run", steps=2, options=options)
    assert all(0 < loss < 100 for loss in trained.losses)
    check_reload(trained, tmp_path / "saved")
    check_head_at_targets(trained, monkeypatch)
