"""What it cost: time, tokens, operations, memory, and on what."""

from __future__ import annotations

from markupsafe import Markup

from acclimate.reporting.facts import Facts
from acclimate.reporting.sections.common import definitions
from acclimate.reporting.words import NONE, Words


def render(facts: Facts, words: Words) -> Markup:
    """A list of figures; those that the run did not take down are left out."""
    return definitions([*costs(facts, words), *_details(facts, words)])


def costs(facts: Facts, words: Words) -> list[tuple[str, str]]:
    """The main figures, as far as the run took them down: what each is called, and what it is."""

    def of(*names: str) -> float | None:
        # Runs of older versions have the Trainer's own figures only.
        return next((found for name in names if (found := facts.number("summary", name)) is not None), None)

    figures = [
        ("cost_time", words.duration(of("seconds", "train_runtime"))),
        ("cost_steps", words.integer(of("global_step"))),
        ("cost_tokens", words.integer(of("tokens_seen"))),
        ("cost_passes", words.decimal(of("epoch"), 2)),
        ("cost_speed", words.integer(of("train_tokens_per_second"))),
        ("cost_flops", words.power(of("flops", "total_flos"))),
        ("cost_memory", words.size(of("peak_memory_bytes"))),
        ("cost_accelerator_memory", words.size(of("peak_accelerator_bytes"))),
        ("cost_waiting", words.percent(of("data_wait_share"))),
    ]
    return [(words(key), value) for key, value in figures if value != NONE]


def _details(facts: Facts, words: Words) -> list[tuple[str, str]]:
    warmup = facts.number("model", "head_warmup", "steps")
    return [
        (words("cost_warmup"), words("steps_number", number=words.integer(warmup)) if warmup else ""),
        (words("cost_parameters"), words.integer(facts.number("model", "parameters"))),
        (words("cost_device"), str(facts.get("device") or "")),
        (words("cost_precision"), str(facts.get("compute", "precision") or "")),
        (words("cost_threads"), words.integer(facts.number("compute", "threads"))),
        (words("cost_started"), words.date(facts.get("started"))),
        (words("cost_finished"), words.date(facts.get("finished"))),
    ]
