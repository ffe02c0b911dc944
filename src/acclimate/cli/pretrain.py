"""`acclimate pretrain`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

SETTINGS_HELP = "Settings of the recipe as dotted.path=value, such as training.max_steps=150 max_length=128 seed=3."


def pretrain(
    settings: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help=SETTINGS_HELP)] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Hub id or folder of the model to start from.")
    ] = None,
    corpus: Annotated[str | None, typer.Option("--corpus", "-c", help="Corpus folder made by `corpus build`.")] = None,
    output_dir: Annotated[str | None, typer.Option("--output-dir", "-o", help="Run folder.")] = None,
    objective: Annotated[str | None, typer.Option("--objective", help="Objective; default the model's own.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the closing figures as JSON.")] = False,
) -> None:
    """Continue a model's pretraining on a corpus.

    The same command on an interrupted run goes on with it; on a finished one it does nothing. Every setting of a
    recipe can be given as dotted.path=value.
    """
    from acclimate.cli.console import listening, print_json, print_summary, print_text

    with listening(quiet=json) as listener:
        from acclimate.jobs.pretrain import pretrain as pretrain_
        from acclimate.jobs.recipes import make_recipe
        from acclimate.recipe import parse_overrides

        given = {"model": model, "corpus": corpus, "output_dir": output_dir, "objective": objective}
        data: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        recipe = make_recipe(data, parse_overrides(settings or []), where="this command")
        result = pretrain_(recipe, listener=listener)
    if json:
        print_json({"run": str(result.folder), **result.summary})
        return
    print_summary(str(result.folder), result.summary)
    print_text(f"Before and after:  acclimate evaluate {result.folder}")
