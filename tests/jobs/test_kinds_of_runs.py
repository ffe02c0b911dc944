"""Runs of objectives and models that need more than a head: generators, adapters, added tokens, replay, pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, ElectraConfig, ElectraForPreTraining, LlamaConfig, LlamaForCausalLM

from acclimate.artifacts import read_json
from acclimate.corpus import CorpusSettings, build_corpus
from acclimate.errors import DataError, ModelError, RecipeError
from acclimate.evaluation.evaluate import evaluate
from acclimate.jobs.pretrain import pretrain
from acclimate.jobs.recipes import identity, make_recipe
from tests.jobs.test_pretrain import Heard
from tests.objectives.tiny import tokenizer

TRAINING: dict[str, Any] = {
    "max_steps": 4,
    "per_device_train_batch_size": 4,
    "save_steps": 2,
    "logging_steps": 1,
    "learning_rate": 1e-3,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty texts of words that the tiny tokenizer knows."""
    folder = tmp_path_factory.mktemp("words")
    (folder / "docs").mkdir()
    for number in range(30):
        words = " ".join(f"w{5 + (number * 7 + step * step) % 90}" for step in range(50 + number))
        (folder / "docs" / f"{number}.txt").write_text(words)
    settings = {"sources": str(folder / "docs"), "held_out": 0.3, "min_chars": 0}
    build_corpus(CorpusSettings.model_validate(settings), folder / "corpus")
    return folder / "corpus"


