"""How work in progress is told: the core calls a `Listener` and never prints; the command line draws what it hears."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Progress:
    """How far a stage has come.

    `stage` names it for people. `done` and `total` count in `unit`. `details` are figures to show beside the bar,
    such as the loss and tokens per second.
    """

    stage: str
    done: int
    total: int | None
    unit: str
    details: tuple[tuple[str, str], ...] = ()


class Listener(Protocol):
    """Hears what a job has to say while it runs."""

    def message(self, text: str) -> None:
        """Something that the user should know: a decision taken, a fallback, a warning."""

    def progress(self, progress: Progress) -> None:
        """A stage has moved on; called some times a second at most."""


class Silent:
    """Hears everything and shows nothing: the default from Python."""

    def message(self, text: str) -> None:
        return None

    def progress(self, progress: Progress) -> None:
        return None
