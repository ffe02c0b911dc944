"""The likeliest texts that a model writes to some ids, by beam search, whatever its own settings of generation are."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from acclimate.errors import DataError
from acclimate.scoring.batches import batches_by_length, one_length_only, token_limit
from acclimate.scoring.generator import Generator, Prompt
from acclimate.scoring.sampling import generation_config

# Prompts at a time in a beam search; each has some beams.
_PROMPTS = 8


def asked(generator: Generator, ids: Sequence[int], *, max_new_tokens: int, min_new_tokens: int = 0) -> Prompt:
    """What `likeliest_each` is asked.

    Args:
        ids: framed as they are to be read.

    Raises:
        DataError: they are more than the model's positions.
    """
    room = generator.limit
    if room is not None and len(ids) > room:
        raise DataError(f"a text of {len(ids)} tokens is longer than the model's {room} positions; shorten it")
    longest = max_new_tokens if room is None else max(1, min(max_new_tokens, room - len(generator.decoder_ids)))
    return Prompt(1, "", tuple(ids), longest, min(min_new_tokens, longest), "length")


def likeliest(
    generator: Generator, ids: Sequence[int], *, max_new_tokens: int, min_new_tokens: int = 0, num_beams: int
) -> list[tuple[list[int], float]]:
    """What the model says to some ids, each with its score; best first. Arguments and errors are those of `asked`."""
    prompt = asked(generator, ids, max_new_tokens=max_new_tokens, min_new_tokens=min_new_tokens)
    return likeliest_each(generator, [prompt], num_beams=num_beams)[0]


def likeliest_each(
    generator: Generator, prompts: Sequence[Prompt], *, num_beams: int, batch_size: int | None = None
) -> list[list[tuple[list[int], float]]]:
    """As `likeliest` of each of some prompts. Those that may get answers of one length share batches.

    Args:
        num_beams: with one, the likeliest token is taken at each step.
        batch_size: at most so many prompts at a time, each with its beams; default 8.
    """
    model = generator.model
    settings = {"do_sample": False, "num_beams": num_beams, "num_return_sequences": num_beams}
    config = generation_config(model.generation_config, settings)
    # A model's own settings for summaries or translations say nothing of what stands in a gap.
    for name in ("no_repeat_ngram_size", "repetition_penalty", "forced_bos_token_id", "forced_eos_token_id"):
        setattr(config, name, None)
    config.length_penalty = 1.0
    config.pad_token_id, config.eos_token_id = generator.pad_id, generator.eos_ids or None
    groups: dict[tuple[int, int], list[int]] = {}
    for index, prompt in enumerate(prompts):
        groups.setdefault((prompt.max_new_tokens, prompt.min_new_tokens), []).append(index)
    answers: list[list[tuple[list[int], float]]] = [[] for _ in prompts]
    with torch.inference_mode():
        for group in groups.values():
            for batch in batches_by_length(
                [len(prompts[index].ids) for index in group],
                max_tokens=token_limit(model),
                max_rows=batch_size or _PROMPTS,
                one_length=one_length_only(model),
            ):
                indices = [group[place] for place in batch]
                written = generator.ids_of([prompts[index] for index in indices], config)
                for index, found in zip(indices, written, strict=True):
                    scored = zip(found, generator.scores(prompts[index], found), strict=True)
                    answers[index] = sorted(scored, key=lambda pair: -pair[1])
    return answers
