"""The model card of a run: what it says, and that it is the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from acclimate.artifacts import find_manifest
from acclimate.corpus import Corpus
from acclimate.inference.fill import fill
from acclimate.jobs.model_card import model_card
from acclimate.jobs.pretrain import Run, pretrain
from acclimate.models.directed import load_directed
from acclimate.objectives import make_objective
from acclimate.training.run_folder import open_run
from tests.objectives.tiny import bert, corpus_folder, tokenizer

TRAINING = {"max_steps": 2, "per_device_train_batch_size": 4, "save_steps": 10, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card")
    texts = [" ".join(f"w{5 + (number * 7 + step) % 90}" for step in range(20)) for number in range(30)]
    corpus_folder(folder, [*texts, "w5"], min_chars=10)
    bert().save_pretrained(folder / "bert")
    config = LlamaConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, eos_token_id=3
    )
    LlamaForCausalLM(config).save_pretrained(folder / "llama")
    for name in ("bert", "llama"):
        tokenizer().save_pretrained(folder / name)
    return folder


def trained(home: Path, model: str, name: str, **settings: Any) -> Run:
    options = {"training": TRAINING, "max_length": 32, **settings}
    return pretrain(str(home / model), home / "corpus", home / name, **options)


def head_of(card: str) -> dict[str, Any]:
    start, head, _ = card.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(head)


def snippet(card: str, folder: Path) -> dict[str, Any]:
    """What the card's own lines give for the folder that it lies in."""
    code = card.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {"FOLDER": str(folder)}
    exec(code, names)
    return names


def test_a_run_says_what_it_is(home: Path) -> None:
    run = trained(home, "bert", "mlm-run", objective={"name": "mlm", "unit": "word"})
    card = (run.folder / "README.md").read_text()
    # The base model is a folder here, which no hub knows.
    assert head_of(card) == {
        "library_name": "transformers",
        "pipeline_tag": "fill-mask",
        "tags": ["acclimate", "mlm"],
    }
    assert "# mlm-run\n" in card and "`bert` (type `bert`), its pretraining continued" in card
    assert "| objective | `mlm`, unit: word |" in card
    assert "| steps | 2 |" in card
    assert f"| tokens seen | {run.summary['tokens_seen']:,} |" in card
    corpus = Corpus(home / "corpus", find_manifest(home / "corpus", "corpus") or {})
    ledger = corpus.ledger.as_dict()
    assert f"| came in | 31 | {ledger['characters']['in']:,} |" in card
    assert f"| trained on | {corpus.num_documents('train')} | {corpus.num_characters('train'):,} |" in card
    assert "| `too_short` | 1 | 2 |" in card
    assert str(home) not in card
    loaded = snippet(card, run.folder)
    assert type(loaded["model"]).__name__ == "BertForMaskedLM"
    assert loaded["tokenizer"].mask_token == "[MASK]"


def test_it_is_a_file_of_the_run_and_the_users_own(home: Path) -> None:
    run = trained(home, "bert", "mlm-run", objective={"name": "mlm", "unit": "word"})
    assert "README.md" in run.manifest["files"]
    path = run.folder / "README.md"
    path.write_text(path.read_text().replace("Not stated.", "MIT."))
    assert open_run(run.folder).status == "finished"
    # The same call on a finished run does nothing.
    trained(home, "bert", "mlm-run", objective={"name": "mlm", "unit": "word"})
    assert "MIT." in path.read_text()


def test_a_model_that_sees_in_its_own_way_says_how_it_is_loaded(home: Path) -> None:
    run = trained(home, "llama", "mntp-run", objective="mntp")
    card = (run.folder / "README.md").read_text()
    assert "pipeline_tag" not in head_of(card)
    assert 'add `objective="mntp"`' in card and "It sees both ways" in card
    model = snippet(card, run.folder)["model"]
    assert type(model).__name__ == "LlamaForCausalLM" and "segment_ids" not in str(model.config)
    assert fill(run.folder, "w5 <mask> w9", top_k=2)
    blanks = trained(home, "llama", "blank-run", objective={"name": "prefix_lm", "variant": "blank_infilling"})
    card = (blanks.folder / "README.md").read_text()
    assert "| tokens added to the vocabulary | `<|startofpiece\\|>`" in card.replace("<\\|", "<|")
    assert "acclimate.fill_blanks" in card
    load_directed(blanks.folder, objective={"name": "prefix_lm", "variant": "blank_infilling"})


def test_an_adapters_card_takes_the_place_of_pefts(home: Path) -> None:
    run = trained(home, "llama", "lora-run", adapter={"type": "lora", "r": 4})
    card = (run.folder / "README.md").read_text()
    assert head_of(card) == {
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["acclimate", "clm", "lora"],
    }
    assert "by a LoRA adapter" in card and "Model Card for Model ID" not in card
    assert isinstance(snippet(card, run.folder)["model"], LlamaForCausalLM)
    assert AutoModelForCausalLM and AutoTokenizer.from_pretrained(run.folder)


@pytest.mark.parametrize("adapter", [None, {"type": "lora"}])
def test_a_base_model_of_a_hub_is_named(adapter: Any, home: Path) -> None:
    run = trained(home, "bert", "mlm-run", objective={"name": "mlm", "unit": "word"})
    recipe = {**run.manifest["recipe"], "model": {"name": "google-bert/bert-base-uncased"}, "adapter": adapter}
    card = model_card(
        {**run.manifest, "recipe": recipe},
        corpus=Corpus(home / "corpus", find_manifest(home / "corpus", "corpus") or {}),
        objective=make_objective("mlm", {}, tokenizer(), max_length=32, seed=0),
        config=bert().config,
        summary=run.summary,
    )
    head = head_of(card)
    assert head["base_model"] == "google-bert/bert-base-uncased"
    assert head.get("base_model_relation") == (None if adapter is None else "adapter")
