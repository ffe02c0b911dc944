"""What the command line shows: messages and progress on stderr, results on stdout."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import textwrap
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from acclimate.progress import Progress

# Where nobody watches a bar (a log file, a pipe), a line is written this often, in seconds.
LINE_INTERVAL = 15.0


def print_json(value: Any) -> None:
    """Plain data on stdout, non-ASCII characters as they are; what is no finite number is null, as JSON has none."""
    print(json.dumps(_finite(value), ensure_ascii=False, indent=2))


def print_json_list(values: Iterable[Any]) -> None:
    """As `print_json` of a list, each entry as soon as it is there."""
    first = True
    for value in values:
        text = json.dumps(_finite(value), ensure_ascii=False, indent=2)
        print("[" if first else ",", end="\n")
        print(textwrap.indent(text, "  "), end="")
        first = False
    print("[]" if first else "\n]")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class ConsoleListener:
    """A listener that draws bars on a terminal, and writes lines elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.err = Console(stderr=True, highlight=False, emoji=False)
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}s"),
            TextColumn("[dim]{task.fields[details]}"),
            console=self.err,
            transient=True,
            disable=quiet or not self.err.is_terminal,
        )
        self.tasks: dict[str, TaskID] = {}
        self.last_line: dict[str, float] = {}

    def message(self, text: str) -> None:
        if not self.quiet:
            self.err.print(text, markup=False, soft_wrap=True)

    def progress(self, progress: Progress) -> None:
        if self.quiet:
            return
        details = "  ".join(f"{name} {value}" for name, value in progress.details)
        if self.err.is_terminal:
            self._draw(progress, details)
        else:
            self._write(progress, details)

    def _draw(self, progress: Progress, details: str) -> None:
        if progress.stage not in self.tasks:
            for task in self.tasks.values():
                self.bars.update(task, visible=False)
            self.tasks[progress.stage] = self.bars.add_task(
                progress.stage, total=progress.total, unit=progress.unit, details=""
            )
        task = self.tasks[progress.stage]
        done = progress.total is not None and progress.done >= progress.total
        self.bars.update(task, completed=progress.done, details=details, visible=not done)

    def _write(self, progress: Progress, details: str) -> None:
        now = time.monotonic()
        first = progress.stage not in self.last_line
        started = self.last_line.setdefault(progress.stage, now)
        if progress.done == progress.total or (not first and now - started >= LINE_INTERVAL):
            self.last_line[progress.stage] = now
            total = f"/{progress.total:,}" if progress.total is not None else ""
            self.message(f"{progress.stage}: {progress.done:,}{total} {progress.unit}s  {details}".rstrip())


@contextmanager
def listening(*, quiet: bool = False) -> Iterator[ConsoleListener]:
    """A listener for the time of a job, with the libraries' own chatter turned off."""
    hush_libraries()
    console = ConsoleListener(quiet=quiet)
    with console.bars:
        yield console


def hush_libraries() -> None:
    """Bars and log lines of the libraries below would run into ours; their errors still come through."""
    if os.environ.get("ACCLIMATE_DEBUG"):
        return
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for library in ("accelerate", "datasets", "huggingface_hub", "httpx"):
        logging.getLogger(library).setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout: the first column is text, the others are figures; nothing in it is taken for markup."""
    table = Table(title=Text(title), title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)


def print_text(text: str = "") -> None:
    """Plain text on stdout; nothing in it is taken for markup."""
    Console(highlight=False, emoji=False).print(text, markup=False, soft_wrap=True)


def format_figure(name: str, value: Any) -> str:
    """A figure of a run's summary, for people."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,.0f}" if isinstance(value, (int, float)) else str(value)


def print_summary(folder: str, summary: Mapping[str, Any]) -> None:
    """The closing figures of a run."""
    print_table(
        f"Run {folder}", ["", "figure"], [[name, format_figure(name, value)] for name, value in summary.items()]
    )
