"""The sections `model:` and `adapter:` of a recipe."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

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
        dropout: of all layers in training, instead of the configuration's; the saved configuration keeps its own.
    """

    SHORTHAND: ClassVar[str | None] = "name"

    name: str | None = None
    revision: str | None = None
    config: dict[str, Any] | None = None
    trust_remote_code: bool = False
    dropout: float | None = Field(None, ge=0, lt=1)

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.name is None) == (self.config is None):
            raise ValueError("give either `name`, a hub id or folder, or `config`, to start from random weights")
        if self.config is not None and "model_type" not in self.config:
            raise ValueError("`config` needs a `model_type`, such as `bert`")
        return self


class AdapterSettings(Section):
    """Train a small adapter and leave the model's own weights as they are: `adapter: lora`.

    The names are those of `peft.LoraConfig`.

    Attributes:
        type: "lora" (Hu et al. 2022, arXiv:2106.09685).
        r: rank of the adapter's matrices.
        lora_alpha: scale; the adapter's output counts `lora_alpha / r`.
        lora_dropout: dropout before the adapter.
        target_modules: which linear layers get one: names, or "all-linear".
        modules_to_save: layers that are trained as a whole and saved with the adapter.
        use_rslora: scale by the root of the rank (Kalajdzievski 2023, arXiv:2312.03732).
    """

    SHORTHAND: ClassVar[str | None] = "type"

    type: Literal["lora"] = "lora"
    r: int = Field(16, ge=1)
    lora_alpha: int = Field(32, ge=1)
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: str | list[str] = "all-linear"
    modules_to_save: list[str] | None = None
    use_rslora: bool = False
