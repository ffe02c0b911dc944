"""Stored masks and scores: the same questions every time, sums exact and by document."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from acclimate.artifacts import find_manifest
from acclimate.corpus import open_corpus
from acclimate.models.attention import separate_segments
from acclimate.models.generators import GeneratorAndDiscriminator
from acclimate.objectives import make_objective
from acclimate.objectives.base import IGNORE, Objective
from acclimate.scoring.batches import MAX_TOKENS_OF_CPU
from acclimate.scoring.held_out import KIND, make_held_out, stored_held_out
from acclimate.scoring.score import make_batch, score, settle
from acclimate.tokens.store import TokenStore, build_token_store
from tests.models.tiny import tiny_model
from tests.objectives.tiny import bert, corpus_folder, tokenizer


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{token}" for token in rng.integers(5, 100, size)) for size in rng.integers(3, 90, 30)]
    folder = tmp_path_factory.mktemp("held-out")
    corpus = open_corpus(corpus_folder(folder, texts, held_out=0))
    return build_token_store(corpus, "train", tokenizer(), folder / "tokens", num_workers=1)


def objective(seed: int = 0, **options: object) -> Objective:
    return make_objective("mlm", options, tokenizer(), max_length=32, seed=seed)


def test_stored_examples_are_read_back_as_they_were_made(store: TokenStore, tmp_path: Path) -> None:
    made = make_held_out(objective(), store, isolate="group", packed=True, max_tokens=None)
    first = stored_held_out(tmp_path / "x", objective(), store, isolate="group", packed=True, max_tokens=None)
    read = stored_held_out(tmp_path / "x", objective(), store, isolate="group", packed=True, max_tokens=None)
    for ours in (first, read):
        assert len(ours) == len(made) > 20
        for mine, its in zip(ours.examples, made.examples, strict=True):
            assert all(np.array_equal(mine[name], its[name]) for name in its)
        assert all(np.array_equal(mine, its) for mine, its in zip(ours.units, made.units, strict=True))
        assert (ours.num_units, ours.num_tokens) == (made.num_units, made.num_tokens)
    assert made.num_units == 30


def test_other_questions_are_stored_anew(store: TokenStore, tmp_path: Path) -> None:
    stored_held_out(tmp_path / "x", objective(), store, isolate="group", packed=True, max_tokens=None)
    before = find_manifest(tmp_path / "x", KIND)
    stored_held_out(
        tmp_path / "x", objective(mlm_probability=0.3), store, isolate="group", packed=True, max_tokens=None
    )
    after = find_manifest(tmp_path / "x", KIND)
    assert before is not None and after is not None and before["fingerprint"] != after["fingerprint"]


def test_at_most_so_many_tokens_of_random_rows(store: TokenStore) -> None:
    made = make_held_out(objective(), store, isolate="group", packed=True, max_tokens=200)
    assert 200 - 32 < made.num_tokens <= 200
    one = make_held_out(objective(), store, isolate="group", packed=True, max_tokens=1)
    assert len(one) == 1


@pytest.mark.parametrize("batch_size", [1, 7, 100, None])
def test_sums_by_document_are_those_of_each_target(store: TokenStore, batch_size: int | None) -> None:
    subject = objective()
    held_out = make_held_out(subject, store, isolate="group", packed=True, max_tokens=None)
    model = bert()
    separate_segments(model)
    (scores,) = score(model, subject, held_out, batch_size=batch_size)
    # By hand: every row alone, every target's loss to the document that its piece is of.
    losses, counts = np.zeros(30), np.zeros(30)
    for example, units in zip(held_out.examples, held_out.units, strict=True):
        batch = subject.collate([example])
        from acclimate.objectives.predictions import model_inputs

        with torch.no_grad():
            logits = model(**model_inputs(batch)).logits[0].double()
        for position in np.flatnonzero(example["labels"] != IGNORE):
            unit = units[example["segment_ids"][position]]
            losses[unit] -= logits[position].log_softmax(-1)[example["labels"][position]].item()
            counts[unit] += 1
    present = counts > 0
    assert np.array_equal(scores.counts, counts[present])
    assert scores.losses == pytest.approx(losses[present], rel=1e-5)
    assert scores.loss == pytest.approx(losses.sum() / counts.sum(), rel=1e-5)
    assert scores.perplexity == pytest.approx(np.exp(losses.sum() / counts.sum()), rel=1e-4)


def test_by_row_each_row_is_a_unit(store: TokenStore) -> None:
    subject = objective()
    held_out = make_held_out(subject, store, isolate="group", packed=True, max_tokens=None)
    model = bert()
    separate_segments(model)
    (rows,) = score(model, subject, held_out, batch_size=8, by_row=True)
    (documents,) = score(model, subject, held_out, batch_size=8)
    assert len(rows.counts) == len(held_out)
    assert rows.losses.sum() == pytest.approx(documents.losses.sum())


def test_lines_of_one_block_are_one_unit(tmp_path: Path) -> None:
    # A file of 200 lines, read by line: units of the bootstrap are held-out blocks, not lines.
    from acclimate.corpus import CorpusSettings, build_corpus

    text = tmp_path / "lines.txt"
    text.write_text("".join(f"w{5 + number % 90} w{6 + number % 90} w7\n" for number in range(200)))
    settings = CorpusSettings.model_validate({"sources": {"path": str(text), "unit": "line"}, "held_out": 0.5})
    corpus = build_corpus(settings, tmp_path / "corpus")
    held_out = build_token_store(corpus, "held_out", tokenizer(), tmp_path / "tokens", num_workers=1)
    made = make_held_out(objective(), held_out, isolate="group", packed=True, max_tokens=None)
    assert made.num_units == len(held_out.groups) <= 3


@pytest.mark.parametrize("model_type", ["bert", "convbert"])
def test_rows_of_unequal_length_are_scored_as_each_alone(store: TokenStore, model_type: str) -> None:
    """Also in a type whose logits depend on padding: it gets none."""
    subject = objective()
    held_out = make_held_out(subject, store, isolate="document", packed=False, max_tokens=None)
    model = tiny_model(model_type, "AutoModelForMaskedLM")
    assert len({len(example["input_ids"]) for example in held_out.examples}) > 10
    (rows,) = score(model, subject, held_out, by_row=True)
    alone = []
    for index in range(len(held_out)):
        with torch.no_grad():
            (targets,) = subject.scores(model, make_batch(subject, held_out, [index], model.device))
        alone += [targets.losses.double().sum().item()] if len(targets.losses) else []
    assert rows.losses == pytest.approx(alone, rel=1e-5)


def test_few_forwards_with_little_padding(store: TokenStore) -> None:
    subject = objective()
    held_out = make_held_out(subject, store, isolate="document", packed=False, max_tokens=None)
    model = tiny_model("bert", "AutoModelForMaskedLM")
    shapes: list[torch.Size] = []
    model.register_forward_pre_hook(lambda _, args, kwargs: shapes.append(kwargs["input_ids"].shape), with_kwargs=True)
    score(model, subject, held_out)
    assert sum(shape[0] for shape in shapes) == len(held_out)
    assert len(shapes) == -(-sum(shape.numel() for shape in shapes) // MAX_TOKENS_OF_CPU)
    assert sum(shape.numel() for shape in shapes) < 1.25 * held_out.num_tokens


def test_what_is_settled_is_each_rows_own(store: TokenStore) -> None:
    """Whatever the batches are, and in whatever order they come."""
    subject = make_objective("rtd", {}, tokenizer(), max_length=32, seed=0)
    held_out = make_held_out(subject, store, isolate="document", packed=False, max_tokens=None)
    model = GeneratorAndDiscriminator(
        tiny_model("electra", "AutoModelForMaskedLM"), tiny_model("electra", "AutoModelForPreTraining")
    )
    first, second = (settle(model, subject, held_out, batch_size=size).settled for size in (None, 3))
    assert len(first) == len(held_out)
    for example, one, other in zip(held_out.examples, first, second, strict=True):
        assert len(one["replaced_ids"]) == len(example["input_ids"])
        assert np.array_equal(one["replaced_ids"], other["replaced_ids"])
        kept = example["labels"] == IGNORE
        assert np.array_equal(one["replaced_ids"][kept], example["input_ids"][kept])
