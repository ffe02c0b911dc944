"""Compiled layers: the same results, and no compilation after the first steps of training on packed rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters
from transformers import TrainerCallback

from acclimate.models.attention import separate_segments
from acclimate.models.compiling import compile_layers
from acclimate.objectives import make_objective
from acclimate.training.compute import ComputeSettings, length_multiple, set_up
from acclimate.training.settings import training_arguments
from acclimate.training.stream import ExampleDataset
from acclimate.training.trainer import ObjectiveTrainer
from tests.models.test_attention import HEADS
from tests.models.tiny import tiny_model
from tests.objectives.checks import texts
from tests.objectives.test_matrix import matrix_tokenizer
from tests.objectives.tiny import memory_store

# Traced as for inductor, but run as it is: no compiler is needed.
TRAINING = {"torch_compile": True, "torch_compile_backend": "eager"}


# Dynamo itself looks at `.grad` of what it traces.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch._dynamo.reset()
    counters.clear()


class _Graphs(TrainerCallback):  # type: ignore[misc]
    """How many graphs were made when each step ended."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.counts.append(counters["stats"]["unique_graphs"])


@pytest.mark.parametrize(
    ("name", "model_type"), [("mlm", "bert"), ("mlm", "modernbert"), ("clm", "llama"), ("span_denoising", "t5")]
)
def test_nothing_is_compiled_after_the_first_steps(name: str, model_type: str, tmp_path: Path) -> None:
    kind: Any = {"mlm": "encoder", "clm": "decoder"}.get(name, "encoder-decoder")
    tokenizer = matrix_tokenizer(kind)
    start = {"decoder_start_id": 1} if kind == "encoder-decoder" else {}
    objective = make_objective(name, {}, tokenizer, max_length=48, seed=0, family=kind, **start)
    # Texts of 3 to 40 tokens: rows and batches of many lengths, before they are filled up.
    store = memory_store(texts(120, longest=40), joint=2)
    plan = objective.plan(store, isolate="document", packed=True)
    model = tiny_model(model_type, HEADS[kind])
    separate_segments(model)
    args = training_arguments(
        {"use_cpu": True, "max_steps": 12, "per_device_train_batch_size": 4, "save_strategy": "no", **TRAINING},
        tmp_path,
        seed=0,
        report_to="none",
    )
    chosen = set_up(model, ComputeSettings(), args, TRAINING)
    assert chosen["torch_compile"]
    graphs = _Graphs()
    multiple = length_multiple(TRAINING, 48, packed=True)
    ObjectiveTrainer(
        model, args, ExampleDataset(objective, store, plan), tokenizer, callbacks=[graphs], length_multiple=multiple
    ).train()
    assert len(graphs.counts) == 12
    assert graphs.counts[0] > 0
    assert graphs.counts[3] == graphs.counts[-1], graphs.counts


def test_results_and_names_stay() -> None:
    model = tiny_model("bert", "AutoModelForMaskedLM")
    names = list(model.state_dict())
    ids = torch.randint(5, 100, (2, 16), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        assert compile_layers(model, backend="eager") == 2
        assert torch.allclose(model(input_ids=ids).logits, expected, atol=1e-5)
    assert list(model.state_dict()) == names


@pytest.mark.parametrize(
    ("max_length", "packed", "training", "expected"),
    [(128, True, TRAINING, 64), (100, True, TRAINING, 100), (128, False, TRAINING, 1), (128, True, {}, 1)],
)
def test_rows_are_filled_up_where_it_costs_little(
    max_length: int, packed: bool, training: dict[str, Any], expected: int
) -> None:
    assert length_multiple(training, max_length, packed=packed) == expected
