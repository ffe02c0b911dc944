"""`acclimate demo`."""

from __future__ import annotations

from typing import Annotated

import typer

NEXT_STEPS = """For your own documents:
  acclimate corpus build DOCS_FOLDER -o corpora/docs
  acclimate corpus inspect corpora/docs
  acclimate pretrain --model google-bert/bert-base-uncased --corpus corpora/docs --objective mlm -o runs/docs
  acclimate evaluate runs/docs --general GENERAL_TEXT
  acclimate report runs/docs
  acclimate fill runs/docs "… [MASK] …\""""


def demo(
    output_dir: Annotated[
        str, typer.Option("--output-dir", "-o", help="Folder for corpora and runs.")
    ] = "acclimate-demo",
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Hub id or folder of a masked language model to start from.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """The whole job on documents found on this machine: CPU, offline, under five minutes."""
    from acclimate.cli.console import listening, print_json, print_summary, print_text
    from acclimate.cli.evaluate import print_evaluation

    with listening(quiet=json) as listener:
        from acclimate.jobs.demo import demo as demo_

        result = demo_(output_dir, model=model, listener=listener)
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
    print_summary(str(result.run.folder), result.run.summary)
    print_evaluation(result.evaluation)
    print_text(
        "\nMasks filled before and after (a model made in minutes knows little more than what is frequent here):"
    )
    for text, before, after in result.filled:
        print_text(f"  {text}")
        for name, candidates in (("before", before), ("after", after)):
            guesses = ", ".join(f"{candidate.token_str} {candidate.score:.0%}" for candidate in candidates)
            print_text(f"    {name:<7} {guesses}")
    print_text(f"\nReport, to open in a browser: {result.report}")
    print_text(f"\n{NEXT_STEPS}")
