"""Experiment trackers: off by default; a missing one is told before any work, and none asks for a key."""

from __future__ import annotations

import netrc
import os

from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    get_available_reporting_integrations,
)


def check_trackers(report_to: object) -> list[str]:
    """Every tracker under `report_to` that is unknown or not installed."""
    problems = []
    for name in _names(report_to):
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            problems.append(f"`report_to`: unknown tracker {name!r}; there are: {known}")
        elif name not in get_available_reporting_integrations():
            problems.append(f"`report_to`: {name} is not installed; install it (`pip install {name}`), or leave it out")
    return problems


def never_ask(report_to: object) -> str | None:
    """Keep wandb from asking for a key on the terminal, which stops a run that nobody watches.

    Returns:
        What was done, where something was.
    """
    if "wandb" not in _names(report_to) or os.environ.get("WANDB_MODE") or os.environ.get("WANDB_API_KEY"):
        return None
    if _has_key("api.wandb.ai"):
        return None
    os.environ["WANDB_MODE"] = "offline"
    return "wandb has no key here: it records offline; `wandb sync` sends its records later"


def _has_key(host: str) -> bool:
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _names(report_to: object) -> list[str]:
    names = report_to if isinstance(report_to, list) else [report_to] if isinstance(report_to, str) else []
    return [str(name) for name in names if name not in ("none", "all")]
