"""What it cost: time, tokens, operations, memory, and on what."""

from __future__ import annotations

from markupsafe import Markup

from acclimate.report.facts import Facts
from acclimate.report.html import join
from acclimate.report.sections.common import definitions
from acclimate.report.words import Words


def render(facts: Facts, words: Words) -> Markup:
    """A list of figures; those that the run did not take down are left out."""
    summary = {key: facts.number("summary", key) for key in (facts.get("summary") or {})}
    flops = summary.get("total_flos")
    warmup = facts.number("model", "head_warmup", "steps")
    return join(
        [
            definitions(
                [
                    (words("cost_time"), words.duration(summary.get("train_runtime"))),
                    (words("cost_steps"), words.integer(summary.get("global_step"))),
                    (words("cost_tokens"), words.integer(summary.get("tokens_seen"))),
                    (words("cost_passes"), words.decimal(summary.get("epoch"), 2)),
                    (words("cost_speed"), words.integer(summary.get("train_tokens_per_second"))),
                    (words("cost_flops"), words.power(flops)),
                    (words("cost_memory"), words.size(_memory(facts))),
                    (words("cost_waiting"), words.percent(summary.get("data_wait_share"))),
                    (words("cost_parameters"), words.integer(facts.number("model", "parameters"))),
                    (words("cost_warmup"), words("steps_number", number=words.integer(warmup)) if warmup else None),
                    (words("cost_device"), facts.get("device")),
                    (words("cost_hardware"), facts.get("hardware", "name")),
                    (words("cost_precision"), facts.get("compute", "precision")),
                    (words("cost_started"), words.date(facts.get("started"))),
                    (words("cost_finished"), words.date(facts.get("finished"))),
                ]
            ),
        ]
    )


def _memory(facts: Facts) -> float | None:
    """The peak, of the accelerator where there is one."""
    return facts.number("summary", "peak_memory") or facts.number("summary", "peak_memory_bytes")
