"""The parts of the benchmarks that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest


def test_full_rows_of_joined_texts() -> None:
    import peers

    texts = [np.array([1, 2, 3]), np.array([4, 5]), np.array([6, 7])]
    # Seven ids: three rows of two, the last id is dropped.
    assert [row.tolist() for row in peers.chunks(texts, 2)] == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize("inputs_length", [20, 64, 128])
def test_the_peer_of_t5_fills_its_inputs_and_loses_no_token(inputs_length: int) -> None:
    import peers

    class Tokenizer:
        pad_token_id, eos_token_id = 0, 1

        def convert_tokens_to_ids(self, names: list[str]) -> list[int]:
            return [1000 + int(name.strip("<>").rpartition("_")[2]) for name in names]

    length = peers.row_length(inputs_length)
    ids = np.arange(10, 10 + length)
    batch = peers.SpanCorruption(Tokenizer())([{"input_ids": ids}])
    inputs, labels = (batch[name][0].tolist() for name in ("input_ids", "labels"))
    assert len(inputs) == inputs_length and inputs[-1] == labels[-1] == 1
    assert sorted(token for token in [*inputs, *labels] if 10 <= token < 1000) == ids.tolist()
    sentinels = [token for token in inputs if token >= 1000]
    assert sentinels == [token for token in labels if token >= 1000] == list(range(1000, 1000 + len(sentinels)))


def test_the_first_evaluation_that_reaches_a_loss() -> None:
    from time_to_loss import reached

    evaluations = [(10, 1.0, 5.0), (20, 2.0, 3.9), (30, 3.0, 3.8)]
    assert reached(evaluations, 3.9) == (20, 2.0)
    assert reached(evaluations, 3.0) is None


def test_steps_before_timing_do_not_count() -> None:
    from training import step_seconds

    # Blocks of two steps, three steps of warm-up: the first two blocks are left out; the median of 1, 3 and 2.
    assert step_seconds({"seconds": [9.0, 8.0, 1.0, 3.0, 2.0], "block": 2}, 3) == 2.0


def test_memory_that_no_step_can_do_without() -> None:
    import torch

    from probe import needed_bytes

    model = torch.nn.Linear(3, 4)  # 16 numbers
    model.bias.requires_grad = False
    optimizer = torch.optim.AdamW([model.weight])
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    # Weights 16, gradients of the 12 that are trained, two moments of 12 each and the count of steps; 4 bytes each.
    assert needed_bytes(model, optimizer) == 4 * (16 + 12 + 24 + 1)


def test_settings_that_a_version_lacks_are_named() -> None:
    import ours

    known = {"training.max_steps": 1, "packing": False, "objective.unit": "word", "model.name": "x"}
    assert ours.missing_settings(known) == []
    assert ours.missing_settings({**known, "model.nothing": 1, "nothing.x": 2}) == ["model.nothing", "nothing.x"]


def test_unknown_benchmarks_are_refused() -> None:
    import run

    assert list(run.chosen(["bert-small", "startup"], "cpu")) == ["training", "startup"]
    assert list(run.chosen(["ablation", "bert-small"], "cpu")) == ["ablation"]
    assert list(run.chosen([], "cuda")) == ["training"]
    with pytest.raises(SystemExit, match="there is no benchmark bert-huge"):
        run.chosen(["bert-huge"], "cpu")
