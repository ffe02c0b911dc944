"""`acclimate corpus`: build a corpus, look at it, write its texts back."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from acclimate.corpus import Corpus, CorpusSettings

app = typer.Typer(help="Build a corpus from documents, look at it, write its texts back.", no_args_is_help=True)


class Unit(StrEnum):
    """What one document is."""

    auto = "auto"
    file = "file"
    line = "line"
    paragraph = "paragraph"


class Format(StrEnum):
    """How files are read."""

    auto = "auto"
    text = "text"
    markdown = "markdown"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    tsv = "tsv"
    dataset = "dataset"


class Title(StrEnum):
    """Where the title of a record goes."""

    metadata = "metadata"
    prefix = "prefix"


class Markdown(StrEnum):
    """What becomes of Markdown."""

    text = "text"
    source = "source"


class Export(StrEnum):
    """Formats of `corpus export`."""

    json = "json"
    jsonl = "jsonl"
    txt = "txt"


class Part(StrEnum):
    """Which documents `corpus export` writes."""

    train = "train"
    held_out = "held_out"
    all = "all"


_OF_SOURCES = "Sources"
_OF_KEEPING = "What is kept"


@app.command()
def build(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCES... [KEY=VALUE]...",
            help="Files, folders, globs, git URLs, hf://datasets/ORG/NAME, folders saved by `save_to_disk`; and any "
            "setting of the corpus or of all its sources, such as held_out=0.1.",
        ),
    ],
    output_dir: Annotated[str, typer.Option("--output-dir", "-o", help="Folder of the corpus.")],
    glob: Annotated[
        list[str] | None,
        typer.Option(
            help="Which files of folders and repositories, as in .gitignore (may be repeated). "
            "Default: all that a reader exists for.",
            rich_help_panel=_OF_SOURCES,
        ),
    ] = None,
    recursive: Annotated[
        bool | None,
        typer.Option(
            "--recursive/--top-level",
            help="Read folders below the top level, too (default).",
            rich_help_panel=_OF_SOURCES,
        ),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(help="Branch, tag or commit of repositories; revision of data sets.", rich_help_panel=_OF_SOURCES),
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(help="How files are read. Default: by their suffix.", rich_help_panel=_OF_SOURCES),
    ] = None,
    unit: Annotated[
        Unit | None,
        typer.Option(
            help="What one document is; `paragraph` is a passage up to a blank line. Default: a file of text or "
            "Markdown, a record otherwise.",
            rich_help_panel=_OF_SOURCES,
        ),
    ] = None,
    text_field: Annotated[
        str | None,
        typer.Option(
            help="Field of records that holds the text. Default: text, content or tokens.", rich_help_panel=_OF_SOURCES
        ),
    ] = None,
    title_field: Annotated[
        str | None, typer.Option(help="Field of records that holds the title.", rich_help_panel=_OF_SOURCES)
    ] = None,
    id_field: Annotated[
        str | None, typer.Option(help="Field of records that names them.", rich_help_panel=_OF_SOURCES)
    ] = None,
    title: Annotated[
        Title | None,
        typer.Option(help="Whether a record's title goes before its text.", rich_help_panel=_OF_SOURCES),
    ] = None,
    markdown: Annotated[
        Markdown | None,
        typer.Option(help="Read Markdown into plain text (default), or keep its source.", rich_help_panel=_OF_SOURCES),
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of the files. Default: utf-8.", rich_help_panel=_OF_SOURCES)
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Part of each source, such as train[:100] or train[:10%].", rich_help_panel=_OF_SOURCES),
    ] = None,
    subset: Annotated[
        str | None, typer.Option(help="Configuration of a data set that has several.", rich_help_panel=_OF_SOURCES)
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many documents of each source.", rich_help_panel=_OF_SOURCES)
    ] = None,
    min_chars: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Shortest document kept, in characters. Default: more than 200 for files read as one document, no "
            "minimum for records, lines and passages.",
            rich_help_panel=_OF_KEEPING,
        ),
    ] = None,
    held_out: Annotated[
        float | None,
        typer.Option(help="Share kept apart for evaluation. Default: 0.05.", rich_help_panel=_OF_KEEPING),
    ] = None,
    deduplicate: Annotated[
        bool | None,
        typer.Option(
            "--deduplicate/--keep-duplicates",
            help="Drop exact duplicates of files and records (default).",
            rich_help_panel=_OF_KEEPING,
        ),
    ] = None,
    strict: Annotated[
        bool | None,
        typer.Option(
            "--strict/--lenient",
            help="Whether a broken file or record is an error, or is counted and passed over (default).",
            rich_help_panel=_OF_KEEPING,
        ),
    ] = None,
    num_workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that read files. Default: one a core, at most 8.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Build a corpus: documents in, a folder of Parquet files with a ledger out.

    The same command again does nothing unless a source or a setting has changed.
    """
    options = {
        "glob": glob or None,
        "recursive": recursive,
        "revision": revision,
        "format": format,
        "unit": unit,
        "text_field": text_field,
        "title_field": title_field,
        "id_field": id_field,
        "title": title,
        "markdown": markdown,
        "encoding": encoding,
        "split": split,
        "subset": subset,
        "limit": limit,
        "min_chars": min_chars,
        "held_out": held_out,
        "deduplicate": deduplicate,
        "strict": strict,
    }
    given = {
        key: str(value) if isinstance(value, StrEnum) else value for key, value in options.items() if value is not None
    }
    settings = settings_from_arguments(sources, given)

    from acclimate.cli.console import print_json, print_text
    from acclimate.corpus import build_corpus

    corpus = build_corpus(
        settings,
        output_dir,
        num_workers=num_workers,
        on_message=None if json else lambda message: typer.echo(message, err=True),
    )
    if json:
        from acclimate.corpus.inspection import inspect_corpus

        print_json(inspect_corpus(corpus, samples=0))
        return
    _print_counts(corpus)
    print_text(f"\nLook at it:  acclimate corpus inspect {output_dir}")
    print_text(f"Train on it: acclimate pretrain --model MODEL --corpus {output_dir} --objective mlm -o RUN")


