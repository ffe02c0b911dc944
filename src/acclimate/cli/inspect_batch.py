"""`acclimate inspect-batch`."""

from __future__ import annotations

from typing import Annotated

import typer

from acclimate.cli.pretrain import SETTINGS_HELP


def inspect_batch(
    recipe: Annotated[str, typer.Argument(help="Recipe file (YAML), or a run folder.")],
    settings: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help=SETTINGS_HELP)] = None,
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, help="How many rows.")] = 1,
    key: Annotated[
        int | None,
        typer.Option(
            "--key",
            help="The first row by its number, epoch × rows of an epoch + row; negative for replayed general text. "
            "Default: the rows that training begins with.",
        ),
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Rows of the held-out documents, masked as an evaluation masks them.")
    ] = False,
    tokens: Annotated[bool, typer.Option("--tokens", help="A table of one token a line instead of the text.")] = False,
    ledger: Annotated[
        bool,
        typer.Option("--ledger", help="Instead of rows: how often each token is an input, and how often a target."),
    ] = False,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="With --ledger: in so many epochs.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print plain data as JSON.")] = False,
) -> None:
    """Show what the model gets: inputs, labels, segments and attention, token by token. Nothing is trained.

    The recipe's corpus and its tokens are built where they are missing; the model's weights are not needed.
    """
    from acclimate.cli.console import listening, print_json

    with listening(quiet=json) as listener:
        from acclimate.jobs.inspect_batch import count_exposure
        from acclimate.jobs.inspect_batch import inspect_batch as inspect_batch_

        if ledger:
            exposure = count_exposure(recipe, settings or [], epochs=epochs, held_out=held_out, listener=listener)
        else:
            inspection = inspect_batch_(
                recipe, settings or [], rows=rows, key=key, held_out=held_out, listener=listener
            )
    if ledger and json:
        print_json({"epochs": exposure.epochs, **exposure.histograms()})
    elif ledger:
        from acclimate.cli.batch_view import print_exposure

        print_exposure(exposure)
    elif json:
        print_json(inspection.to_json())
    else:
        from acclimate.cli.batch_view import print_inspection

        print_inspection(inspection, tokens=tokens)
