"""The report of a run, and its model card with the same facts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acclimate.artifacts import write_text
from acclimate.errors import AcclimateError, ArtifactError, RecipeError
from acclimate.evaluation.settings import GeneralSettings
from acclimate.jobs.inspect_batch import InspectedRow, Inspection, inspect_run
from acclimate.jobs.model_results import refresh_card
from acclimate.jobs.recipes import Recipe, flat
from acclimate.jobs.replay import ReplaySettings
from acclimate.models.settings import AdapterSettings
from acclimate.objectives.inspection import Token
from acclimate.objectives.marking import Span, by_piece, marked, piece_number, plain, visible
from acclimate.progress import Listener, Silent
from acclimate.recipe import Section
from acclimate.reporting.facts import Batch, BatchPiece, BatchRow, BatchSpan, read_facts
from acclimate.reporting.page import render_page
from acclimate.reporting.words import Words
from acclimate.tokens.settings import TokenizerSettings
from acclimate.training.run_folder import CARD, open_run

FILE = "report.html"
# Rows to choose from, and to show.
ROWS, SHOWN = 24, 3


def report(
    run: str | Path, *, lang: str = "en", output: str | Path | None = None, listener: Listener | None = None
) -> Path:
    """Write a finished run's report: one HTML file that needs nothing else. The model card gets the same figures.

    Only what lies in the run folder and the run's corpus is read, and no model is loaded. A part that is not there yet
    is left out, with a sentence that says how to get it.

    Args:
        run: the run's folder.
        lang: "en" or "zh".
        output: the file; default `RUN/report.html`.
        listener: hears messages and progress.

    Returns:
        The file.

    Raises:
        CheckpointError: the run is not finished.
        RecipeError: a language that there are no words in, or a folder where a file should be written.
    """
    listener = listener or Silent()
    Words(lang)
    opened = open_run(run)
    target = Path(output) if output is not None else opened.path / FILE
    if target.is_dir():
        raise RecipeError(f"the report is one file, and {target} is a folder; name a file, such as {target / FILE}")
    batch, missing = None, {}
    try:
        batch = batch_of(inspect_run(opened.path, rows=ROWS, listener=listener), SHOWN)
    except AcclimateError as error:
        missing["batch"] = str(error).splitlines()[0]
    facts = read_facts(
        opened.path, opened.manifest, batch=batch, missing=missing, changed=changed_settings(opened.manifest)
    )
    page = render_page(facts, lang)
    # The same run gives the same page: what is there already is left alone.
    if not target.is_file() or target.read_bytes() != page.encode():
        write_text(target, page)
    try:
        refreshed = refresh_card(opened.path / CARD, facts)
    except (ArtifactError, UnicodeDecodeError) as error:
        # The report is there all the same, as of a run that lies where only others may write.
        listener.message(f"{opened.path / CARD} is left as it is: {error}")
        return target
    if not refreshed:
        listener.message(
            f"{opened.path / CARD} has no marks for an evaluation's figures (an older version wrote it, or they were "
            "removed) and is left as it is"
        )
    return target


# ---- rows -----------------------------------------------------------------------------------------------------------


def batch_of(inspection: Inspection, shown: int) -> Batch:
    """Rows as plain data to draw: the first one, and those that show most of how texts are packed."""
    first, *others = enumerate(inspection.rows)
    others.sort(key=lambda entry: (-len(entry[1].pieces), entry[0]))
    chosen = sorted([first, *others[: shown - 1]], key=lambda entry: entry[0])
    return Batch(
        objective=inspection.objective,
        packed=inspection.packed,
        max_length=inspection.max_length,
        num_rows=inspection.num_rows,
        rows=tuple(_row(row) for _, row in chosen),
    )


def _row(row: InspectedRow) -> BatchRow:
    documents = {piece.name: tuple(map(visible, piece.documents)) for piece in row.pieces}
    lines: dict[str, dict[str, tuple[BatchSpan, ...]]] = {}
    colours: dict[str, int] = {}
    for side, tokens in row.sides.items():
        for name, group in by_piece(tokens):
            colours.setdefault(name, piece_number(group[0]))
            lines.setdefault(name, {}).update(_lines(side, group))
    return BatchRow(
        number=row.row,
        num_tokens=row.num_tokens,
        num_padding=row.num_padding,
        pieces=tuple(BatchPiece(name, colours[name], documents.get(name, ()), found) for name, found in lines.items()),
        verdicts=row.verdicts,
    )


def _lines(side: str, tokens: list[Token]) -> dict[str, tuple[BatchSpan, ...]]:
    if side != "decoder":
        return {side: _spans(marked(tokens))}
    return {"input": _spans(plain(tokens, labels=False)), "label": _spans(plain(tokens, labels=True))}


def _spans(spans: list[Span]) -> tuple[BatchSpan, ...]:
    return tuple(BatchSpan(span.text, span.mark, span.special) for span in spans)


# ---- settings -------------------------------------------------------------------------------------------------------


# Sections that there are none of by default; where there is one, it has defaults of its own.
_OPTIONAL: dict[str, type[Section]] = {
    "adapter": AdapterSettings,
    "evaluation.general": GeneralSettings,
    "replay": ReplaySettings,
    "tokenizer": TokenizerSettings,
}


def changed_settings(manifest: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings of a run that are not the defaults: {dotted path: (value, default)}."""
    least = Recipe.model_validate({"model": {"name": ""}, "corpus": {"path": ""}, "output_dir": ""})
    defaults = flat(least.model_dump(mode="json"))
    for name, section in _OPTIONAL.items():
        fields = {key: field.default for key, field in section.model_fields.items() if not field.is_required()}
        defaults |= {f"{name}.{key}": value for key, value in flat(fields).items()}
    return {
        name: (value, defaults.get(name))
        for name, value in flat(manifest["recipe"]).items()
        # What was not set at all has no value either.
        if value != defaults.get(name) and value not in ({}, [])
    }
