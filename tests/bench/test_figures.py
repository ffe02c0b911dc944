"""Medians, ratios, targets and tables of benchmarks; the page has the table of the results that are kept."""

from __future__ import annotations

from pathlib import Path

import pytest


def test_ratio_of_medians_and_spread_of_pairs() -> None:
    import figures

    # Medians 10 and 30. Pairs: 20/10, 30/8 and 60/15.
    row = figures.row("speed", [10, 8, 15], [20, 30, 60], "tokens/s", "a note")
    assert row == {
        "name": "speed",
        "peer": 10,
        "ours": 30,
        "ratio": 3,
        "spread": [2, 4],
        "unit": "tokens/s",
        "note": "a note",
    }


@pytest.mark.parametrize(("peer", "ours"), [([2.0], []), ([], [2.0]), ([], [])])
def test_what_was_not_measured_is_none(peer: list[float], ours: list[float]) -> None:
    import figures

    row = figures.row("speed", peer, ours, "s")
    assert (row["peer"] is None, row["ours"] is None) == (not peer, not ours)
    assert row["ratio"] is None and row["spread"] is None
    assert figures.cells(row)[4] == "-"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "-"),
        (0.012345, "0.0123"),
        (1.5, "1.5"),
        (99.96, "100"),
        (12345.6, "12,346"),
        (0.0, "0"),
        (1e-5, "1e-05"),
    ],
)
def test_numbers_have_three_digits(value: float | None, told: str) -> None:
    import figures

    assert figures.number(value) == told


def test_targets_are_met_or_missed() -> None:
    import figures

    at_least, at_most = figures.Target("ratio", ">=", 6), figures.Target("ratio", "<=", 0.5)
    assert [at_least.met({"ratio": value}) for value in (6.0, 5.9, None)] == [True, False, None]
    assert [at_most.met({"ratio": value}) for value in (0.5, 0.6)] == [True, False]
    name = "bert-base: tokens/s, against plain"
    assert figures.cells(figures.row(name, [1.0], [7.0], "tokens/s"))[6] == "ratio >= 6 (met)"
    assert figures.cells(figures.row(name, [1.0], [5.0], "tokens/s"))[6] == "ratio >= 6 (missed)"
    assert figures.cells(figures.row(name, [], [], "tokens/s"))[6] == "ratio >= 6 (not measured)"


def test_every_target_is_one_of_a_row_that_is_measured() -> None:
    import figures
    from cases import CPU_CASES, GPU_CASES
    from time_to_loss import WAYS

    known = {case.name for case in (*CPU_CASES, *GPU_CASES)} | {*WAYS}
    assert {name.partition(":")[0] for name in figures.TARGETS} <= known


def test_rows_are_kept_and_read_back(tmp_path: Path) -> None:
    import figures

    about = {
        "hardware": {"cpu": "A CPU", "threads": 2, "instructions": ["avx2"]},
        "versions": {"torch": "2.13.0"},
        "date": "2026-11-25",
    }
    rows = [figures.row("b: tokens/s, fast", [1.0], [2.0], "tokens/s"), figures.row("a", [1.0], [3.0], "s", "x | y")]
    folder = tmp_path / figures.hardware_folder(about["hardware"])
    assert folder.name == "a-cpu-2-threads-avx2"
    figures.write(rows, folder, about)
    assert sorted(path.name for path in folder.iterdir()) == ["a.json", "b-tokens-s-fast.json"]
    kept = figures.read(tmp_path)
    assert kept == [{**rows[1], **about}, {**rows[0], **about}]
    assert figures.as_markdown(kept).splitlines() == [
        "**A CPU, 2 threads, avx2, torch 2.13.0**",
        "",
        "| what | unit | peer | ours | ratio | spread | target | note |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| a | s | 1 | 3 | 3 |  |  | x / y |",
        "| b: tokens/s, fast | tokens/s | 1 | 2 | 2 |  |  |  |",
    ]


def test_a_table_is_put_between_the_markers_again_and_again() -> None:
    import figures

    page = f"before\n{figures.BEGIN}\nold\n{figures.END}\nafter\n"
    once = figures.with_table(page, "| new |\n")
    assert once == f"before\n{figures.BEGIN}\n\n| new |\n\n{figures.END}\nafter\n"
    assert figures.with_table(once, "| new |\n") == once
    with pytest.raises(ValueError, match="has no lines"):
        figures.with_table("no markers", "")


def test_the_page_has_the_table_of_the_results() -> None:
    import figures

    page = figures.PAGE.read_text(encoding="utf-8")
    assert figures.with_table(page, figures.as_markdown(figures.read(figures.RESULTS))) == page
