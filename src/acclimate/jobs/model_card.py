"""The model card of a run: its `README.md`, as model hubs show it.

It says what the model is, what it was trained on and how it is loaded. What it may be used for, and under which
licence, is for the user to write: the card is theirs once it is there. Figures of an evaluation come later; they have
two places, between marks in the head and in the text, and nothing else is ever touched. (peft writes a card of its own,
which knows neither the corpus nor the objective; this one takes its place.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from acclimate.corpus import Corpus
from acclimate.models.directed import Way, way_of_seeing
from acclimate.models.generators import GENERATOR
from acclimate.models.heads import auto_class_of
from acclimate.objectives.base import Objective

# What the hub calls what a model with a head does; a discriminator says nothing of the kind.
PIPELINES = {"masked-lm": "fill-mask", "causal-lm": "text-generation", "seq2seq-lm": "text2text-generation"}
_WHY: dict[Way, str] = {
    "both": "It sees both ways, and tells a masked token at the position before it. Plain transformers would run it "
    "left to right.",
    "prefix": "It sees its prompt in both directions. Plain transformers would read the prompt left to right.",
    "blanks": "It sees a text with its blanks in both directions, and writes what they stand for behind it. Plain "
    "transformers would run it left to right; `acclimate.fill_blanks(model, tokenizer, text)` fills masks.",
    "given": "It was trained to see in both directions, left to right, right to left, and as source and target, which "
    "`model(..., visibility=...)` says. Plain transformers runs it in both directions.",
}

# Between these, lines of the head and of the text belong to us, as long as they are there.
_HEAD_MARKS = ("# acclimate: results", "# acclimate: end of results")
_TEXT_MARKS = ("<!-- acclimate: results -->", "<!-- acclimate: end of results -->")
NOT_EVALUATED = "Not evaluated yet."


def model_card(
    manifest: Mapping[str, Any],
    *,
    corpus: Corpus,
    objective: Objective,
    config: Any,
    summary: Mapping[str, float],
) -> str:
    """The card of a run that has finished.

    Args:
        manifest: of the run, with `recipe`, `objective`, `model` and `tokens`.
        config: the model's configuration.
        summary: the closing figures.
    """
    sections = [
        _header(manifest, objective),
        f"# {card_title(manifest)}",
        _introduction(manifest, objective),
        "## Results",
        _between(_TEXT_MARKS, NOT_EVALUATED),
        "## How to load it",
        _loading(manifest, objective, config),
        "## Training",
        _training(manifest, objective, summary),
        "## Corpus",
        _corpus(corpus),
        "## Licence",
        "Not stated. Write here, and as `license:` in the head of this file, under which licence the model may be "
        "used; the base model and the documents have a say in it.",
    ]
    return "\n\n".join(sections) + "\n"


def _header(manifest: Mapping[str, Any], objective: Objective) -> str:
    recipe = manifest["recipe"]
    base = recipe["model"]["name"]
    adapted = recipe["adapter"] is not None
    entries: dict[str, Any] = {"library_name": "peft" if adapted else "transformers"}
    # A hub knows ids, not the folders of a machine.
    if base is not None and not Path(base).exists():
        entries["base_model"] = base
        if adapted:
            entries["base_model_relation"] = "adapter"
    way = _way(manifest)
    if objective.head in PIPELINES and way in (None, "given"):
        entries["pipeline_tag"] = PIPELINES[objective.head]
    tags = ["acclimate", objective.name, *(["lora"] if adapted else [])]
    dumped: str = yaml.safe_dump({**entries, "tags": tags}, sort_keys=False, allow_unicode=True)
    return f"---\n{dumped}{_between(_HEAD_MARKS, '')}\n---"


def _between(marks: tuple[str, str], content: str) -> str:
    return "\n".join(line for line in (marks[0], content.strip("\n"), marks[1]) if line)


def with_results(card: str, head: str, text: str) -> str | None:
    """A card with an evaluation's figures in their two places; None where the marks of one are gone.

    Args:
        head: lines of YAML.
        text: Markdown.
    """
    for marks, content in ((_HEAD_MARKS, head), (_TEXT_MARKS, text)):
        before, first, rest = card.partition(marks[0])
        _, last, after = rest.partition(marks[1])
        if not first or not last:
            return None
        card = before + _between(marks, content) + after
    return card


def card_title(manifest: Mapping[str, Any]) -> str:
    """What the card is called: the end of the run's folder."""
    return str(manifest["recipe"]["output_dir"]).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def _introduction(manifest: Mapping[str, Any], objective: Objective) -> str:
    recipe = manifest["recipe"]
    base, kind = recipe["model"]["name"], manifest["model"]["type"]
    if base is not None and Path(base).exists():
        base = Path(base).resolve().name
    what = f"A model of type `{kind}` with random weights" if base is None else f"`{base}` (type `{kind}`)"
    how = ", pretrained" if base is None else ", its pretraining continued"
    adapter = " by a LoRA adapter" if recipe["adapter"] is not None else ""
    return (
        f"{what}{how}{adapter} on the documents below with the objective `{objective.name}`: {objective.summary} "
        f"({objective.paper}). Made with acclimate {manifest['environment']['acclimate']}."
    )


