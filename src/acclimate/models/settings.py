"""The `model:` section of a recipe."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import model_validator

from acclimate.recipe import Section


class ModelSettings(Section):
    """Which model to start from: `model: google-bert/bert-base-uncased`, or a new one.

    Attributes:
        name: a hub id or a folder saved by `save_pretrained`.
        revision: branch, tag or commit of the hub repository.
        config: start from random weights instead, with this configuration: `model_type` and any field of the
            architecture's configuration class, such as `{model_type: bert, hidden_size: 256}`. The vocabulary's size
            and the special tokens come from the tokenizer.
        trust_remote_code: run model code that the hub repository carries.
    """

    SHORTHAND: ClassVar[str | None] = "name"

    name: str | None = None
    revision: str | None = None
    config: dict[str, Any] | None = None
    trust_remote_code: bool = False

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.name is None) == (self.config is None):
            raise ValueError("give either `name`, a hub id or folder, or `config`, to start from random weights")
        if self.config is not None and "model_type" not in self.config:
            raise ValueError("`config` needs a `model_type`, such as `bert`")
        return self
