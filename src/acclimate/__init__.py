"""acclimate: acclimate a language model to your documents."""

from __future__ import annotations

__version__ = "0.1.0"