def _way(manifest: Mapping[str, Any]) -> Way | None:
    trained = manifest["objective"]
    return way_of_seeing(trained["name"], trained["options"], trained["family"])


def _loading(manifest: Mapping[str, Any], objective: Objective, config: Any) -> str:
    auto = auto_class_of(objective.head, config)
    plain = (
        f"from transformers import AutoTokenizer, {auto}\n\n"
        "tokenizer = AutoTokenizer.from_pretrained(FOLDER)\n"
        f"model = {auto}.from_pretrained(FOLDER)"
    )
    notes = ["`FOLDER` is this folder, or its id on a hub."]
    if manifest["recipe"]["adapter"] is not None:
        notes.append("It is an adapter: `peft` must be installed, and the base model is loaded as well.")
    if objective.head == "replaced-token-detection":
        notes.append(f"This is the discriminator; the generator that it was trained with lies in `{GENERATOR}/`.")
    way = _way(manifest)
    if way is None:
        return f"```python\n{plain}\n```\n\n" + " ".join(notes)
    directed = (
        "import acclimate\nfrom transformers import AutoTokenizer\n\n"
        "tokenizer = AutoTokenizer.from_pretrained(FOLDER)\n"
        "model = acclimate.load_directed(FOLDER)"
    )
    notes.append(f"{_WHY[way]} So `load_directed` is the line to use; `{auto}.from_pretrained` loads the same weights.")
    # Elsewhere there is no manifest beside the model.
    wanted = f'"{objective.name}"'
    if way == "blanks":
        wanted = '{"name": "prefix_lm", "variant": "blank_infilling"}'
    notes.append(f"Without the run's `manifest.json` beside it, add `objective={wanted}`.")
    return f"```python\n{directed}\n```\n\n" + " ".join(notes)


def _training(manifest: Mapping[str, Any], objective: Objective, summary: Mapping[str, float]) -> str:
    recipe, tokens = manifest["recipe"], manifest["tokens"]
    options = manifest["objective"]["options"]
    rows: list[tuple[str, str]] = [
        ("objective", f"`{objective.name}`" + "".join(f", {name}: {value}" for name, value in options.items())),
        ("parameters", f"{manifest['model']['parameters']:,}"),
        ("steps", f"{summary['global_step']:,.0f}"),
        ("tokens seen", f"{summary['tokens_seen']:,.0f}"),
        ("passes over the corpus", f"{summary['epoch']:.2f}"),
        ("rows", f"{tokens['rows']:,} of {recipe['max_length']} tokens, {tokens['padding_share']:.2%} padding"),
        ("seed", str(recipe["seed"])),
    ]
    if manifest["model"]["added_tokens"]:
        added = manifest["model"]["added_tokens"]
        shown = ", ".join(f"`{token}`" for token in added[:4]) + (f", … ({len(added)})" if len(added) > 4 else "")
        rows.append(("tokens added to the vocabulary", shown))
    if "replay" in manifest:
        rows.append(("general text replayed", f"{manifest['replay']['share']:.0%} of the examples"))
    return (
        markdown_table(("", ""), rows) + "\n\nEvery setting is in `recipe.yaml`, how the loss went in `metrics.jsonl`."
    )


def _corpus(corpus: Corpus) -> str:
    ledger = corpus.ledger.as_dict()
    counts = [
        ("came in", ledger["documents"]["in"], ledger["characters"]["in"]),
        ("kept", ledger["documents"]["kept"], ledger["characters"]["kept"]),
        ("trained on", corpus.num_documents("train"), corpus.num_characters("train")),
        ("held out", corpus.num_documents("held_out"), corpus.num_characters("held_out")),
    ]
    kept = markdown_table(("", "documents", "characters"), [(name, f"{a:,}", f"{b:,}") for name, a, b in counts])
    reasons = sorted(corpus.ledger.reasons.items())
    if not reasons:
        return kept
    dropped = [(f"`{name}`", f"{lost.documents:,}", f"{lost.characters:,}") for name, lost in reasons]
    return f"{kept}\n\nWhat was dropped:\n\n{markdown_table(('reason', 'documents', 'characters'), dropped)}"


def markdown_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table of Markdown; the columns behind the first are figures where there are several."""
    rule = ["---", *["--:" if len(head) > 2 else "---"] * (len(head) - 1)]
    lines = [head, tuple(rule), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
