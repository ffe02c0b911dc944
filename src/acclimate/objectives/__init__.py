"""Self-supervised objectives: one file each, and one row each in the table `OBJECTIVES`.

Floor 3: imports from tokens and below; knows nothing of models but what it calls.
"""

from __future__ import annotations

from acclimate.objectives.base import Objective
from acclimate.objectives.mlm import MaskedLanguageModeling

OBJECTIVES: dict[str, type[Objective]] = {
    "mlm": MaskedLanguageModeling,
}

# The objective that is chosen for a model type where none is named; by family otherwise.
OWN_OBJECTIVE_OF_FAMILY: dict[str, str] = {
    "encoder": "mlm",
}
