"""Each advice: a case that shows it, cases that do not, and the borders between them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from acclimate.evaluation import advice
from acclimate.evaluation.advice import CONDITIONS, Facts, advise
from acclimate.evaluation.wording import advice_text
from tests.evaluation.cases import FLAT, evaluation, facts, manifest, part, text

HARMED = part(2.0, 0.2, 0.1, 0.3)


def met(name: str, case: Facts) -> dict[str, float] | None:
    """The figures of a condition, by the whole list of advice."""
    found = {one.condition: dict(one.figures) for one in advise(case)}
    return found.get(name)


def domain(*parts: dict[str, Any], **options: Any) -> dict[str, Any]:
    return evaluation(domain=text(*parts, **options))


def general(relative: float, low: float = 0.001) -> dict[str, Any]:
    return evaluation(general=text(part(1.0, relative, low, 2 * relative)))


FELL = [5 - 0.1 * index for index in range(20)]  # 5.0 … 3.1
ROSE_LATE = [*FELL[:10], *[4.5] * 10]  # lowest fifth: 4.15; last: 4.5, 8.4 % above
BEST_TAKEN = manifest(recipe={"training": {"load_best_model_at_end": True}})
PIECES = {"mean_pieces": 4.1, "general_pieces": 1.3}
SHORT = {"new_parameters": ["head"], "head_warmup": {"steps": 150, "leveled_off": False}}

SAMPLED = {"sampled_from": 70}
SHOWN: list[tuple[str, Facts]] = [
    ("diverged", facts([3, 2.5, 2, 2, 2, 2, 2, 2, 3, 4])),
    ("diverged", facts([3, 2.5, 2, math.nan, 2])),
    ("diverged", facts(found=domain(part(2.0, math.nan, math.nan, math.nan)))),
    ("overfitting", facts(FELL, held_out=[4.0, 3.5, 3.6])),
    ("memorised", facts(FELL, found=domain(part(5.0, -0.5, -0.6, -0.4)), passes=3.0)),
    ("domain_harmed", facts(found=domain(HARMED))),
    ("still_falling", facts(FELL)),
    ("still_falling", facts(FELL, held_out=[4.0, 3.5, 3.4])),
    ("nothing_gained", facts(found=domain(part(2.0, 0.0, -0.01, 0.01)))),
    ("interval_wide", facts(found=domain(part(2.0, 0.0, -0.1, 0.1)))),
    ("few_held_out", facts(found=domain(part(2.5, -0.5, -0.6, -0.4), units=7))),
    ("few_held_out", facts(found=domain(part(2.5, -0.5, -0.6, -0.4), units=70, unit="row"))),
    ("few_held_out", facts(found=evaluation(domain=None, claim=False))),
    ("few_held_out", facts(found=evaluation(domain={**text(part(2.5, -0.5, -0.6, -0.4), units=7), **SAMPLED}))),
    ("general_forgotten", facts(found=general(0.12))),
    ("no_general_text", facts(found=evaluation(general=None))),
    ("few_general", facts(found=evaluation(general=text(part(1.0, 0.8, 0.7, 0.9), unit="row")))),
    ("few_general", facts(found=evaluation(general=None, notes=["general: nothing is held out of g"]))),
    ("head_not_warmed_up", facts(found=evaluation(claim=False), run=manifest(model={"new_parameters": ["head"]}))),
    ("head_still_warming", facts(found=evaluation(claim=False), run=manifest(model=SHORT))),
    ("terms_in_pieces", facts(found=evaluation(terms=PIECES))),
]
NOT_SHOWN: list[tuple[str, Facts]] = [
    ("diverged", facts(ROSE_LATE)),
    ("diverged", facts([3, 2, 1])),  # too few points to tell
    ("overfitting", facts(FELL, held_out=[4.0, 3.5, 3.5])),
    ("overfitting", facts(FELL, held_out=[4.0, 3.5, 3.6], run=BEST_TAKEN)),
    ("overfitting", facts(FELL, held_out=[3.5, 3.9])),  # two points are no curve
    ("overfitting", facts([*FELL[:4], *[5.0] * 16], held_out=[3.5, 3.6, 3.7])),  # training did not fall either
    ("memorised", facts(FELL, found=domain(part(5.0, -0.5, -0.6, -0.4)), passes=1.9)),
    ("memorised", facts(FELL, found=domain(part(4.2, -0.5, -0.6, -0.4)), passes=3.0)),
    ("memorised", facts(FELL, found=domain(part(5.0, -0.5, -0.6, -0.4)), passes=3.0, held_out=[4.0, 3.5, 3.6])),
    ("memorised", facts(FELL, found=domain(part(5.0, -0.5, -0.6, -0.4), HARMED), passes=3.0)),
    (
        "memorised",
        facts(
            FELL, found=domain(part(5.0, -0.5, -0.6, -0.4)), passes=3.0, run=manifest(recipe={"replay": {"share": 0.1}})
        ),
    ),
    ("domain_harmed", facts(found=domain(part(2.0, 0.2, -0.1, 0.5)))),
    ("domain_harmed", facts(FELL, found=domain(HARMED), held_out=[4.0, 3.5, 3.6])),  # overfitting says why
    ("still_falling", facts()),
    ("still_falling", facts(FELL, held_out=[4.0, 3.5, 3.6])),
    ("still_falling", facts(FELL, held_out=[4.0, 3.5, 3.6], run=BEST_TAKEN)),
    ("still_falling", facts(FELL, found=domain(HARMED))),
    ("still_falling", facts(FELL[:3])),
    ("nothing_gained", facts(found=domain(part(2.0, 0.0, -0.01, 0.05)))),
    ("nothing_gained", facts(FELL, found=domain(part(2.0, 0.0, -0.01, 0.01)))),  # train longer says it already
    ("nothing_gained", facts()),
    ("interval_wide", facts(found=domain(part(2.0, 0.0, -0.01, 0.01)))),
    ("interval_wide", facts(found=domain(part(2.0, 1.0, 0.5, 1.5)))),  # wide, but not around 0
    ("few_held_out", facts(found=domain(part(2.5, -0.5, -0.6, -0.4), units=20))),
    (
        "few_held_out",
        facts(found=domain(part(2.5, -0.5, -0.6, -0.4), unit="row"), run=manifest(recipe={"isolate": "none"})),
    ),
    ("few_held_out", facts(found=evaluation(domain=None, notes=["domain: what is held out cannot be scored: x"]))),
    ("general_forgotten", facts(found=general(0.12, low=-0.1))),
    ("general_forgotten", facts(found=evaluation(general=None))),
    ("no_general_text", facts()),
    ("few_general", facts()),
    ("few_general", facts(found=evaluation(general=None))),
    (
        "few_general",
        facts(
            found=evaluation(general=text(part(1.0, 0.8, 0.7, 0.9), unit="row")),
            run=manifest(recipe={"isolate": "none"}),
        ),
    ),
    ("no_general_text", facts(found=evaluation(general=None, notes=["general: nothing is held out of g"]))),
    ("no_general_text", facts(found=evaluation(general=None), run=manifest(model={"from_scratch": True}))),
    ("head_not_warmed_up", facts()),
    ("head_not_warmed_up", facts(run=manifest(model={"from_scratch": True, "new_parameters": ["head"]}))),
    ("head_not_warmed_up", facts(run=manifest(model=SHORT))),
    ("head_still_warming", facts(run=manifest(model={"head_warmup": {"steps": 150, "leveled_off": True}}))),
    ("head_still_warming", facts()),
    ("terms_in_pieces", facts()),
    ("terms_in_pieces", facts(found=evaluation(terms={"mean_pieces": None, "general_pieces": None}))),
    ("terms_in_pieces", facts(found=evaluation(terms={**PIECES, "general_pieces": 2.2}))),  # so does everything
]


@pytest.mark.parametrize(("name", "case"), SHOWN, ids=lambda value: value if isinstance(value, str) else "")
def test_a_case_that_shows_it(name: str, case: Facts) -> None:
    figures = met(name, case)
    assert figures is not None
    assert all(isinstance(value, float) for value in figures.values())


@pytest.mark.parametrize(("name", "case"), NOT_SHOWN, ids=lambda value: value if isinstance(value, str) else "")
def test_a_case_that_does_not(name: str, case: Facts) -> None:
    assert met(name, case) is None


def test_every_condition_has_both_cases() -> None:
    assert {name for name, _ in SHOWN} == {name for name, _ in NOT_SHOWN} == CONDITIONS.keys()


def test_where_all_is_well_nothing_is_advised() -> None:
    assert advise(facts()) == ()
    assert advise(facts([])) == ()  # nor where there is no curve


# ---- borders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("last", "shown"), [(2.199, False), (2.2, True), (2.201, True)])
def test_border_of_diverged(last: float, shown: bool) -> None:
    # Fifths of two points each: the lowest is 2.0; 10 % above it is 2.2.
    case = facts([3.0, 3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, last, last])
    found = met("diverged", case)
    assert (found is not None) == shown
    if found:
        assert found == {"finite": 1.0, "lowest": 2.0, "last": pytest.approx(last), "learning_rate": 1e-4}


@pytest.mark.parametrize(("last", "shown"), [(4.039, False), (4.041, True)])
def test_border_of_overfitting(last: float, shown: bool) -> None:
    # 1 % above the lowest of 4.0 is 4.04. The middle one of three points over 200 steps is at 2 x 66.
    found = met("overfitting", facts(FELL, held_out=[4.5, 4.0, last], passes=6.0))
    assert (found is not None) == shown
    if found:
        assert found == {"best_step": 132.0, "last_step": 198.0, "lowest": 4.0, "last": last, "passes": 6.0}


@pytest.mark.parametrize(("held_out", "shown"), [(4.06, False), (4.07, True)])
def test_border_of_memorised(held_out: float, shown: bool) -> None:
    # The last fifth of FELL is 3.4, 3.3, 3.2, 3.1: 3.25. That is 80 % of 4.0625.
    case = facts(FELL, found=domain(part(held_out + 0.5, -0.5, -0.6, -0.4)), passes=2.0)
    assert (met("memorised", case) is not None) == shown


def test_memorised_goes_by_the_loss_where_the_verdict_goes_by_bits() -> None:
    bits = {"bits_per_byte": 9.0}
    both = {
        **part(5.0, -0.5, -0.6, -0.4, **bits),
        "bits_per_byte_difference": {"mean": -1.0, "low": -2.0, "high": -0.5},
    }
    found = evaluation(objective="clm", domain=text(both))
    figures = met("memorised", facts(FELL, found=found, passes=3.0))
    assert figures == {"training": pytest.approx(3.25), "held_out": 4.5, "passes": 3.0}


def test_no_loss_no_advice_by_it() -> None:
    bits = {**part(5.0, -0.5, -0.6, -0.4), "before": {"bits_per_byte": 1.0}, "after": {"bits_per_byte": 0.9}}
    bits |= {"difference": None, "bits_per_byte_difference": {"mean": -0.1, "low": -0.2, "high": -0.05}}
    case = facts(FELL, found=domain(bits), passes=3.0)
    assert case.domain is not None and case.domain.outcome == "helped"
    assert met("memorised", case) is None


def zigzag(fall: float, scatter: float) -> list[float]:
    """30 points whose last third falls by `fall` to 2.0 along a line, by turns above and below it by `scatter`."""
    # The last third at a constant rate are 10 points, whose middles are a tenth of it apart.
    return [2 + fall] * 20 + [2 + fall * (9.5 - index) / 10 + scatter * (-1) ** index for index in range(10)]


@pytest.mark.parametrize(("fall", "shown"), [(0.019, False), (0.021, True)])
def test_border_of_still_falling_by_size(fall: float, shown: bool) -> None:
    # The line ends at 2.0, of which 1 % is 0.02; there is no scatter.
    found = met("still_falling", facts(zigzag(fall, 0.0)))
    assert (found is not None) == shown
    if found:
        assert found["fall"] == pytest.approx(0.021)
        assert found["relative"] == pytest.approx(0.021 / 2.021)


def test_border_of_still_falling_by_noise() -> None:
    assert met("still_falling", facts(zigzag(0.2, 0.02)))
    assert met("still_falling", facts(zigzag(0.2, 0.2))) is None


def test_a_curve_that_a_decay_flattened_is_still_falling() -> None:
    # The loss falls in proportion to the learning done, so that by steps its end is all but flat.
    left = [1 - index / 40 for index in range(1, 41)]
    losses = [2 + square for square in (share**2 for share in left)]
    by_steps, by_learning = facts(losses, rates=[1e-4] * 40), facts(losses, rates=[1e-4 * share for share in left])
    flat, steep = by_steps.curve.trend(1 / 3, 4), by_learning.curve.trend(1 / 3, 4)
    assert flat is not None and steep is not None
    assert steep.fall > 2 * flat.fall
    assert met("still_falling", by_learning)


@pytest.mark.parametrize(("reach", "name"), [(0.0399, "nothing_gained"), (0.04, "interval_wide")])
def test_border_between_nothing_gained_and_a_wide_interval(reach: float, name: str) -> None:
    # 2 % of 2.0 is 0.04.
    case = facts(found=domain(part(2.0, 0.0, -0.01, reach)))
    assert {one.condition for one in advise(case)} == {name}
    figures = met(name, case)
    assert figures is not None and figures["reach"] == pytest.approx(reach / 2)


@pytest.mark.parametrize(("relative", "shown"), [(0.019, False), (0.02, True)])
def test_border_of_general_forgotten(relative: float, shown: bool) -> None:
    assert (met("general_forgotten", facts(found=general(relative))) is not None) == shown


def test_what_was_tried_against_forgetting_is_told() -> None:
    tried = manifest(recipe={"replay": {"share": 0.1}, "adapter": {"type": "lora"}})
    assert met("general_forgotten", facts(found=general(0.12), run=tried)) == {
        "relative": pytest.approx(0.12),
        "learning_rate": 1e-4,
        "replay": 0.1,
        "adapter": 1.0,
    }


@pytest.mark.parametrize(
    ("pieces", "usual", "shown"),
    [(2.99, 1.0, False), (3.0, 1.0, True), (3.0, 1.5, True), (3.0, 1.51, False), (3.0, None, True)],
)
def test_border_of_terms_in_pieces(pieces: float, usual: float | None, shown: bool) -> None:
    terms = {"mean_pieces": pieces, "general_pieces": usual}
    assert (met("terms_in_pieces", facts(found=evaluation(terms=terms))) is not None) == shown


@pytest.mark.parametrize(("units", "shown"), [(19, True), (20, False)])
def test_border_of_few_held_out(units: int, shown: bool) -> None:
    case = facts(found=domain(part(2.5, -0.5, -0.6, -0.4), units=units))
    assert (met("few_held_out", case) is not None) == shown


def test_where_max_tokens_left_documents_out_it_is_to_be_raised() -> None:
    case = facts(found=evaluation(domain={**text(part(2.5, -0.5, -0.6, -0.4), units=7), **SAMPLED}))
    figures = met("few_held_out", case)
    assert figures == {"sampled_from": 70.0}
    told = advice_text({"condition": "few_held_out", "figures": figures})
    assert told.startswith(
        "Of 70 held-out documents only a few were scored; an honest interval wants 20 or more: raise"
    )
    assert "give more documents" not in told


def test_thresholds_are_those_of_the_documentation() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "verdict.md").read_text(encoding="utf-8")
    for name in CONDITIONS:
        assert f"| `{name}` |" in page
    assert len(FLAT) == 20
    for told in (
        f"{advice.LEAST_FALL:.0%}",
        f"{advice.STANDARD_ERRORS:.0f} standard errors",
        f"{advice.LEAST_RISE:.0%}",
        f"{advice.LEAST_GAP:.0%}",
        f"{advice.FEW_DOCUMENTS} documents",
        f"{advice.LEAST_PIECES:.0f} tokens",
    ):
        assert told.replace("%", " %") in page, told
