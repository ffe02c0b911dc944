"""What a run cost: operations counted by hand, seconds over sessions, memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, BertForMaskedLM, TrainerControl, TrainerState, TrainingArguments

from acclimate.objectives import make_objective
from acclimate.objectives.base import Objective
from acclimate.training.cost import Stopwatch, flops_per_token, peak_memory, seconds_in, training_cost
from acclimate.training.stream import ExampleDataset
from tests.models.tiny import tiny_model
from tests.objectives.checks import topics
from tests.objectives.test_matrix import matrix_tokenizer
from tests.objectives.tiny import memory_store


def dataset(name: str, kind: Any, **options: Any) -> tuple[ExampleDataset, Objective]:
    objective = make_objective(
        name, options, matrix_tokenizer(kind), max_length=32, seed=0, family=kind, decoder_start_id=1
    )
    store: Any = memory_store(topics(24, longest=40), joint=2)
    return ExampleDataset(objective, store, objective.plan(store, isolate="document", packed=True)), objective


def test_operations_of_a_masked_model() -> None:
    data, objective = dataset("mlm", "encoder", mlm_probability=0.2)
    config = BertConfig(vocab_size=120, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    examples = [data[key] for key in range(len(data))]
    assert len(examples) <= 64  # all of them are looked at
    tokens = sum(len(example["input_ids"]) for example in examples)
    predicted = float(objective.counts(objective.collate(examples))[0])
    # The layer: 4 of 8 x 8 and 2 of 8 x 16; the head: 8 x 8 and 8 x 120; 6 each.
    expected = 6 * (256 + 256) * tokens + 6 * (64 + 960) * predicted
    assert flops_per_token(BertForMaskedLM(config), data) == pytest.approx(expected / tokens)


def test_each_side_of_an_encoder_decoder_costs_its_own_tokens() -> None:
    data, objective = dataset("text_infilling", "encoder-decoder")
    model = tiny_model("bart", "AutoModelForSeq2SeqLM")
    examples = [data[key] for key in range(len(data))]
    encoder_tokens = sum(len(example["input_ids"]) for example in examples)
    decoder_tokens = sum(len(example["decoder_input_ids"]) for example in examples)
    predicted = float(objective.counts(objective.collate(examples))[0])
    assert encoder_tokens != decoder_tokens
    # Two layers a side. Encoder: 4 of 32 x 32, 2 of 32 x 64; decoder: 8 of 32 x 32, 2 of 32 x 64; head 32 x 120.
    encoder, decoder = 2 * (4 * 1024 + 2 * 2048), 2 * (8 * 1024 + 2 * 2048)
    expected = 6 * (encoder * encoder_tokens + decoder * decoder_tokens + 32 * 120 * predicted)
    rows = float(objective.row_lengths(data.plan, 0).sum())
    assert flops_per_token(model, data) == pytest.approx(expected / rows)


def test_the_cost_of_a_run() -> None:
    data, _ = dataset("mlm", "encoder")
    model = tiny_model("bert", "AutoModelForMaskedLM")
    found = training_cost(model, data, num_tokens=1000, seconds=2.5)
    assert found["seconds"] == 2.5
    assert found["flops"] == pytest.approx(1000 * flops_per_token(model, data))
    assert found["peak_memory_bytes"] == pytest.approx(peak_memory(), rel=0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's account of the peak")
def test_peak_memory_is_that_of_the_process() -> None:
    # In a process of its own, whose peak is not that of other tests. What was held is given back before it is asked.
    code = (
        "from acclimate.training.cost import peak_memory\n"
        "before = peak_memory()\n"
        "held = bytearray(before + 50_000_000)\n"
        "del held\n"
        "print(peak_memory() - before)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(told.stdout) > 40_000_000


def test_seconds_go_on_where_the_last_session_stopped(tmp_path: Path) -> None:
    args, control = TrainingArguments(output_dir=str(tmp_path), report_to="none"), TrainerControl()
    state = TrainerState(log_history=[{"step": 1, "loss": 1.0, "seconds": 100.0}, {"step": 1, "eval_loss": 1.0}])
    watch = Stopwatch()
    watch.on_train_begin(args, state, control)
    assert 100.0 <= watch.seconds < 101.0
    state.log_history.append({"step": 2, "loss": 0.5})
    watch.on_log(args, state, control)
    assert 100.0 <= state.log_history[-1]["seconds"] < 101.0
    assert seconds_in(state) == state.log_history[-1]["seconds"]
    assert seconds_in(TrainerState()) == 0.0