@app.command()
def inspect(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Folder of a corpus.")],
    samples: Annotated[
        int, typer.Option(min=0, help="How many kept documents to show, and how many dropped ones of each reason.")
    ] = 3,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, with whole texts.")] = False,
) -> None:
    """Show a corpus: what was kept, what was dropped and why, how long documents are, samples."""
    from acclimate.cli.console import print_json, print_table
    from acclimate.corpus import open_corpus
    from acclimate.corpus.inspection import inspect_corpus

    corpus = open_corpus(folder)
    report = inspect_corpus(corpus, samples)
    if json:
        print_json(report)
        return
    _print_counts(corpus)
    lengths = report["lengths"]
    print_table(
        "Length of kept documents, in characters", list(lengths), [[f"{value:,}" for value in lengths.values()]]
    )
    _print_notes(report)
    _print_samples(report["samples"])


@app.command()
def export(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Folder of a corpus.")],
    output: Annotated[str, typer.Option("--output", "-o", help="File to write; - is the terminal.")],
    format: Annotated[
        Export,
        typer.Option(help="json: a list of strings. jsonl: records with id, text and metadata. txt: plain text."),
    ] = Export.json,
    split: Annotated[Part, typer.Option(help="Which documents; `all` restores their original order.")] = Part.all,
) -> None:
    """Write the texts of a corpus back to one file."""
    import sys

    from acclimate.corpus import open_corpus
    from acclimate.corpus.export import export_corpus, write_corpus

    corpus = open_corpus(folder)
    if output == "-":
        write_corpus(corpus, sys.stdout, format.value, split.value)
        return
    number = export_corpus(corpus, output, format.value, split.value)
    typer.echo(f"{number:,} documents in {output}", err=True)


# --- settings ----------------------------------------------------------------------------------------------------

_OVERRIDE = re.compile(r"[A-Za-z_][\w.]*=")
# These mean something to some kinds of source only; with sources of several kinds they go to those.
_KINDS = {"glob": {"files", "git"}, "revision": {"git", "dataset"}, "subset": {"dataset"}}


