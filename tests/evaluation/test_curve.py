"""The learning curve: what is read of the metrics, and how steep its end is."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from acclimate.artifacts import write_manifest
from acclimate.errors import CheckpointError
from acclimate.evaluation.curve import Curve, Point, read_run
from tests.evaluation.cases import curve


def test_training_and_held_out_losses_are_told_apart() -> None:
    records = [
        {"step": 10, "loss": 3.0, "learning_rate": 1e-4, "epoch": 0.5},
        {"step": 10, "eval_loss": 2.8, "epoch": 0.5},
        {"step": 20, "loss": 2.5},
        {"step": 20, "train_runtime": 9.0, "train_loss": 2.75},
    ]
    found = Curve.of(records)
    assert found.train == (Point(10, 3.0, 1e-4, 0.5), Point(20, 2.5))
    assert found.held_out == (Point(10, 2.8, None, 0.5),)


def test_learning_done_is_the_area_below_the_rate() -> None:
    # Rates 2, 2, 0 at steps 10, 20, 30. Areas of the stretches: 10 x 2, 10 x 2, 10 x 1 = 50 in all; the first begins
    # at its own rate. Their middles: 10, 30 and 45 of 50.
    found = curve([3, 2, 1], rates=[2.0, 2.0, 0.0]).learning_done()
    assert found == pytest.approx([0.2, 0.6, 0.9])


def test_without_rates_learning_is_told_in_steps() -> None:
    found = Curve((Point(10, 3.0), Point(20, 2.0, 1e-4), Point(40, 1.0, 0.0))).learning_done()
    # Middles of 0 to 10, 10 to 20 and 20 to 40, of 40.
    assert found == pytest.approx([5 / 40, 15 / 40, 30 / 40])


def test_the_trend_is_a_line_through_the_last_part() -> None:
    # Constant rate, 10 points: middles 0.05, 0.15, … 0.95; in the last half the losses are 5, 4, 3, 2, 1: a slope of -1
    # a point, -10 a run, so 5 over the half; no scatter. The line ends half a point behind the last one: 0.5.
    found = curve([9, 9, 9, 9, 9, 5, 4, 3, 2, 1]).trend(0.5, 4)
    assert found is not None
    assert (found.fall, found.error, found.level) == pytest.approx((5.0, 0.0, 0.5), abs=1e-9)


def test_the_error_is_that_of_least_squares() -> None:
    # x = 0.125, 0.375, 0.625, 0.875; losses 1, 0, 1, 0. Mean 0.5; Σ(x-x̄)² = 2 (0.375² + 0.125²) = 0.3125;
    # Σ(x-x̄)(y-ȳ) = -0.1875 + 0.0625 + 0.0625 - 0.1875 = -0.25; slope -0.8. Residuals ±0.2, ∓0.4:
    # Σr² = 2 (0.04 + 0.16) = 0.8 (r: 0.2, -0.6, 0.6, -0.2): 0.04 + 0.36 + 0.36 + 0.04. Error √(0.8 / 2 / 0.3125).
    found = curve([1, 0, 1, 0]).trend(1.0, 4)
    assert found is not None
    assert found.fall == pytest.approx(0.8)
    assert found.error == pytest.approx(math.sqrt(0.8 / 2 / 0.3125))


def test_a_decaying_rate_stretches_the_end() -> None:
    # The loss falls by 0.1 a point to the last. By steps the last third are points 21 to 30. The rate decays from 1 to
    # 0: the last third of the learning begins where 1 - t = √(1/3), at 42 % of the steps: 17 points more or less.
    losses = [6 - 0.1 * index for index in range(30)]
    constant = curve(losses).trend(1 / 3, 4)
    decaying = curve(losses, rates=[1 - index / 30 for index in range(1, 31)]).trend(1 / 3, 4)
    assert constant is not None and decaying is not None
    assert constant.fall == pytest.approx(1.0)
    assert 1.3 < decaying.fall < 2.0


def test_no_trend_of_too_few_points_or_of_what_is_no_number() -> None:
    assert curve([3, 2, 1]).trend(1.0, 4) is None
    assert curve([3, 2, math.nan, 1]).trend(1.0, 4) is None
    assert curve([]).trend(1.0, 4) is None
    assert curve([3, 2, 1, 1], rates=[0.0] * 4).trend(1.0, 4) is None


def test_fifths() -> None:
    assert curve(list(range(10))).fifths() == [0.5, 2.5, 4.5, 6.5, 8.5]
    assert curve(list(range(9))).fifths() == []


def test_a_run_is_read_from_its_folder(tmp_path: Path) -> None:
    write_manifest(tmp_path, "run", {"status": "finished"})
    assert read_run(tmp_path).curve == Curve()
    lines = [json.dumps({"step": 1, "loss": 2.0}), "", json.dumps({"step": 2, "loss": float("nan")})]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    found = read_run(tmp_path)
    assert found.manifest["status"] == "finished"
    assert found.curve.train[0] == Point(1, 2.0)
    assert not found.curve.finite


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no run in"):
        read_run(tmp_path / "absent")


def test_lines_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    # All of an evaluation would be lost by one of them.
    write_manifest(tmp_path, "run", {})
    broken = b'\xff\xfe\n[1]\n{"step": 1, "loss": null}\n{"step": null, "loss": 1.0}\n'
    (tmp_path / "metrics.jsonl").write_bytes(broken + b'{"step": 3, "loss": 2.0}\n{"step": 4, "lo')
    assert read_run(tmp_path).curve == Curve((Point(3, 2.0),))
