"""Every recipe that is shipped: it loads as it is, and it is carried out, on a tiny model and a few documents."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import transformers
from transformers import AutoConfig, PreTrainedTokenizerBase, pipeline

from acclimate.corpus import open_corpus
from acclimate.jobs.recipes import load_recipe
from acclimate.jobs.run import run
from acclimate.tokens.added import add_missing_tokens
from acclimate.tokens.settings import TokenizerKind, TokenizerSettings
from acclimate.tokens.training import train_tokenizer

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))

PAGES = {
    "index.md": "# Cloud storage\n\nUse the *storage* service to create a data set and run a model on it. ",
    "guides/cluster.md": "# Create a cluster\n\n1. Create a node pool.\n2. Run `create cluster` in a new pod. ",
    "guides/network.md": "# Network\n\nWhen you create a network, you can use the [guide](cluster.md) for more. ",
    "notes.txt": "This file is not wanted: the recipe asks for Markdown.",
}
PAGE = "# Page {number}\n\nUse the service {number} to run a model. Then add a node. Create a network of pods for it. "
PASSAGES = ["臣之大者不以人为上也", "王曰大臣而以其子使之者不年", "公之子", "上曰不", "使者以年为其上也而王有下"]


def docs_repository(folder: Path) -> list[str]:
    """A git repository of three Markdown files and one that is not wanted."""
    return repository_of(PAGES, folder)


def twelve_pages(folder: Path) -> list[str]:
    """A git repository of twelve Markdown files, several of which are held out: pairs need two documents."""
    pages = {f"page-{number}.md": PAGE.format(number=number) for number in range(12)}
    return [*repository_of(pages, folder), "corpus.held_out=0.25"]


def repository_of(pages: dict[str, str], folder: Path) -> list[str]:
    repository = folder / "docs"
    for name, text in pages.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text * 5, encoding="utf-8")
    identity = ["-c", "user.name=Nobody", "-c", "user.email=nobody@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "--quiet"], ["add", "."], [*identity, "commit", "--quiet", "-m", "Pages"]):
        subprocess.run(["git", "-C", str(repository), *command], check=True, capture_output=True)
    return [f"corpus.sources.0.git={repository.as_uri()}"]


def passages_file(folder: Path) -> list[str]:
    """A classic of 120 short lines: three blocks, of which one is held out."""
    path = folder / "classic.txt"
    path.write_text("\n".join(PASSAGES * 24) + "\n", encoding="utf-8")
    return [f"corpus.sources.0.path={path}"]


def company_file(folder: Path) -> list[str]:
    """Forty records of id, title and content."""
    path = folder / "company.jsonl"
    records = [
        {"id": number, "title": f"Guide {number}", "content": f"Dear customer, run model {number} on the cluster. " * 3}
        for number in range(40)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return [f"corpus.sources.0.path={path}"]


def token_lists(folder: Path) -> list[str]:
    """A data set on disk, of which the recipe takes the first hundred records."""
    from datasets import Dataset, DatasetDict

    words = [
        "the",
        "cluster",
        "has",
        "a",
        "node",
        "pool",
        "and",
        "the",
        "service",
        "runs",
        "a",
        "model",
        "in",
        "the",
        "cloud",
    ]
    records = [{"tokens": [*words[number % 7 :], str(number), "."]} for number in range(120)]
    DatasetDict({"train": Dataset.from_list(records)}).save_to_disk(folder / "wikiann")
    return [f"corpus.sources.0.dataset={folder / 'wikiann'}", "corpus.sources.0.subset="]


# ---- tiny models of the recipes' types -------------------------------------------------------------------------


def texts() -> Iterator[str]:
    yield from [*PAGES.values(), *PASSAGES, "Dear customer, run model 7 on the cluster."] * 3


def tokenizer(kind: TokenizerKind, *needs: str) -> PreTrainedTokenizerBase:
    trained = train_tokenizer(texts(), TokenizerSettings(train=kind, vocab_size=400 if kind == "bpe" else 120))
    return add_missing_tokens(trained, needs)[0]


def save(folder: Path, auto_class: str, made: PreTrainedTokenizerBase, **config: Any) -> Path:
    """A model of random weights, 2 layers of 32, and its tokenizer."""
    values = {"vocab_size": len(made), "pad_token_id": made.pad_token_id, "eos_token_id": made.eos_token_id, **config}
    settings = AutoConfig.for_model(**values)
    getattr(transformers, auto_class).from_config(settings).save_pretrained(folder)
    made.save_pretrained(folder)
    return folder


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def a_bert(folder: Path) -> list[str]:
    config = {"model_type": "bert", **SMALL, "max_position_embeddings": 64}
    return [f"model={save(folder / 'bert', 'AutoModelForPreTraining', tokenizer('wordpiece'), **config)}"]


def a_bloom(folder: Path) -> list[str]:
    config = {"model_type": "bloom", "hidden_size": 32, "n_layer": 2, "n_head": 2}
    return [f"model={save(folder / 'bloom', 'AutoModelForCausalLM', tokenizer('bpe', 'pad', 'eos'), **config)}"]


def an_electra(folder: Path) -> list[str]:
    """A discriminator, with the generator beside it that its name promises."""
    made = tokenizer("wordpiece")
    config = {"model_type": "electra", **SMALL, "embedding_size": 16, "max_position_embeddings": 64}
    save(folder / "electra-tiny-generator", "AutoModelForMaskedLM", made, **{**config, "hidden_size": 16})
    discriminator = save(folder / "electra-tiny-discriminator", "AutoModelForPreTraining", made, **config)
    return [f"model={discriminator}"]


def a_t5(folder: Path) -> list[str]:
    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
    made = tokenizer("unigram", "pad", "eos", "sentinels")
    return [f"model={save(folder / 't5', 'AutoModelForSeq2SeqLM', made, model_type='t5', **sizes)}"]


def a_gpt2(folder: Path) -> list[str]:
    config = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
    return [f"model={save(folder / 'gpt2', 'AutoModelForCausalLM', tokenizer('bpe', 'pad', 'eos'), **config)}"]


def a_glm(folder: Path) -> list[str]:
    config = {"model_type": "glm", **SMALL, "head_dim": 16, "num_key_value_heads": 2, "max_position_embeddings": 64}
    return [f"model={save(folder / 'glm', 'AutoModelForCausalLM', tokenizer('bpe', 'pad', 'eos'), **config)}"]


def a_bart(folder: Path) -> list[str]:
    sizes = {
        "d_model": 32,
        **{f"{side}_{name}": 2 for side in ("encoder", "decoder") for name in ("layers", "attention_heads")},
        **{f"{side}_ffn_dim": 64 for side in ("encoder", "decoder")},
        "max_position_embeddings": 64,
        "decoder_start_token_id": 2,
    }
    made = tokenizer("bpe", "pad", "eos", "mask")
    return [f"model={save(folder / 'bart', 'AutoModelForSeq2SeqLM', made, model_type='bart', **sizes)}"]


def a_phi(folder: Path) -> list[str]:
    config = {"model_type": "phi3", **SMALL, "max_position_embeddings": 64, "num_key_value_heads": 2}
    made = tokenizer("bpe", "pad", "eos")
    # Phi-4 has tokens that were never used.
    made.add_special_tokens({"extra_special_tokens": ["<|dummy_0|>"]})
    return [f"model={save(folder / 'phi', 'AutoModelForCausalLM', made, **config)}"]


def from_scratch(folder: Path) -> list[str]:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return [*(f"model.config.{name}={value}" for name, value in sizes.items()), "tokenizer.vocab_size=100"]


@dataclass(frozen=True)
class Trial:
    """How a recipe is tried: documents and model are made in a folder; both give the overrides that name them."""

    documents: Callable[[Path], list[str]]
    num_documents: int
    num_held_out: int
    model: Callable[[Path], list[str]]
    auto_class: str
    text: str = ""
    adds_tokens: bool = False


TRIALS = {
    "bart-azure-docs": Trial(docs_repository, 3, 1, a_bart, "AutoModelForSeq2SeqLM"),
    "bart-mass-azure-docs": Trial(docs_repository, 3, 1, a_bart, "AutoModelForSeq2SeqLM"),
    "bert-unilm-azure-docs": Trial(docs_repository, 3, 1, a_bert, "AutoModelForMaskedLM", text="create a [MASK] pool"),
    "blank-infilling-azure-docs": Trial(docs_repository, 3, 1, a_gpt2, "AutoModelForCausalLM", adds_tokens=True),
    "glm-prefix-zizhi-tongjian": Trial(passages_file, 120, 50, a_glm, "AutoModelForCausalLM"),
    "phi4-mntp-company": Trial(company_file, 40, 2, a_phi, "AutoModelForCausalLM"),
    "t5-ul2-azure-docs": Trial(docs_repository, 3, 1, a_t5, "AutoModelForSeq2SeqLM", adds_tokens=True),
    "bert-azure-docs": Trial(docs_repository, 3, 1, a_bert, "AutoModelForMaskedLM", text="create a [MASK] pool"),
    "bert-from-scratch": Trial(token_lists, 100, 6, from_scratch, "AutoModelForMaskedLM", text="the [MASK]"),
    "bert-nsp-azure-docs": Trial(twelve_pages, 12, 2, a_bert, "AutoModelForPreTraining"),
    # Blocks of 50, 50 and 20 lines; the hash of their names chooses one of the first two.
    "bloom-zizhi-tongjian": Trial(passages_file, 120, 50, a_bloom, "AutoModelForCausalLM"),
    "electra-azure-docs": Trial(docs_repository, 3, 1, an_electra, "AutoModelForPreTraining"),
    "phi4-lora-company": Trial(company_file, 40, 2, a_phi, "AutoModelForCausalLM"),
    "sikubert-zizhi-tongjian": Trial(passages_file, 120, 50, a_bert, "AutoModelForMaskedLM", text="上曰[MASK]"),
    "t5-azure-docs": Trial(docs_repository, 3, 1, a_t5, "AutoModelForSeq2SeqLM"),
}


def test_every_recipe_is_tried() -> None:
    assert {path.stem for path in RECIPES} == TRIALS.keys()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_loads_without_a_mistake(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.output_dir == f"runs/{path.stem}"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_has_its_row(path: Path) -> None:
    assert f"[{path.name}]({path.name})" in (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")


def test_the_recipes_say_what_they_promise() -> None:
    bert = load_recipe(ROOT / "recipes" / "bert-azure-docs.yaml")
    assert bert.model.name == "google-bert/bert-base-uncased"
    assert bert.objective.options["mlm_probability"] == 0.15
    assert bert.training == {
        "per_device_train_batch_size": 16,
        "num_train_epochs": 3,
        "save_steps": 500,
        "save_total_limit": 2,
    }
    siku = load_recipe(ROOT / "recipes" / "sikubert-zizhi-tongjian.yaml")
    assert siku.model.name == "SIKU-BERT/sikubert"
    assert siku.corpus.sources[0].unit == "line"
    assert siku.training == {"per_device_train_batch_size": 128, "num_train_epochs": 1, "logging_steps": 50}
    bloom = load_recipe(ROOT / "recipes" / "bloom-zizhi-tongjian.yaml")
    assert (bloom.model.name, bloom.objective.name) == ("bigscience/bloom-560m", "clm")
    assert (bloom.corpus.sources[0].limit, bloom.isolate, bloom.max_length) == (100_000, "document", 128)
    assert bloom.training == {
        "per_device_train_batch_size": 32,
        "gradient_accumulation_steps": 8,
        "num_train_epochs": 1,
        "logging_steps": 50,
    }
    saves = {"per_device_train_batch_size": 8, "num_train_epochs": 3, "save_steps": 500, "save_total_limit": 2}
    assert load_recipe(ROOT / "recipes" / "bert-nsp-azure-docs.yaml").training == saves
    phi = load_recipe(ROOT / "recipes" / "phi4-lora-company.yaml")
    assert phi.model.name == "microsoft/phi-4" and phi.adapter is not None
    assert saves.items() <= phi.training.items()
    scratch = load_recipe(ROOT / "recipes" / "bert-from-scratch.yaml")
    assert (scratch.corpus.sources[0].split, scratch.corpus.sources[0].text_field) == ("train[:100]", "tokens")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_carried_out(path: Path, tmp_path: Path) -> None:
    trial = TRIALS[path.stem]
    overrides = [
        *trial.model(tmp_path),
        *trial.documents(tmp_path),
        f"corpus.path={tmp_path / 'corpus'}",
        f"output_dir={tmp_path / 'run'}",
        "max_length=64",
        "training.max_steps=2",
        "training.save_steps=1",
        "training.per_device_train_batch_size=2",
        "evaluation.resamples=100",
    ]
    result = run(path, overrides)

    assert result.run.summary["global_step"] == 2
    assert result.evaluation.domain is not None
    assert result.evaluation.claim is not ("from-scratch" in path.stem or trial.adds_tokens)
    assert result.run.manifest["status"] == "finished"
    corpus = open_corpus(tmp_path / "corpus")
    assert corpus.num_documents("held_out") == trial.num_held_out
    assert corpus.num_documents("train") == trial.num_documents - trial.num_held_out
    loads_with_transformers(tmp_path / "run", trial)

    # The same again changes nothing, and gives the same figures.
    before = states(tmp_path / "run")
    again = run(path, overrides)
    assert again.run.summary == result.run.summary
    assert again.evaluation.to_json() == result.evaluation.to_json()
    assert states(tmp_path / "run") == before


def loads_with_transformers(folder: Path, trial: Trial) -> None:
    auto = getattr(transformers, trial.auto_class)
    _, info = auto.from_pretrained(folder, output_loading_info=True)
    # The weights of a run with an adapter are the adapter's; the rest is where it was.
    if not (folder / "adapter_config.json").exists():
        assert not info["missing_keys"] and not info["unexpected_keys"]
    if trial.text:
        candidates = pipeline("fill-mask", model=str(folder))(trial.text, top_k=2)
        assert len(candidates) == 2
        assert candidates[0]["score"] >= candidates[1]["score"] > 0


def states(folder: Path) -> dict[str, int]:
    """When each file of a run that training writes was written."""
    written = [path for path in folder.rglob("*") if path.is_file() and "evaluation" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in written}
