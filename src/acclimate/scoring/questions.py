"""Chosen questions to a model: which tokens of a text, instead of the objective's own random ones.

An objective says by `hide` what the model gets where it is asked for some tokens; here the questions are put to a model
in batches of like length, and what it says of each token comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from acclimate.models.generators import GeneratorAndDiscriminator
from acclimate.objectives.base import IGNORE, LABEL_PLACES, Batch, Fields, Objective
from acclimate.objectives.mlm import MaskedLanguageModeling
from acclimate.objectives.predictions import head_positions, model_inputs, takes_head_positions
from acclimate.objectives.rows import Row
from acclimate.progress import Listener, Progress, Silent
from acclimate.ranks import label_ranks
from acclimate.scoring.batches import batches_by_length, one_length_only, token_limit

_SIDES = ("input_ids", "decoder_input_ids")


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model said of the hidden tokens of one question, [N] each, in the order of the text.

    Attributes:
        places: which tokens of the text they are.
        losses: surprise at them, in nats.
        ranks: how many tokens were likelier; 0 where the first guess was right.
        guesses: the likeliest ids for each and their probabilities, best first; empty where they were not asked for.
    """

    places: NDArray[np.int64]
    losses: NDArray[np.float64]
    ranks: NDArray[np.int64]
    guesses: tuple[tuple[tuple[int, float], ...], ...] = ()


def fills_masks(objective: Objective) -> bool:
    """Whether an objective's models say one token for each mask."""
    return isinstance(objective, MaskedLanguageModeling)


def question(
    objective: Objective,
    ids: NDArray[np.int64],
    hidden: Sequence[int] | NDArray[np.int64],
    asked: Sequence[int] | NDArray[np.int64] | None = None,
) -> Fields | None:
    """What a model gets where it is asked for some tokens of a text.

    Args:
        ids: of the text, without its frame; no longer than a row has room for.
        hidden: which of them it does not see.
        asked: which of these it is asked for; default all.

    Returns:
        None where none of them can be asked for.
    """
    row = Row.of_text(ids, objective.vocabulary, objective.frame)
    chosen = np.isin(row.places, np.asarray(hidden, dtype=np.int64))
    if not (chosen & row.candidates).any():
        return None
    fields = objective.hide(row, chosen)
    if fields is not None and asked is not None:
        fields = {**fields, "labels": np.where(np.isin(fields[LABEL_PLACES], asked), fields["labels"], IGNORE)}
    return fields if fields is not None and (fields["labels"] != IGNORE).any() else None


def asked_places(fields: Fields) -> NDArray[np.int64]:
    """[N] which tokens of its text a question asks for, in their order."""
    return np.asarray(fields[LABEL_PLACES][fields["labels"] != IGNORE])


def ask(
    model: Any,
    objective: Objective,
    questions: Sequence[Fields],
    *,
    top_k: int = 0,
    batch_size: int | None = None,
    stage: str = "asking",
    listener: Listener | None = None,
) -> list[Answer]:
    """The answers of a model, prepared for packed rows where it can be, to some questions, in their order.

    Args:
        top_k: how many guesses are told for each token; only of models that fill masks.
        batch_size: at most so many questions per forward; default as many as `token_limit` allows.
    """
    listener = listener or Silent()
    answers: dict[int, Answer] = {}
    device = next(model.parameters()).device
    lengths = [sum(len(fields[name]) for name in _SIDES if name in fields) for fields in questions]
    batches = batches_by_length(
        lengths, max_tokens=token_limit(model), max_rows=batch_size, one_length=one_length_only(model)
    )
    model.eval()
    with torch.inference_mode():
        for indices in batches:
            batch = {
                name: values.to(device)
                for name, values in objective.collate([questions[index] for index in indices]).items()
            }
            answers |= _answers(model, objective, batch, indices, questions, top_k)
            listener.progress(Progress(stage, len(answers), len(questions), "question"))
    return [answers[index] for index in range(len(questions))]


def _answers(
    model: Any, objective: Objective, batch: Batch, indices: Sequence[int], questions: Sequence[Fields], top_k: int
) -> dict[int, Answer]:
    if fills_masks(objective):
        losses_N, ranks_N, guesses = _filled(model, objective, batch, top_k)
    else:
        scores = objective.scores(model, batch)[0]
        assert scores.ranks is not None, "answers are made without gradients"
        losses_N, ranks_N, guesses = scores.losses, scores.ranks, ()
    losses, ranks = losses_N.double().cpu().numpy(), ranks_N.cpu().numpy()
    found, start = {}, 0
    for index in indices:
        places = asked_places(questions[index])
        own = slice(start, start + len(places))
        found[index] = Answer(places, losses[own], ranks[own], guesses[own])
        start = own.stop
    return found


def _filled(
    model: Any, objective: Objective, batch: Batch, top_k: int
) -> tuple[torch.Tensor, torch.Tensor, tuple[tuple[tuple[int, float], ...], ...]]:
    """Losses [N] and ranks [N] of the masked tokens, and the likeliest ones."""
    if isinstance(model, GeneratorAndDiscriminator):
        model = model.generator
    inputs = model_inputs(batch, "token_type_ids", model=model)
    positions_N = head_positions(batch, objective.shift)
    sparse = takes_head_positions(model)
    output = model(**inputs, **({"head_positions": positions_N} if sparse else {}))
    logits = output.logits if hasattr(output, "logits") else output.prediction_logits
    logits_NV = (logits[0] if sparse else logits.flatten(0, 1)[positions_N]).float()
    labels_N = batch["labels"].flatten()[positions_N + objective.shift]
    losses_N = F.cross_entropy(logits_NV, labels_N, reduction="none")
    ranks_N = label_ranks(logits_NV, labels_N)
    if not top_k:
        return losses_N, ranks_N, ()
    best = logits_NV.log_softmax(-1).topk(min(top_k, logits_NV.shape[1]))
    pairs = zip(best.indices.tolist(), best.values.exp().tolist(), strict=True)
    return losses_N, ranks_N, tuple(tuple(zip(ids, shares, strict=True)) for ids, shares in pairs)
