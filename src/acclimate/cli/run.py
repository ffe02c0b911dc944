"""`acclimate run`."""

from __future__ import annotations

from typing import Annotated

import typer

from acclimate.cli.pretrain import SETTINGS_HELP


def run(
    recipe: Annotated[str, typer.Argument(help="Recipe file (YAML).")],
    settings: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help=SETTINGS_HELP)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the closing figures and the evaluation as JSON.")] = False,
) -> None:
    """Carry out a recipe: corpus, pretraining, before and after."""
    from acclimate.cli.console import listening, print_json, print_summary, print_text

    with listening(quiet=json) as listener:
        from acclimate.jobs.run import run as run_

        result = run_(recipe, settings or [], listener=listener)
    if json:
        print_json(
            {
                "run": str(result.run.folder),
                **result.run.summary,
                "evaluation": result.evaluation.to_json(),
                "report": str(result.report),
            }
        )
        return
    from acclimate.cli.evaluate import print_evaluation

    print_summary(str(result.run.folder), result.run.summary)
    print_evaluation(result.evaluation)
    print_text(f"Report: {result.report}")
    print_text(f'Use it:  acclimate fill {result.run.folder} "… [MASK] …"')
