"""Time until the held-out masked loss is reached that the plain script ends at; and what each side trained on.

The plain script trains for 3 epochs on each document's first 128 tokens: batch 16, 5e-5 with linear decay. Its model is
then scored on fixed masks of the held-out documents, whole ones, in packed rows. Ours starts from the same weights, is
scored on the same masks at short intervals, and stops when it is as good. Loading and evaluation do not count.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import figures
from training import Report, Setup

BATCH, LENGTH, EPOCHS = 16, 128, 3
LEARNING_RATE = 5e-5


@dataclass(frozen=True)
class Way:
    """How ours trains.

    Attributes:
        learning_rate, warmup: the schedule decays linearly over as many steps as the plain script takes.
        stops: at the plain script's loss; otherwise all of its steps are trained.
        note: what differs from the plain script, beside packing.
    """

    learning_rate: float
    warmup: float
    stops: bool
    note: str


WAYS: Mapping[str, Way] = {
    "time to plain's loss": Way(5e-4, 0.1, True, "ours: packed rows, learning rate 5e-4 after a warm-up of 10 %"),
    "time to plain's loss, equal learning rate": Way(LEARNING_RATE, 0.0, False, "ours: packed rows, all else equal"),
}


def results(setup: Setup, only: Sequence[str]) -> list[figures.Row]:
    """The rows of all `WAYS`, losses at equal steps, and the shares of the corpus."""
    model = "bert-small" if setup.quick else "minilm"
    try:
        folders = setup.prepare(model)
    except RuntimeError as error:
        return [figures.row(name, [], [], "s", f"not measured: {error}") for name in WAYS]
    counted = setup.measure("shares", **folders, length=LENGTH)
    if "failed" in counted:
        return [figures.row(name, [], [], "s", f"not measured: {counted['failed']}") for name in WAYS]
    num_steps = math.ceil(counted["documents"] / BATCH) * EPOCHS
    about = f"{model}, {counted['documents']} documents, {num_steps} steps of {BATCH} x {LENGTH}"
    with tempfile.TemporaryDirectory() as folder:
        plain = train_plain(folders, folder, num_steps, setup)
        if "failed" in plain:
            return [figures.row(name, [], [], "s", f"not measured: {plain['failed']}") for name in WAYS]
    runs = {name: train_ours(way, folders, plain["loss"], num_steps, setup) for name, way in WAYS.items()}
    about = "; ".join(filter(None, [setup.sources.note, about]))
    rows = [compare(name, plain, run, f"{about}; {WAYS[name].note}", counted) for name, run in runs.items()]
    return [*rows, at_equal_steps(plain, runs["time to plain's loss, equal learning rate"], about), share(counted)]


# ---- the two sides ---------------------------------------------------------------------------------------------------


def settings(folders: Mapping[str, str], setup: Setup, **training: Any) -> dict[str, Any]:
    common = {"batch": BATCH, "length": LENGTH, "device": setup.device, "lora": False, "config": {}}
    return {**folders, **common, "objective": "mlm", "training": training}


# Held-out tokens that are scored each time, and how often ours is scored on the way.
MAX_TOKENS = 15_000
EVALUATIONS = 30


def train_plain(folders: Mapping[str, str], folder: str, num_steps: int, setup: Setup) -> Report:
    """The report of the plain script, with the held-out `loss` of its model."""
    setup.tell(f"time to loss: the plain script, {num_steps} steps")
    told = {**settings(folders, setup, num_train_epochs=EPOCHS, learning_rate=LEARNING_RATE), "save_to": folder}
    report = setup.measure("train_peer", script="plain", settings=told, probe={})
    if "failed" in report:
        return report
    scored = setup.measure(
        "held_out_loss",
        model=folder,
        tokenizer=folders["model"],
        corpus=folders["corpus"],
        length=LENGTH,
        max_tokens=MAX_TOKENS,
    )
    if "failed" in scored:
        return scored
    setup.tell(f"time to loss: the plain script ends at {scored['loss']:.4f} after {sum(report['seconds']):.0f} s")
    return {**report, **scored}


def train_ours(way: Way, folders: Mapping[str, str], loss: float, num_steps: int, setup: Setup) -> Report:
    """The report of ours, with its `evaluations`: (step, seconds trained, loss)."""
    told = settings(
        folders,
        setup,
        max_steps=num_steps,
        learning_rate=way.learning_rate,
        warmup_steps=way.warmup,
        eval_strategy="steps",
        eval_steps=max(2, num_steps // EVALUATIONS),
    )
    overrides = {"evaluation.max_tokens": MAX_TOKENS}
    probe = {"target_loss": loss if way.stops else None}
    report = setup.measure("train_ours", settings=told, overrides=overrides, probe=probe)
    if "failed" not in report:
        setup.tell(f"time to loss: ours at {way.learning_rate:g}: {report['evaluations'][-1]} (step, seconds, loss)")
    return report


# ---- rows ------------------------------------------------------------------------------------------------------------


def reached(evaluations: Sequence[tuple[int, float, float]], loss: float) -> tuple[int, float] | None:
    """The first evaluation at which a loss was reached: its step, and the seconds trained until then."""
    return next(((step, seconds) for step, seconds, found in evaluations if found <= loss), None)


def compare(name: str, plain: Report, run: Report, note: str, counted: Report) -> figures.Row:
    seconds = sum(plain["seconds"])
    if "failed" in run:
        return figures.row(name, [seconds], [], "s", f"ours not measured: {run['failed']}")
    found = reached(run["evaluations"], plain["loss"])
    note = f"{note}; to a loss of {plain['loss']:.3f}"
    if found is None:
        step, _, loss = run["evaluations"][-1]
        return figures.row(name, [seconds], [], "s", f"{note}; not reached: {loss:.3f} after {step} steps")
    step, took = found
    read = min(step * run["tokens_per_step"] / counted["tokens"], 1)
    note = f"{note}; by ours at step {step}, with {read:.0%} of the corpus read"
    return figures.row(name, [seconds], [took], "s", note)


def at_equal_steps(plain: Report, run: Report, about: str) -> figures.Row:
    name = "held-out loss after as many steps, equal learning rate"
    losses = [] if "failed" in run else [run["evaluations"][-1][2]]
    steps = "" if "failed" in run else f" (evaluated at step {run['evaluations'][-1][0]})"
    return figures.row(name, [plain["loss"]], losses, "nats", f"{about}{steps}")


def share(counted: Report) -> figures.Row:
    note = f"of {counted['tokens']:,} tokens in {counted['documents']} documents; truncated at {LENGTH}, against packed"
    name = "share of the corpus's tokens trained on"
    return figures.row(name, [counted["plain"] / counted["tokens"]], [counted["ours"] / counted["tokens"]], "", note)


# ---- in processes of their own ---------------------------------------------------------------------------------------


def shares(model: str, corpus: str, length: int) -> dict[str, int]:
    """Tokens of the train split, special ones not counted, and how many of them each side trains on in an epoch."""
    from transformers import AutoTokenizer

    import acclimate
    from peers import encode

    tokenizer = AutoTokenizer.from_pretrained(model)
    texts = [document.text for document in acclimate.open_corpus(corpus).documents("train")]
    lengths = [len(ids) for ids in encode(texts, tokenizer, add_special_tokens=False)]
    cut = encode(texts, tokenizer, truncation=True, max_length=length)
    ledger = acclimate.examples_for(corpus, tokenizer, "mlm", max_length=length).ledger
    return {
        "documents": len(texts),
        "tokens": sum(lengths),
        "plain": sum(map(len, cut)) - tokenizer.num_special_tokens_to_add() * len(cut),
        "ours": sum(lengths) - ledger.num_left_out,
    }


def held_out_loss(model: str, tokenizer: str, corpus: str, length: int, max_tokens: int) -> dict[str, float]:
    """The masked loss of a model on the masks that `training.eval_strategy` uses, for a recipe of this length."""
    from acclimate.corpus import open_corpus
    from acclimate.models.loading import load_model, packs, prepare_for_packs
    from acclimate.models.settings import ModelSettings
    from acclimate.objectives import make_objective
    from acclimate.progress import Silent
    from acclimate.scoring.held_out import MASK_SEED, make_held_out
    from acclimate.scoring.score import score
    from acclimate.tokens import load_tokenizer
    from acclimate.tokens.cache import corpus_tokens

    vocabulary = load_tokenizer(tokenizer)
    loaded = load_model(ModelSettings(name=model), "masked-lm", vocabulary, seed=0).model
    packed = packs(loaded)
    if packed:
        prepare_for_packs(loaded)
    objective = make_objective(
        "mlm", {}, vocabulary, max_length=length, seed=MASK_SEED, family="encoder", decoder_start_id=None
    )
    store = corpus_tokens(open_corpus(corpus), "held_out", vocabulary, fallback=Path(model), listener=Silent())
    held_out = make_held_out(objective, store, isolate="group", packed=packed, max_tokens=max_tokens)
    (scores,) = score(loaded, objective, held_out, batch_size=32)
    return {"loss": scores.loss}
