"""What several sections show alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from markupsafe import Markup

from acclimate.reporting.evaluation_file import Difference, Judgement, Part
from acclimate.reporting.facts import Facts
from acclimate.reporting.html import Child, prose, tag
from acclimate.reporting.words import NONE, Words

# Names of documents, sources and the like are cut at this length: a page is no place for a kilobyte of name.
LONGEST_NAME = 90
# The measures that come first, in this order.
MEASURES = ("bits_per_byte", "loss", "perplexity", "accuracy", "accuracy_at_5")
_CLASS = "accuracy_"


def missing(key: str, facts: Facts, words: Words) -> Markup:
    """The sentence that stands for a part that is not there: how to get it."""
    return tag("p", prose(words(key, folder=facts.folder)), class_="missing")


def short_path(value: object) -> str:
    """The last part of a path or address: a report is passed on, and where things lie on a machine is no part of it."""
    parts = [part for part in str(value).replace("\\", "/").split("/") if part]
    return parts[-1] if parts else str(value)


def model_name(name: str) -> str:
    """A hub's id as it is; of a folder the last two parts of its path, since the last one is often `model`."""
    if name.count("/") <= 1 and not name.startswith(("/", ".", "~")):
        return name
    return "/".join([part for part in name.replace("\\", "/").split("/") if part][-2:])


def without_paths(text: str, facts: Facts) -> str:
    """A sentence of the evaluation, the base model's folder in it shortened."""
    base = facts.get("recipe", "model", "name")
    return text.replace(str(base), model_name(str(base))) if base else text


def ordered(measures: Mapping[str, float | None]) -> list[str]:
    """The names of measures, the main ones first."""
    return [*(name for name in MEASURES if name in measures), *(name for name in measures if name not in MEASURES)]


def measure_name(name: str, words: Words) -> str:
    """What a measure is called."""
    known = words.get(f"measure_{name}")
    if known is not None:
        return known
    if name.startswith(_CLASS):
        return words("measure_accuracy_on", name=name.removeprefix(_CLASS).replace("_", " "))
    return name.replace("_", " ")


def measure_rows(part: Part, words: Words) -> Iterable[list[str]]:
    """A line for each measure: name, before, after, difference, interval."""
    for name in ordered(part.before):
        before, after = part.before.get(name), part.after.get(name)
        title = measure_name(name, words)
        if name in ("loss", "bits_per_byte"):
            difference = part.difference if name == "loss" else part.bits_per_byte_difference
            yield [title, words.decimal(before), words.decimal(after), *difference_cells(difference, words)]
        elif name.startswith("accuracy"):
            change = None if before is None or after is None else after - before
            yield [title, words.percent(before), words.percent(after), words.points(change), ""]
        else:
            yield [title, words.decimal(before, 1), words.decimal(after, 1), "", ""]


def difference_cells(difference: Difference | None, words: Words) -> list[str]:
    """A difference and its interval."""
    if difference is None:
        return [NONE, ""]
    return [words.signed(difference.mean), words.interval(difference.low, difference.high)]


def main_difference(part: Part, judgement: Judgement | None) -> tuple[str, Difference] | None:
    """The difference that a part is judged by, and in what measure: the verdict's, or else bits per byte if there are
    any."""
    bits, loss = part.bits_per_byte_difference, part.difference
    by_bits = judgement is None or judgement.measure == "bits_per_byte"
    if bits is not None and (by_bits or loss is None):
        return "bits_per_byte", bits
    return None if loss is None else ("loss", loss)


def before_text(facts: Facts, words: Words) -> str:
    """What the model before training was."""
    base = facts.get("recipe", "model", "name")
    if facts.get("model", "from_scratch"):
        return words("before_scratch")
    if base is None:
        return words("before_plain", model=NONE)
    warmed = facts.get("model", "head_warmup")
    return words("before_warmed" if warmed else "before_plain", model=model_name(str(base)))


def definitions(pairs: Iterable[tuple[str, Child]] | Iterable[tuple[str, str]]) -> Markup:
    """A list of names and what they are; those without a value are left out."""
    rows = [tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs if value not in (None, "", NONE)]
    return tag("dl", *rows)
