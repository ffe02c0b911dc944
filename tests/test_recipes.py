"""Every recipe that is shipped: it loads as it is, and it is carried out, on a tiny model and a few documents."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from transformers import AutoModelForMaskedLM, pipeline

from acclimate.corpus import open_corpus
from acclimate.jobs.recipes import load_recipe
from acclimate.jobs.run import run

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))

PAGES = {
    "index.md": "# Cloud storage\n\nUse the *storage* service to create a data set and run a model on it. ",
    "guides/cluster.md": "# Create a cluster\n\n1. Create a node pool.\n2. Run `create cluster` in a new pod. ",
    "guides/network.md": "# Network\n\nWhen you create a network, you can use the [guide](cluster.md) for more. ",
    "notes.txt": "This file is not wanted: the recipe asks for Markdown.",
}
PASSAGES = ["臣之大者不以人为上也", "王曰大臣而以其子使之者不年", "公之子", "上曰不", "使者以年为其上也而王有下"]


def docs_repository(folder: Path) -> list[str]:
    """A git repository of Markdown files, one of them in a second commit."""
    repository = folder / "docs"
    for name, text in PAGES.items():
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


@dataclass(frozen=True)
class Trial:
    """How a recipe is tried: makes its documents in a folder and gives the overrides that name them."""

    documents: Callable[[Path], list[str]]
    num_documents: int
    num_held_out: int
    text: str


TRIALS = {
    "bert-azure-docs": Trial(docs_repository, num_documents=3, num_held_out=1, text="create a [MASK] pool"),
    # Blocks of 50, 50 and 20 lines; the hash of their names chooses one of the first two.
    "sikubert-zizhi-tongjian": Trial(passages_file, num_documents=120, num_held_out=50, text="上曰[MASK]"),
}


def test_every_recipe_is_tried() -> None:
    assert {path.stem for path in RECIPES} == TRIALS.keys()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_loads_without_a_mistake(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.max_length == 128
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


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_carried_out(path: Path, tmp_path: Path, tiny_bert: Path) -> None:
    trial = TRIALS[path.stem]
    overrides = [
        f"model={tiny_bert}",
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
    assert result.evaluation.domain is not None and result.evaluation.claim
    assert result.run.manifest["status"] == "finished"
    corpus = open_corpus(tmp_path / "corpus")
    assert corpus.num_documents("held_out") == trial.num_held_out
    assert corpus.num_documents("train") == trial.num_documents - trial.num_held_out
    loads_with_transformers(tmp_path / "run", trial.text)

    # The same again changes nothing, and gives the same figures.
    before = states(tmp_path / "run")
    again = run(path, overrides)
    assert again.run.summary == result.run.summary
    assert again.evaluation.to_json() == result.evaluation.to_json()
    assert states(tmp_path / "run") == before


def loads_with_transformers(folder: Path, text: str) -> None:
    model, info = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    candidates = pipeline("fill-mask", model=str(folder))(text, top_k=2)
    assert len(candidates) == 2
    assert candidates[0]["score"] >= candidates[1]["score"] > 0


def states(folder: Path) -> dict[str, int]:
    """When each file of a run that training writes was written."""
    written = [path for path in folder.rglob("*") if path.is_file() and "evaluation" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in written}
