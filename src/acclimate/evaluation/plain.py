"""Results as the plain data of `evaluation.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from acclimate.scoring.bootstrap import Difference


class SupportsJson(Protocol):
    """Something that can be written down."""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        ...


def finite(value: Any) -> Any:
    """Plain data with None for numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(value: SupportsJson | None) -> dict[str, Any] | None:
    return None if value is None else value.to_json()


def all_as_json(values: Sequence[SupportsJson]) -> list[dict[str, Any]]:
    return [value.to_json() for value in values]


def difference_as_json(value: Difference | None) -> dict[str, float] | None:
    return None if value is None else dict(vars(value))
