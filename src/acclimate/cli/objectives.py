"""`acclimate objectives`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from acclimate.jobs.objectives import ObjectiveEntry, ObjectiveTable


def objectives(
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Hub id or folder of a model: which objectives fit it, and which is its own."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """List the objectives: what is predicted, by which models, and where the rule is from."""
    from dataclasses import asdict

    from acclimate.cli.console import hush_libraries, print_json

    hush_libraries()
    from acclimate.jobs.objectives import list_objectives

    table = list_objectives(model)
    if json:
        print_json(asdict(table))
    else:
        print_objectives(table)


def print_objectives(table: ObjectiveTable) -> None:
    """The table, and what is to be said of the model in question."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from acclimate.cli.console import print_text

    title = "Objectives" if table.model is None else f"Objectives for {table.model} ({table.model_type})"
    shown = Table(title=Text(title), title_justify="left", title_style="bold", show_lines=True)
    for column in ["objective", *(["fits"] if table.model is not None else []), "what it is"]:
        shown.add_column(column, no_wrap=column != "what it is")
    for entry in table.objectives:
        fits = [] if table.model is None else ["its own" if entry.name == table.own else "yes" if entry.fits else "no"]
        what = [entry.summary, f"models: {_models(entry)}", f"loss: {_loss(entry)}", entry.paper]
        shown.add_row(*map(Text, [entry.name, *fits, "\n".join(what)]))
    Console(highlight=False, emoji=False).print(shown)
    if table.model is None:
        return
    if table.own is None:
        print_text(f"own objective: none; {table.why_own}")
    else:
        print_text(f"own objective: {table.own}, since {table.why_own}; it is chosen where a recipe names none")
    for entry in table.objectives:
        if entry.why_not is not None:
            print_text(f"no: {entry.why_not}")


def _models(entry: ObjectiveEntry) -> str:
    families = " and ".join(f"{family}s" for family in entry.families)
    return f"{families}: {', '.join(entry.model_types)}" if entry.model_types else families


def _loss(entry: ObjectiveEntry) -> str:
    return " + ".join(name if weight == 1 else f"{weight:g} × {name}" for name, weight in entry.parts.items())
