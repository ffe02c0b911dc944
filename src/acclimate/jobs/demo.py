"""The whole job on documents that every installation has, offline, on a CPU, in minutes.

The domain are the docstrings of torch and transformers; the general text, which must not be forgotten, are Python's
own help topics. Where no model is given, a small BERT is made: it is pretrained on the general text first, so that
"before" is a model that has learned something, and then on the domain.
"""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acclimate.artifacts import fingerprint, write_text
from acclimate.corpus import Corpus, CorpusSettings, SourceSettings, build_corpus
from acclimate.evaluation.evaluate import evaluate
from acclimate.evaluation.results import Evaluation
from acclimate.inference.fill import fill
from acclimate.jobs.pretrain import Run, pretrain
from acclimate.jobs.report import report
from acclimate.jobs.tokenizers import trained_tokenizer
from acclimate.progress import Listener, Silent
from acclimate.tokens.settings import TokenizerSettings

DOMAIN_PACKAGES = ("torch", "transformers")
# Enough documents for the demo's steps, and few enough that reading them takes seconds.
DOMAIN_CHARACTERS = 4_000_000
SHORTEST_DOCSTRING = 200

SMALL_BERT: dict[str, Any] = {
    "model_type": "bert",
    "hidden_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
    "max_position_embeddings": 128,
    # A model this small, on text seen a few times, learns more without.
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
VOCAB_SIZE = 5000
TRAINING: dict[str, Any] = {
    "per_device_train_batch_size": 8,
    "learning_rate": 1e-3,
    "warmup_steps": 0.1,
    "weight_decay": 0.01,
    "save_steps": 250,
    "save_total_limit": 1,
    "logging_steps": 25,
}
MAX_LENGTH = 128
BASE_STEPS = 250
DOMAIN_STEPS = 450
# From a pretrained model there is less to learn, at a lower rate; its step costs more.
GIVEN_MODEL_STEPS = 60
GIVEN_MODEL_RATE = 5e-5
# The demo has minutes: where this is too few for a fresh head, the evaluation says so.
HEAD_WARMUP_STEPS = 100

SENTENCES = (
    "hidden_size (`int`, *optional*, defaults [MASK] 768)",
    "use_cache (`bool`, *optional*, [MASK] to `True`)",
    "input (Tensor): the input [MASK].",
    "The number of attention [MASK] for each layer of the encoder.",
)


@dataclass(frozen=True)
class Demo:
    """What the demo did: the run, its figures, its report, and some masks filled by the model before and after."""

    run: Run
    evaluation: Evaluation
    report: Path
    filled: tuple[tuple[str, list[Any], list[Any]], ...]


def demo(
    output_dir: str | Path = "acclimate-demo", *, model: str | None = None, listener: Listener | None = None
) -> Demo:
    """Do the whole job on documents found on this machine.

    Args:
        output_dir: folder for the corpora and runs; the same call again reuses what is there.
        model: hub id or folder of a masked language model; default a small BERT made here.
        listener: hears messages and progress.
    """
    listener = listener or Silent()
    folder = Path(output_dir)
    listener.message("documents: the docstrings of torch and transformers; general text: Python's help topics")
    domain = _corpus(folder, "domain", docstrings(), listener)
    general = _corpus(folder, "general", help_topics(), listener)
    if model is None:
        base = _base_model(folder, domain, general, listener)
        steps, rate = DOMAIN_STEPS, TRAINING["learning_rate"]
    else:
        base, steps, rate = model, GIVEN_MODEL_STEPS, GIVEN_MODEL_RATE
    listener.message("continuing its pretraining on the documents")
    run = pretrain(
        base,
        domain.folder,
        folder / _run_name("run", base, domain, general),
        objective="mlm",
        max_length=MAX_LENGTH,
        training={**TRAINING, "max_steps": steps, "learning_rate": rate},
        evaluation={"general": str(general.folder), "max_tokens": 60_000, "head_warmup_steps": HEAD_WARMUP_STEPS},
        listener=listener,
    )
    evaluation = evaluate(run.folder, listener=listener)
    start = run.manifest["before"]
    before = fill(run.folder / start["folder"] if start["folder"] else start["model"]["name"], SENTENCES, top_k=3)
    after = fill(run.folder, SENTENCES, top_k=3)
    page = report(run.folder, listener=listener)
    return Demo(run, evaluation, page, tuple(zip(SENTENCES, before, after, strict=True)))


def _corpus(folder: Path, name: str, records: Iterator[tuple[str, str]], listener: Listener) -> Corpus:
    file = folder / "documents" / f"{name}.jsonl"
    lines = (json.dumps({"id": id_, "text": text}, ensure_ascii=False) + "\n" for id_, text in records)
    write_text(file, "".join(lines))
    settings = CorpusSettings(sources=[SourceSettings(path=str(file))], held_out=0.1)
    corpus = build_corpus(settings, folder / "corpora" / name, on_message=listener.message)
    kept, characters = corpus.ledger.documents_kept, corpus.ledger.characters_kept
    listener.message(f"{name}: {kept:,} documents, {characters:,} characters")
    return corpus


def docstrings() -> Iterator[tuple[str, str]]:
    """(dotted name, docstring) of the domain packages' modules, classes and functions; read, never imported."""
    left = DOMAIN_CHARACTERS
    for file, module in _source_files():
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError, OSError):
            continue
        for name, node in _documented(tree, module):
            text = ast.get_docstring(node)
            if text is not None and len(text) >= SHORTEST_DOCSTRING:
                yield name, text
                left -= len(text)
                if left <= 0:
                    return


