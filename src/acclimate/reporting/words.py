"""What the report says, in the language that it says it in: words by key, and numbers as they are written there."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import Literal, cast

from acclimate.errors import RecipeError
from acclimate.reporting.words_en import ENGLISH
from acclimate.reporting.words_zh import CHINESE

Lang = Literal["en", "zh"]
LANGUAGES: dict[str, Mapping[str, str]] = {"en": ENGLISH, "zh": CHINESE}
# What stands for a number that there is none of.
NONE = "–"
MINUS = "\N{MINUS SIGN}"


class Words:
    """The words of one language.

    Attributes:
        lang: "en" or "zh".
    """

    def __init__(self, lang: str) -> None:
        if lang not in LANGUAGES:
            raise RecipeError(f"the report is written in {' or '.join(LANGUAGES)}, not in {lang!r}")
        self.lang = cast(Lang, lang)
        self._table = LANGUAGES[lang]

    def __call__(self, key: str, **values: object) -> str:
        """The words of a key, with values put in."""
        return self._table[key].format(**values) if values else self._table[key]

    def get(self, key: str) -> str | None:
        """The words of a key that there may not be."""
        return self._table.get(key)

    # ---- numbers -----------------------------------------------------------------------------------------------

    def integer(self, value: float | None) -> str:
        """1,234,567"""
        return NONE if value is None or not math.isfinite(value) else _minus(f"{value:,.0f}")

    def decimal(self, value: float | None, digits: int = 3) -> str:
        """7.538"""
        return NONE if value is None or not math.isfinite(value) else _minus(f"{value:,.{digits}f}")

    def signed(self, value: float | None, digits: int = 3) -> str:
        """+0.120"""
        return NONE if value is None or not math.isfinite(value) else _minus(f"{value:+,.{digits}f}")

    def percent(self, share: float | None, digits: int = 1) -> str:
        """39.0%"""
        return NONE if share is None or not math.isfinite(share) else _minus(f"{share:.{digits}%}")

    def points(self, share: float | None) -> str:
        """A difference of shares: +31.7 points"""
        number = self.signed(None if share is None else 100 * share, 1)
        return number if number == NONE else self("points", number=number)

    def interval(self, low: float | None, high: float | None, digits: int = 3) -> str:
        """−4.067 to −3.804"""
        return self("interval", low=self.signed(low, digits), high=self.signed(high, digits))

    def power(self, value: float | None) -> str:
        """1.23 × 10¹⁵"""
        if value is None or not math.isfinite(value) or value <= 0:
            return NONE
        digits, _, exponent = f"{value:.2e}".partition("e")
        return f"{digits} × 10{str(int(exponent)).translate(_RAISED)}"

    def size(self, num_bytes: float | None) -> str:
        """1.5 GiB"""
        if num_bytes is None or not math.isfinite(num_bytes):
            return NONE
        return f"{num_bytes / 2**30:.2f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"

    def duration(self, seconds: float | None) -> str:
        """1 h 12 min"""
        if seconds is None or not math.isfinite(seconds):
            return NONE
        if seconds < 60:
            return self("seconds", s=f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}")
        if seconds < 3600:
            return self("minutes", m=int(seconds // 60), s=int(seconds % 60))
        minutes = round(seconds / 60)
        return self("hours", h=minutes // 60, m=minutes % 60)

    def date(self, value: str | None) -> str:
        """2026-11-26 14:05 UTC, from ISO 8601."""
        try:
            moment = datetime.datetime.fromisoformat(value or "")
        except ValueError:
            return value or NONE
        return f"{moment:%Y-%m-%d %H:%M}" + (" UTC" if moment.utcoffset() == datetime.timedelta(0) else "")


_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def _minus(text: str) -> str:
    # A rounded zero has no sign.
    if text.startswith(("-", "+")) and not any(digit in text for digit in "123456789"):
        text = text[1:]
    return text.replace("-", MINUS)
