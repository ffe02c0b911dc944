"""Parts of a source in the notation of Hugging Face data sets: `train[:100]`, `train[10%:20%]`, `[-50:]`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PART = re.compile(
    r"\s*(?P<name>\w+(?:[.-]\w+)*)?\s*"
    r"(?:\[\s*(?:(?P<start>-?[\d_]+)(?P<start_percent>%)?)?\s*:\s*(?:(?P<stop>-?[\d_]+)(?P<stop_percent>%)?)?\s*\])?\s*"
)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a source: `name[start:stop]`, the bounds in units or (`*_percent`) in hundredths of the whole."""

    name: str | None = None
    start: int | None = None
    stop: int | None = None
    start_percent: bool = False
    stop_percent: bool = False

    @property
    def needs_total(self) -> bool:
        """Whether the bounds are known only when the units have been counted."""
        return self.start_percent or self.stop_percent or (self.start or 0) < 0 or (self.stop or 0) < 0

    def bounds(self, total: int | None) -> tuple[int, int | None]:
        """The first unit and the one after the last (None: to the end); `total` may be None if not needed."""
        if total is None:
            assert not self.needs_total
            return self.start or 0, self.stop
        start = 0 if self.start is None else _absolute(self.start, self.start_percent, total)
        stop = total if self.stop is None else _absolute(self.stop, self.stop_percent, total)
        return start, max(start, stop)


def _absolute(bound: int, percent: bool, total: int) -> int:
    if percent:  # rounded to the nearest unit, as `datasets` does by default
        bound = round(bound * total / 100)
    if bound < 0:
        bound += total
    return min(max(bound, 0), total)


def parse_split(split: str) -> list[Part]:
    """Read `train[:100]` or `train[:5%]+test`.

    Raises:
        ValueError: it cannot be read as such; the message says what was expected.
    """
    return [_parse_part(part, split) for part in split.split("+")]


def _parse_part(part: str, split: str) -> Part:
    match = _PART.fullmatch(part)
    if match is None or not part.strip():
        raise ValueError(f"{split!r} is no split; expected one such as train, train[:100] or train[10%:20%]")
    start, stop = match["start"], match["stop"]
    result = Part(
        name=match["name"],
        start=None if start is None else int(start),
        stop=None if stop is None else int(stop),
        start_percent=match["start_percent"] is not None,
        stop_percent=match["stop_percent"] is not None,
    )
    for bound, percent in ((result.start, result.start_percent), (result.stop, result.stop_percent)):
        if percent and bound is not None and abs(bound) > 100:
            raise ValueError(f"{split!r} asks for {bound} %; percents go from -100 to 100")
    return result