def _source_files() -> Iterator[tuple[Path, str]]:
    """The packages' source files in turn, so that a cut at some size leaves a part of each."""
    listings = []
    for package in DOMAIN_PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.origin is not None, f"{package} is a dependency"
        root = Path(spec.origin).parent
        files = sorted(path for path in root.rglob("*.py") if "test" not in path.name)
        listings.append([(path, _module_name(root, path)) for path in files])
    for index in range(max(map(len, listings))):
        for listing in listings:
            if index < len(listing):
                yield listing[index]


def _module_name(root: Path, path: Path) -> str:
    return ".".join([root.name, *path.relative_to(root).with_suffix("").parts])


def _documented(tree: ast.Module, module: str) -> Iterator[tuple[str, Any]]:
    yield module, tree
    stack: list[tuple[str, ast.AST]] = [(module, tree)]
    while stack:
        prefix, node = stack.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                name = f"{prefix}.{child.name}"
                yield name, child
                stack.append((name, child))


def help_topics() -> Iterator[tuple[str, str]]:
    """(name, text) of the help topics that come with Python."""
    from pydoc_data.topics import topics

    yield from sorted(topics.items())


def _run_name(kind: str, model: Any, *corpora: Corpus) -> str:
    """A folder for each model and state of the documents: after an upgrade of torch the docstrings are others."""
    return f"{kind}-{fingerprint([model, [corpus.fingerprint for corpus in corpora]])[:8]}"


def _base_model(folder: Path, domain: Corpus, general: Corpus, listener: Listener) -> str:
    """Make a small BERT that has learned from the general text."""
    settings = TokenizerSettings(train="wordpiece", vocab_size=VOCAB_SIZE, lowercase=True)
    tokenizer_folder = folder / "tokenizer"
    trained_tokenizer(settings, [general, domain], tokenizer_folder, listener)
    listener.message("no model given: a small BERT is made and pretrained on the general text first")
    run = pretrain(
        {"config": SMALL_BERT},
        general.folder,
        folder / _run_name("base", SMALL_BERT, domain, general),
        objective="mlm",
        tokenizer=str(tokenizer_folder),
        max_length=MAX_LENGTH,
        training={**TRAINING, "max_steps": BASE_STEPS},
        listener=listener,
    )
    return str(run.folder)
