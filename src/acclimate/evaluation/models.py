"""The two models of a run: the one that it started from, and the one that it made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from acclimate.errors import CheckpointError, ModelError
from acclimate.models.loading import load_model, packs, prepare_for_packs, weight_digests
from acclimate.models.settings import ModelSettings
from acclimate.objectives import make_objective
from acclimate.objectives.base import Objective
from acclimate.scoring.held_out import MASK_SEED
from acclimate.tokens.tokenizers import load_tokenizer
from acclimate.training.run_folder import RunFolder

# What can be done without the model before.
_OTHERWISE = "name another model to compare with (`--against`)"


@dataclass(frozen=True, eq=False)
class Way:
    """How a model is asked: by which tokenizer and objective."""

    tokenizer: PreTrainedTokenizerBase
    objective: Objective


def own_way(run: RunFolder, tokenizer: PreTrainedTokenizerBase) -> Way:
    """A run's objective with a tokenizer, with the fixed seed of held-out masks."""
    trained = run.manifest["objective"]
    return Way(
        tokenizer,
        make_objective(
            trained["name"],
            trained["options"],
            tokenizer,
            max_length=run.manifest["recipe"]["max_length"],
            seed=MASK_SEED,
            family=trained["family"],
            decoder_start_id=trained["decoder_start_id"],
        ),
    )


def way_before(run: RunFolder, after: Way) -> Way | None:
    """How the model before training is asked, if by another tokenizer than the run's: its own, where the run's adds
    tokens to it that texts are cut into. None where both cut texts alike, or the other one is not to be had."""
    before, new = run.manifest["before"]["model"], run.manifest["model"]["new_tokens"]
    special = {index for index, token in after.tokenizer.added_tokens_decoder.items() if token.special}
    if before["name"] is None or not {*new} - {*after.tokenizer.all_special_ids} - special:
        return None
    try:
        return own_way(run, load_tokenizer(before["name"], revision=before["revision"]))
    except ModelError:
        # Gone, or without a token that the objective needs.
        return None


def load_before(run: RunFolder, after: Way, before: Way | None = None) -> Any:
    """The model that a run started from.

    Args:
        after: how the run's model is asked.
        before: how this one is, if otherwise.

    Raises:
        CheckpointError: it is gone, or its weights have changed.
    """
    origin = run.manifest["before"]
    values = dict(origin["model"])
    if origin["folder"] is not None:
        values = {"name": str(run.path / origin["folder"])}
    elif weight_digests(values["name"]) != origin["weights"] and Path(values["name"] or "").is_dir():
        raise CheckpointError(
            f"the weights in {values['name']} have changed since {run.path} started from them, so that there is no "
            f"`before` to compare with; put the old ones back, or {_OTHERWISE}"
        )
    # A kept base has its own generator beside it, and new tokens in its embeddings.
    kept = origin["folder"] is not None
    way = before or after
    try:
        return load_model(
            ModelSettings(**values),
            way.objective.head,
            way.tokenizer,
            seed=run.manifest["recipe"]["seed"],
            head_options=None if kept else way.objective.head_options(),
            new_tokens=() if kept or before is not None else run.manifest["model"]["new_tokens"],
            keep_dtype=_keeps_dtype(run),
        ).model
    except ModelError as error:
        raise CheckpointError(
            f"the model that {run.path} started from cannot be loaded: {error}\nPut it back, or {_OTHERWISE}"
        ) from error


def load_after(run: RunFolder, way: Way) -> Any:
    """The model that a run made."""
    settings = ModelSettings(name=str(run.path))
    return load_model(settings, way.objective.head, way.tokenizer, seed=0, keep_dtype=_keeps_dtype(run)).model


def _keeps_dtype(run: RunFolder) -> bool:
    return run.manifest["recipe"]["adapter"] is not None


def ready(model: Any) -> Any:
    """A model on the accelerator, where there is one, that keeps the texts of packed rows apart, where it can."""
    if torch.cuda.is_available():
        model.to("cuda")
    if packs(model):
        prepare_for_packs(model)
    return model.eval()


def claims(manifest: Mapping[str, Any], *, by_own_tokenizer: bool = False) -> tuple[bool, tuple[str, ...]]:
    """Whether a run's difference may be called a gain, and if not, why not.

    Args:
        by_own_tokenizer: whether the model before was asked by its own tokenizer, without tokens that it never saw.
    """
    model = manifest["model"]
    if model["from_scratch"]:
        return False, (
            "the model started from random weights: the difference is all that it learned, no gain over a base",
        )
    reasons = []
    if model["new_parameters"] and not model["head_warmup"]:
        reasons.append(
            "the head was new and was not warmed up on general text, so that `before` is the head's ignorance: give "
            "`evaluation.general` and train again for an honest comparison"
        )
    elif model["head_warmup"] and not model["head_warmup"]["leveled_off"]:
        reasons.append(
            f"the new head's warm-up ended after {model['head_warmup']['steps']} steps while its loss was still "
            "falling, so that a part of the difference is the head's: raise `evaluation.head_warmup_steps`"
        )
    if model["unseen_tokens"] and not by_own_tokenizer:
        count = model["unseen_tokens"]
        added = "1 token was" if count == 1 else f"{count} tokens were"
        reasons.append(f"{added} added to the vocabulary, which `before` had never seen")
    return not reasons, tuple(reasons)
