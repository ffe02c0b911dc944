"""A generator and a discriminator in one module, for replaced-token detection (ELECTRA, Clark et al. 2020).

The discriminator is the model that counts: a run folder is its checkpoint, with the generator in the subfolder
`generator`. The two share their token embeddings.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, PreTrainedConfig, PreTrainedModel

from acclimate.errors import ModelError

GENERATOR = "generator"
_WEIGHTS = "model.safetensors"


class GeneratorAndDiscriminator(torch.nn.Module):
    """A masked language model whose samples a discriminator judges.

    Attributes:
        generator: predicts masked tokens; its token embeddings are the discriminator's.
        discriminator: gives one logit a token, [B, L] or [B, L, 1].
    """

    def __init__(self, generator: PreTrainedModel, discriminator: PreTrainedModel) -> None:
        """
        Raises:
            ModelError: the embeddings of the two have different shapes.
        """
        super().__init__()
        # In this order: what is shared goes by the discriminator's name.
        self.discriminator = discriminator
        self.generator = generator
        self._share_embeddings()

    def _share_embeddings(self) -> None:
        ours, theirs = self.discriminator.get_input_embeddings(), self.generator.get_input_embeddings()
        if ours.weight.shape != theirs.weight.shape:
            raise ModelError(
                f"generator and discriminator share their token embeddings, but these are {tuple(theirs.weight.shape)} "
                f"and {tuple(ours.weight.shape)} (tokens x width); `objective.generator` must have the discriminator's "
                "vocabulary and embedding size"
            )
        theirs.weight = ours.weight
        self.generator.tie_weights()

    def forward(
        self,
        inputs: Mapping[str, Any],
        replace: Callable[[torch.Tensor], torch.Tensor],
        head_positions: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """
        Args:
            inputs: of the generator, masked; `input_ids` [B, L] and what else both models take.
            replace: gives the discriminator's `input_ids` [B, L] for the generator's logits.
            head_positions: [N] where the generator's head runs, places in the rows laid end to end; default everywhere.

        Returns:
            The generator's logits [B, L, V], or [1, N, V] at the positions; the discriminator's [B, L]; and the ids
            that it judged [B, L].
        """
        few = {} if head_positions is None else {"head_positions": head_positions}
        generator_logits = self.generator(**inputs, **few).logits
        ids_BL = replace(generator_logits)
        logits = self.discriminator(**{**inputs, "input_ids": ids_BL}).logits
        return generator_logits, logits[..., 0] if logits.dim() == 3 else logits, ids_BL

    @property
    def takes_head_positions(self) -> bool:
        """Whether the generator's head runs where it is asked to (`sparse_head.py`)."""
        return bool(getattr(self.generator, "takes_head_positions", False))

    @property
    def takes_segments(self) -> bool:
        """Whether both keep the texts of packed rows apart (`attention.py`)."""
        return all(getattr(model, "takes_segments", False) for model in (self.generator, self.discriminator))

    @property
    def config(self) -> PreTrainedConfig:
        """The discriminator's."""
        return self.discriminator.config

    @property
    def device(self) -> torch.device:
        device: torch.device = self.discriminator.device
        return device

    def num_parameters(self, *, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Parameters of both, shared ones once; as of `PreTrainedModel`."""
        embeddings = {id(self.get_input_embeddings().weight)} if exclude_embeddings else set()
        return sum(
            parameter.numel()
            for parameter in self.parameters()
            if id(parameter) not in embeddings and (parameter.requires_grad or not only_trainable)
        )

    def get_input_embeddings(self) -> torch.nn.Module:
        module: torch.nn.Module = self.discriminator.get_input_embeddings()
        return module

    def gradient_checkpointing_enable(self, **options: Any) -> None:
        """As of `PreTrainedModel`."""
        self.generator.gradient_checkpointing_enable(**options)
        self.discriminator.gradient_checkpointing_enable(**options)

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """The discriminator into `folder`, the generator into its subfolder `generator`."""
        self.discriminator.save_pretrained(folder, **options)
        self.generator.save_pretrained(Path(folder) / GENERATOR, **options)

    def load_weights(self, folder: str | Path) -> None:
        """Take the weights of a folder that `save_pretrained` wrote."""
        for model, place in ((self.discriminator, Path(folder)), (self.generator, Path(folder) / GENERATOR)):
            missing, unexpected = model.load_state_dict(load_file(place / _WEIGHTS), strict=False)
            tied = set(model.all_tied_weights_keys or ())
            if unexpected or set(missing) - tied:
                raise ModelError(f"{place} does not hold the weights of this {type(model).__name__}")
        self._share_embeddings()


def generator_beside(name: str | None) -> str | None:
    """The generator that goes with a discriminator, by where it lies or by its name; None where there is none."""
    if name is None:
        return None
    folder = Path(name)
    if (folder / GENERATOR).is_dir():
        return str(folder / GENERATOR)
    if not name.rstrip("/").endswith("-discriminator"):
        return None
    partner = name.rstrip("/").removesuffix("discriminator") + GENERATOR
    return partner if Path(partner).is_dir() or not folder.is_dir() else None


def new_generator(discriminator: PreTrainedModel, changes: Mapping[str, Any]) -> PreTrainedModel:
    """A generator of random weights, small, with the discriminator's vocabulary and embedding size.

    Where an architecture has an embedding size of its own, the generator is a quarter as wide (ELECTRA); elsewhere it
    is as wide and half as deep (DeBERTa-v3, He et al. 2021, arXiv:2111.09543).

    Args:
        changes: fields of the configuration that are to be otherwise.

    Raises:
        ModelError: these make no model.
    """
    config = copy.deepcopy(discriminator.config)
    try:
        for key, value in {**_smaller(config), **changes}.items():
            if not hasattr(config, key):
                raise ValueError(f"a configuration of {config.model_type} has no `{key}`")
            setattr(config, key, value)
        config.architectures = None
        return AutoModelForMaskedLM.from_config(config, attn_implementation=_attention(discriminator))
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise ModelError(f"`objective.generator` makes no model: {error}") from error


def _attention(model: PreTrainedModel) -> str | None:
    return "sdpa" if getattr(type(model), "_supports_sdpa", False) else None


def _smaller(config: PreTrainedConfig) -> dict[str, Any]:
    if config.model_type == "funnel":
        return {"block_sizes": [max(1, size // 2) for size in config.block_sizes]}
    if getattr(config, "embedding_size", None) is None:
        return {"num_hidden_layers": max(1, config.num_hidden_layers // 2)}
    heads = max(1, config.num_attention_heads // 4)
    # Whole heads, of the discriminator's width each.
    return {
        "num_attention_heads": heads,
        "hidden_size": config.hidden_size // config.num_attention_heads * heads,
        "intermediate_size": max(1, config.intermediate_size // 4),
    }
