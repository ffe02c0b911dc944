"""The losses of tiny runs are what they were."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from acclimate.objectives import OBJECTIVES
from tests.golden.losses import MODELS, STEPS, here, losses_of, read


def test_every_objective_has_its_losses() -> None:
    assert OBJECTIVES.keys() == {name.split()[0] for name in MODELS}
    assert MODELS.keys() == read()["losses"].keys()


@pytest.mark.parametrize("name", MODELS)
def test_losses_are_what_they_were(name: str) -> None:
    kept = read()
    # Where processor and torch are the same, so are the losses, but for what another build may round; elsewhere sums
    # are taken in another order. `make golden` writes them anew, where a change is meant.
    tolerance = 1e-6 if kept["made_on"] == here() else 1e-3
    found = losses_of(name)
    assert len(found) == STEPS
    assert found == pytest.approx(kept["losses"][name], rel=tolerance)
    # The same again in the same process.
    assert losses_of(name) == found


@pytest.mark.slow
def test_a_fresh_process_finds_the_same() -> None:
    script = "import json; from tests.golden.losses import losses; print('LOSSES', json.dumps(losses()))"
    root = Path(__file__).resolve().parents[2]
    found = []
    for threads in ("1", "2"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
        output = subprocess.run(
            [sys.executable, "-c", script], cwd=root, env=environment, capture_output=True, text=True, check=True
        ).stdout
        (line,) = [line for line in output.splitlines() if line.startswith("LOSSES ")]
        found.append(json.loads(line.removeprefix("LOSSES ")))
    assert found[0] == found[1] == {name: losses_of(name) for name in MODELS}
