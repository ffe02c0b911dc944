"""Figures of several runs as rows of a table: medians, ratios, targets, JSON files, text and Markdown."""

from __future__ import annotations

import json
import operator
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]

RESULTS = Path(__file__).resolve().parent / "results"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- results: written by `make bench-table` -->", "<!-- end of results -->"


@dataclass(frozen=True)
class Target:
    """What a figure of a row ought to be."""

    figure: str  # "ratio" or "ours"
    sign: str
    value: float

    def __str__(self) -> str:
        return f"{self.figure} {self.sign} {self.value:.2g}"

    def met(self, row: Mapping[str, Any]) -> bool | None:
        """None where the row has no such figure."""
        found = row.get(self.figure)
        return None if found is None else {">=": operator.ge, "<=": operator.le}[self.sign](found, self.value)


# By the name of a row.
TARGETS: Mapping[str, Target] = {
    "bert-base: tokens/s, against plain": Target("ratio", ">=", 6),
    "bert-base: tokens/s, against tuned, equal dropout": Target("ratio", ">=", 1.5),
    "bert-base: tokens/s, against tuned, ours without dropout": Target("ratio", ">=", 1.8),
    "bert-base: share of the GEMM peak": Target("ours", ">=", 0.45),
    "bert-base: peak memory beyond weights, gradients and optimizer": Target("ratio", "<=", 0.5),
    "time to plain's loss": Target("ratio", "<=", 1 / 6),
    "gpu-bert-base-128: tokens/s, against tuned, equal dropout": Target("ratio", ">=", 2),
    "gpu-bert-base-512: tokens/s, against tuned, equal dropout": Target("ratio", ">=", 2),
    "gpu-bert-base-128: share of the GEMM peak": Target("ours", ">=", 0.45),
    "gpu-bert-base-512: share of the GEMM peak": Target("ours", ">=", 0.45),
}


def row(name: str, peer: Sequence[float], ours: Sequence[float], unit: str, note: str = "") -> Row:
    """Compare the figures of runs that alternated, in the order in which they ran.

    `peer`, `ours`: medians. `ratio`: ours / peer, of the medians. `spread`: the least and the largest ratio of two runs
    that followed each other; None for one pair. What was not measured is None.
    """
    against, middle = (statistics.median(found) if found else None for found in (peer, ours))
    ratios = [one / other for one, other in zip(ours, peer, strict=False) if other]
    return {
        "name": name,
        "peer": against,
        "ours": middle,
        "ratio": middle / against if against and middle is not None else None,
        "spread": [min(ratios), max(ratios)] if len(ratios) > 1 else None,
        "unit": unit,
        "note": note,
    }


def file_name(name: str) -> str:
    """`bert-base: tokens/s, against plain` is kept in `bert-base-tokens-s-against-plain.json`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".json"


def write(rows: Iterable[Row], folder: Path, about: Mapping[str, Any]) -> None:
    """Keep each row in a file of its own, with what it was measured on."""
    folder.mkdir(parents=True, exist_ok=True)
    for found in rows:
        text = json.dumps({**found, **about}, indent=2, ensure_ascii=False) + "\n"
        (folder / file_name(found["name"])).write_text(text, encoding="utf-8")


def read(folder: Path) -> list[Row]:
    """The rows that are kept in a folder, by name: each hardware has a folder of its own in it (`hardware_folder`)."""
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/*.json"))]
    return sorted(rows, key=lambda found: found["name"])


# ---- tables ---------------------------------------------------------------------------------------------------------

VERDICTS = {True: "met", False: "missed", None: "not measured"}
HEAD = ("what", "unit", "peer", "ours", "ratio", "spread", "target", "note")


def number(value: float | None) -> str:
    """Three digits that count, and none after the point from 100 on: `0.0123`, `1.23`, `12,346`."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cells(found: Mapping[str, Any]) -> tuple[str, ...]:
    """A row as it is shown."""
    target = TARGETS.get(found["name"])
    told = f"{target} ({VERDICTS[target.met(found)]})" if target else ""
    spread = found.get("spread")
    return (
        found["name"],
        found.get("unit") or "",
        number(found.get("peer")),
        number(found.get("ours")),
        number(found.get("ratio")),
        "" if not spread else f"{number(spread[0])} … {number(spread[1])}",
        told,
        found.get("note") or "",
    )


def as_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows for the terminal: a table without notes, and the notes below it."""
    table = [HEAD[:-1], *(cells(found)[:-1] for found in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEAD) - 1)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    notes = [f"{found['name']}: {found['note']}" for found in rows if found.get("note")]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def _hardware_parts(hardware: Mapping[str, Any]) -> list[str]:
    parts = [hardware.get("gpu") or hardware.get("cpu") or "unknown hardware"]
    if not hardware.get("gpu"):
        parts += [f"{hardware.get('threads')} threads", *hardware.get("instructions", ())]
    return parts


def hardware_folder(hardware: Mapping[str, Any]) -> str:
    """The name of the folder of what was measured on a machine: `nvidia-h200`."""
    return file_name("-".join(_hardware_parts(hardware))).removesuffix(".json")


def hardware_name(found: Mapping[str, Any]) -> str:
    """What a kept row was measured on, for people."""
    versions = found.get("versions") or {}
    parts = _hardware_parts(found.get("hardware") or {})
    parts += [f"{name} {versions[name]}" for name in ("torch", "transformers") if name in versions]
    return ", ".join(map(str, parts))


def as_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Kept rows as tables, one for each hardware."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for found in rows:
        groups.setdefault(hardware_name(found), []).append(found)
    if not groups:
        return "Nothing has been measured yet.\n"
    blocks = []
    for name, members in groups.items():
        lines = [f"**{name}**", "", f"| {' | '.join(HEAD)} |", f"|{' --- |' * len(HEAD)}"]
        lines += [f"| {' | '.join(cell.replace('|', '/') for cell in cells(found))} |" for found in members]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def with_table(page: str, table: str) -> str:
    """The text of a page with the table between its two markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{table}\n{END}{after}"