@pytest.fixture(scope="module")
def general(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("general") / "general.txt"
    path.write_text("".join(f"w{5 + line % 80} w{6 + line % 70} w{90 - line % 60}\n" for line in range(400)))
    return path


@pytest.fixture(scope="module")
def electra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "electra"
    torch.manual_seed(0)
    config = ElectraConfig(
        vocab_size=100,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    ElectraForPreTraining(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder whose tokenizer has an EOS and no padding."""
    folder = tmp_path_factory.mktemp("models") / "llama"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, eos_token_id=3
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    made = tokenizer()
    from transformers import PreTrainedTokenizerFast

    backend = made.backend_tokenizer
    backend.post_processor = None
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="[SEP]", unk_token="[UNK]").save_pretrained(folder)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found = {}
    for path in sorted(folder.glob("**/*.safetensors")):
        if "checkpoint-" not in str(path.relative_to(folder)):
            found |= {f"{path.relative_to(folder)}:{name}": value for name, value in load_file(path).items()}
    return found


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", ["rtd", "lora"])
def test_resumed_runs_are_the_same_bit_for_bit(
    kind: str, electra: Path, llama: Path, corpus: Path, tmp_path: Path
) -> None:
    model = {"rtd": electra, "lora": llama}[kind]
    extra = {"adapter": {"type": "lora", "r": 4}} if kind == "lora" else {}
    options: dict[str, Any] = {"training": TRAINING, "max_length": 32, **extra}
    whole = pretrain(str(model), corpus, tmp_path / "whole", **options)
    checkpoint = str(tmp_path / "whole" / "checkpoint-2")
    resumed = pretrain(str(model), corpus, tmp_path / "resumed", resume_from_checkpoint=checkpoint, **options)
    assert resumed.summary["global_step"] == 4
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "resumed"))
    assert not same(weights(tmp_path / "whole"), weights(tmp_path / "whole" / "checkpoint-2"))
    assert whole.summary["tokens_seen"] == resumed.summary["tokens_seen"]


def test_both_discriminators_are_asked_about_the_same_tokens(electra: Path, corpus: Path, tmp_path: Path) -> None:
    run = pretrain(str(electra), corpus, tmp_path / "run", training=TRAINING, max_length=32)
    assert run.manifest["objective"]["name"] == "rtd"
    domain = evaluate(run.folder).domain
    assert domain is not None
    generator, discriminator = domain.parts["generator"], domain.parts["discriminator"]
    assert generator.before.keys() == {"loss", "accuracy", "accuracy_at_5", "perplexity"}
    assert discriminator.before.keys() == {"loss", "accuracy", "accuracy_original", "accuracy_replaced"}
    # The same tokens were put in for both: the class counts agree, so that either accuracy follows from the other.
    for measures in (discriminator.before, discriminator.after):
        share = (measures["accuracy"] - measures["accuracy_original"]) / (
            (measures["accuracy_replaced"] - measures["accuracy_original"]) or float("nan")
        )
        assert share != share or 0.05 < share < 0.2
    assert discriminator.num_targets > 5 * generator.num_targets


def test_a_new_generator_and_head_are_warmed_up(
    corpus: Path, general: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bert_words: Path
) -> None:
    from acclimate.training import warmup

    monkeypatch.setattr(warmup, "STRETCH", 1)
    evaluation = {"general": str(general), "head_warmup_steps": 3}
    run = pretrain(
        str(tiny_bert_words),
        corpus,
        tmp_path / "run",
        objective="rtd",
        training=TRAINING,
        max_length=32,
        evaluation=evaluation,
    )
    warmed = run.manifest["model"]["head_warmup"]
    assert warmed["steps"] == 3
    base = tmp_path / "run" / "base"
    assert (base / "generator" / "model.safetensors").is_file()
    # The trunk was frozen, embeddings included, which the generator shares.
    before = load_file(tiny_bert_words / "model.safetensors")
    after = load_file(base / "model.safetensors")
    kept = [name for name in after if name.startswith("bert.")]
    assert kept and all(torch.equal(after[name], before[name]) for name in kept)
    assert evaluate(tmp_path / "run").domain is not None


@pytest.fixture(scope="module")
def tiny_bert_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.objectives.tiny import bert

    folder = tmp_path_factory.mktemp("models") / "bert"
    bert().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def test_padding_is_added_and_told(llama: Path, corpus: Path, tmp_path: Path) -> None:
    heard = Heard()
    run = pretrain(str(llama), corpus, tmp_path / "run", training=TRAINING, max_length=32, listener=heard)
    assert heard.messages[0] == "objective: clm, the one that llama models were made with"
    assert any("needs and the tokenizer lacks are added" in message for message in heard.messages) is bool(
        run.manifest["model"]["added_tokens"]
    )
    assert AutoTokenizer.from_pretrained(tmp_path / "run").pad_token is not None
    # Padding is neither read nor predicted: the comparison stands.
    evaluation = evaluate(tmp_path / "run")
    assert evaluation.claim
    assert evaluation.domain is not None and "bits_per_byte" in evaluation.domain.before
    assert evaluation.domain.headline.bits_per_byte_difference is not None


def test_an_adapter_leaves_no_place_for_new_tokens(llama: Path, corpus: Path, tmp_path: Path) -> None:
    pretrain(str(llama), corpus, tmp_path / "run", training=TRAINING, max_length=32, adapter="lora")
    saved = AutoTokenizer.from_pretrained(tmp_path / "run")
    assert (saved.pad_token, len(saved)) == (saved.eos_token, 100)
    manifest = read_json(tmp_path / "run" / "manifest.json")
    assert manifest["model"]["added_tokens"] == []
    assert manifest["before"]["description"] == str(llama)


def test_an_adapter_does_not_go_with_rtd_nor_with_a_cold_head(electra: Path, corpus: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"training": TRAINING, "max_length": 32, "adapter": "lora"}
    with pytest.raises(RecipeError, match="`adapter` does not go with `rtd`"):
        pretrain(str(electra), corpus, tmp_path / "run", **options)
    # A discriminator has no masked-LM head.
    with pytest.raises(RecipeError, match="the model's head is new, and `adapter` would leave it"):
        pretrain(str(electra), corpus, tmp_path / "run", objective="mlm", **options)


def test_replay_takes_the_half_that_is_not_scored(llama: Path, corpus: Path, general: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"training": TRAINING, "max_length": 32, "evaluation": {"general": str(general)}}
    heard = Heard()
    run = pretrain(str(llama), corpus, tmp_path / "run", replay=0.25, listener=heard, **options)
    assert run.manifest["replay"]["share"] == 0.25
    assert any(message.startswith("replay: 25% of the examples") for message in heard.messages)
    # 16 examples: 4 of them replayed.
    assert 0 < run.summary["replayed_tokens_seen"] < run.summary["tokens_seen"] / 2
    assert run.manifest["replay"]["path"] == str(tmp_path / "run" / "evaluation" / "general-corpus")
    result = evaluate(tmp_path / "run")
    assert result.general is not None
    other = pretrain(str(llama), corpus, tmp_path / "other", **options)
    assert not same(weights(tmp_path / "run"), weights(tmp_path / "other"))
    assert "replayed_tokens_seen" not in other.summary


def test_replay_of_what_is_scored_is_refused(llama: Path, corpus: Path, general: Path, tmp_path: Path) -> None:
    base = {"model": str(llama), "corpus": str(corpus), "output_dir": str(tmp_path / "run")}
    with pytest.raises(RecipeError, match="`replay` needs a text"):
        make_recipe({**base, "replay": 0.1})
    with pytest.raises(RecipeError, match="what is scored would be trained on"):
        make_recipe({**base, "replay": {"path": str(general)}, "evaluation": {"general": str(general)}})
    with pytest.raises(RecipeError, match=r"replay\.share"):
        make_recipe({**base, "replay": 1.5})
    # Which text is replayed makes a run another one, even where it is named under `evaluation`.
    one, other = (
        identity(make_recipe({**base, "replay": 0.1, "evaluation": {"general": name}})) for name in ("a.txt", "b.txt")
    )
    assert one != other


def test_one_document_makes_no_random_pair(tiny_bert_words: Path, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text(" ".join(f"w{5 + step % 90}" for step in range(400)))
    corpus = {"sources": str(tmp_path / "one.txt"), "path": str(tmp_path / "corpus")}
    with pytest.raises(DataError, match="this corpus has only one"):
        pretrain(
            str(tiny_bert_words),
            corpus,
            tmp_path / "run",
            objective="mlm_nsp",
            training=TRAINING,
            max_length=32,
        )


@pytest.mark.parametrize(
    ("objective", "model", "said"),
    [
        (
            "mlm",
            "llama",
            "`mlm` needs encoder models, and model type 'llama' is a decoder; .* it: clm",
        ),
        ("mlm_nsp", "llama", "objectives that fit it: clm"),
        ("clm", "electra", "`clm` needs decoder models, and model type 'electra' is an encoder; .*rtd"),
        ("span_denoising", "electra", "needs encoder-decoder models"),
        ("mlm_sop", "electra", "needs a model of type albert"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(
    objective: str, model: str, said: str, electra: Path, llama: Path, corpus: Path, tmp_path: Path
) -> None:
    name = {"electra": electra, "llama": llama}[model]
    with pytest.raises(ModelError, match=said):
        pretrain(str(name), corpus, tmp_path / "run", objective=objective, training=TRAINING, max_length=32)
    assert not (tmp_path / "run").exists()
