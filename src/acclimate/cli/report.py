"""`acclimate report`."""

from __future__ import annotations

from typing import Annotated

import typer


def report(
    run: Annotated[str, typer.Argument(help="Folder of a finished run.")],
    lang: Annotated[str, typer.Option("--lang", help="Language: en or zh.")] = "en",
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="The file to write. Default: report.html in the run's folder.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print where the report is as JSON.")] = False,
) -> None:
    """Write what a run gained, forgot and cost as one HTML file, and the same into its model card."""
    from acclimate.cli.console import listening, print_json, print_text

    with listening(quiet=json) as listener:
        from acclimate.jobs.report import report as report_

        path = report_(run, lang=lang, output=output, listener=listener)
    if json:
        print_json({"report": str(path)})
    else:
        print_text(f"Report: {path}")
