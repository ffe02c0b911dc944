"""What every verb asks of the texts that it is given, and of the models that it loads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from acclimate.errors import DataError, SourceError


def check_text(text: str, what: str) -> None:
    """Refuse a text that is empty or no Unicode; `what` names it in the error."""
    if not text.strip():
        raise DataError(f"{what} is empty; give a text of at least one word")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(f"{what}, {text[:60]!r}, is no valid Unicode text: {error}") from error


def as_list(texts: Any) -> tuple[list[Any], bool]:
    """The texts as a list, and whether it was one alone."""
    return ([texts], True) if isinstance(texts, str) else (list(texts), False)


def name_of(number: int, total: int, what: str) -> str:
    """How one of several texts is called in errors; numbers count from 1."""
    return f"the {what}" if total == 1 else f"{what} {number}"


def check_some(texts: Sequence[Any], what: str) -> None:
    """Refuse an empty list."""
    if not texts:
        raise DataError(f"there is no {what}; give at least one")


def read_text_file(path: str | Path) -> str:
    """The text of a UTF-8 file, line ends as they are.

    Raises:
        SourceError: there is no such file, or it is no UTF-8.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from error


def on_best_device(model: Any) -> Any:
    """The model in evaluation mode, on the accelerator where there is one."""
    model.eval()
    if torch.cuda.is_available():
        model.to("cuda")
    return model
