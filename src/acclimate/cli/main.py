"""The command `acclimate`: its verbs, and what becomes of errors.

Nothing heavy is imported here: `acclimate --help` needs neither torch nor transformers. A verb imports what it needs
when it is called.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from acclimate import __version__
from acclimate.cli import (
    corpus,
    demo,
    detect,
    evaluate,
    fill,
    generate,
    inspect_batch,
    judge_pair,
    objectives,
    pretrain,
    report,
    run,
    score,
)
from acclimate.errors import AcclimateError

app = typer.Typer(
    name="acclimate",
    help="Acclimate a language model to your documents: corpus, continued pretraining, honest before and after.",
    epilog="Start with `acclimate demo`: the whole job on documents found on this machine, offline, in minutes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"acclimate {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    return None


app.command("demo")(demo.demo)
app.add_typer(corpus.app, name="corpus")
app.command("objectives")(objectives.objectives)
app.command("inspect-batch")(inspect_batch.inspect_batch)
app.command("pretrain")(pretrain.pretrain)
app.command("run")(run.run)
app.command("evaluate")(evaluate.evaluate)
app.command("report")(report.report)
app.command("fill")(fill.fill)
app.command("generate")(generate.generate)
app.command("judge-pair")(judge_pair.judge_pair)
app.command("detect")(detect.detect)
app.command("score")(score.score)


def main() -> None:
    """Entry point: an error that the user can mend is printed without a traceback, and the exit code is 2.

    Typer itself sees to a wrong command line (2), to Ctrl-C (130), and to a reader of our output that has gone (1).
    """
    # Tokenizers warn at length when a process forks after using them; our workers set this for themselves.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        app(prog_name="acclimate")
    except AcclimateError as error:
        typer.echo(f"acclimate: {error}", err=True)
        sys.exit(error.exit_code)