def settings_from_arguments(arguments: Sequence[str], options: Mapping[str, Any]) -> CorpusSettings:
    """The settings of a corpus, from sources, `key=value` among them, and options.

    Raises:
        RecipeError: lists everything that is wrong.
    """
    from acclimate.corpus import CorpusSettings, SourceSettings
    from acclimate.errors import RecipeError
    from acclimate.recipe import parse_overrides, unknown_key, validate

    overrides = [argument for argument in arguments if _OVERRIDE.match(argument) and not os.path.exists(argument)]
    paths = [argument for argument in arguments if argument not in overrides]
    values = {**options, **parse_overrides(overrides)}
    of_corpus = set(CorpusSettings.model_fields) - {"path", "sources"}
    of_sources = set(SourceSettings.model_fields) - {"path", "git", "dataset"}
    renamed = {**SourceSettings.RENAMED, **CorpusSettings.RENAMED}
    unknown = [
        unknown_key(key, key, sorted(of_corpus | of_sources), renamed) for key in values.keys() - of_corpus - of_sources
    ]
    if unknown:
        raise RecipeError("settings that do not exist:", sorted(unknown))
    shared = {key: value for key, value in values.items() if key in of_sources}
    data = {key: value for key, value in values.items() if key in of_corpus}
    data["sources"] = [{"path": path, **_fitting(shared, path, paths)} for path in paths]
    return validate(CorpusSettings, data, "the command")


def _fitting(shared: Mapping[str, Any], path: str, paths: Sequence[str]) -> dict[str, Any]:
    from acclimate.corpus import SourceSettings

    kinds = {other: SourceSettings(path=other).kind for other in paths if other}
    return {
        key: value
        for key, value in shared.items()
        if key not in _KINDS or kinds.get(path) in _KINDS[key] or not _KINDS[key] & set(kinds.values())
    }


# --- what is shown -----------------------------------------------------------------------------------------------


def _print_counts(corpus: Corpus) -> None:
    from acclimate.cli.console import print_table

    counts = corpus.ledger.as_dict()
    documents, characters = counts["documents"], counts["characters"]
    rows = [["in", f"{documents['in']:,}", f"{characters['in']:,}"]]
    if characters["added"]:
        rows.append(["added", "", f"{characters['added']:,}"])
    rows += [[f"{name}", f"{documents[name]:,}", f"{characters[name]:,}"] for name in ("kept", "dropped")]
    for name in ("train", "held_out"):
        split = corpus.manifest["splits"][name]
        rows.append(
            [f"  {name}" if name == "train" else "  held out", f"{split['documents']:,}", f"{split['characters']:,}"]
        )
    print_table(f"Corpus {corpus.folder}", ["", "documents", "characters"], rows)
    if counts["reasons"]:
        print_table(
            "Dropped, by reason",
            ["reason", "documents", "characters"],
            [[name, f"{item['documents']:,}", f"{item['characters']:,}"] for name, item in counts["reasons"].items()],
        )


def _print_notes(report: Mapping[str, Any]) -> None:
    from acclimate.cli.console import print_text
    from acclimate.corpus.ledger import REASONS

    if report["ledger"]["reasons"]:
        print_text("\nWhat the reasons mean:")
    for name in report["ledger"]["reasons"]:
        print_text(f"  {name}: {REASONS.get(name, 'known to another version')}")
    if report["skipped_files"]:
        skipped = ", ".join(f"{count:,} × {kind}" for kind, count in report["skipped_files"].items())
        print_text(f"\nFiles passed over: {skipped}")
    for message in report["messages"]:
        print_text(message)
    if report["broken"]["first"]:
        print_text("\nBroken:")
        for message in report["broken"]["first"]:
            print_text(f"  {message}")


def _print_samples(samples: Mapping[str, Any]) -> None:
    from acclimate.cli.console import print_text

    for document in samples["kept"]:
        print_text(f"\n--- kept: {document['id']}\n{_shortened(document['text'], 600)}")
    for document in samples["dropped"]:
        because = f"{document['reason']}{': ' + document['detail'] if document['detail'] else ''}"
        print_text(f"\n--- dropped: {document['id']} ({because})\n{_shortened(document['text'], 200)}")


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length].rstrip()} … ({len(text):,} characters)"
