"""Ours, by its public way: `acclimate.pretrain` with a recipe's settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import acclimate
from acclimate.jobs.recipes import Recipe
from acclimate.recipe import Section


def train(settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> acclimate.Run:
    """Train by the recipe of `settings`, changed by `overrides` (dotted paths).

    Args:
        settings: model and corpus (folders), objective, batch, length, device, output_dir; `training`; `lora`.
    """
    return acclimate.pretrain(
        settings["model"],
        settings["corpus"],
        settings["output_dir"],
        objective=settings["objective"],
        max_length=settings["length"],
        training={
            "per_device_train_batch_size": settings["batch"],
            "save_strategy": "no",
            "use_cpu": settings["device"] == "cpu",
            **settings["training"],
        },
        overrides=overrides,
        **({"adapter": "lora"} if settings["lora"] else {}),
    )


def missing_settings(overrides: Mapping[str, Any]) -> list[str]:
    """Which of the settings this version does not have, so that the harness can measure older versions, too."""
    return [path for path in overrides if not _known(path)]


def _known(path: str) -> bool:
    top, _, rest = path.partition(".")
    field = Recipe.model_fields.get(top)
    if field is None:
        return False
    section = field.annotation
    if not rest or not (isinstance(section, type) and issubclass(section, Section)):
        return True
    return rest.partition(".")[0] in section.model_fields or section.model_config.get("extra") == "allow"
