"""`acclimate fill`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import tee
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from acclimate.errors import DataError


def fill(
    model: Annotated[str, typer.Argument(help="A run, a folder or a hub id of a model that fills gaps.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts with [MASK] or <mask> where something is wanted; none, or -, reads stdin."),
    ] = None,
    file: Annotated[str | None, typer.Option("--file", "-f", help="Read texts from this file, one a line.")] = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="Candidates for each mask, or each text.")] = 5,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, help="At most so many texts at a time; default by their length."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first text that cannot be filled.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print all candidates as JSON.")] = False,
) -> None:
    """Fill the masks of texts: the likeliest tokens, or spans of any length, best first."""
    from acclimate.cli.console import hush_libraries, print_json_list
    from acclimate.cli.inputs import TextStream, tell_blank

    hush_libraries()
    stream = TextStream(texts, file, "texts to fill")
    from acclimate.inference.fill import fill_each, load_filler, to_json

    named, read = tee(stream)
    answers = fill_each(load_filler(model), (text for _, text in read), top_k=top_k, batch_size=batch_size)
    filled = _told(zip(named, answers, strict=True), strict=strict)
    if json:
        print_json_list(found and to_json(found) for _, found in filled)
    else:
        for text, found in filled:
            if found is not None:
                print_candidates(text, found)
    tell_blank(stream.num_blank)


def _told(
    answers: Iterable[tuple[tuple[str, str], list[Any] | DataError]], *, strict: bool
) -> Iterator[tuple[str, list[Any] | None]]:
    """Each text with what fills it; one that cannot be filled has None, and is told on stderr.

    Raises:
        DataError: the first one that cannot be filled where `strict`; otherwise, at the end, where all of them are.
    """
    from acclimate.errors import DataError

    # What is refused before the first text that is filled waits for it: where there is none, nothing is printed.
    waiting: list[tuple[str, str]] | None = []
    for (name, text), found in answers:
        if isinstance(found, DataError):
            if strict:
                raise DataError(f"{name}: {found}") from found
            if waiting is not None:
                waiting.append((text, f"{name}: {found}"))
                continue
            typer.echo(f"{name}: {found}", err=True)
            yield text, None
            continue
        for refused, message in waiting or ():
            typer.echo(message, err=True)
            yield refused, None
        waiting = None
        yield text, found
    if waiting is not None:
        raise DataError("\n".join(message for _, message in waiting))


def print_candidates(text: str, filled: list[Any]) -> None:
    """The candidates of one text, as (score, token, sequence) lines; of spans as (score, sequence)."""
    from acclimate.cli.console import print_text

    print_text("\n".join([text, *_lines(filled), ""]))


def _lines(filled: list[Any]) -> Iterator[str]:
    if filled and not isinstance(filled[0], list) and hasattr(filled[0], "spans"):
        for candidate in filled:
            yield f"  {candidate.score:7.3f}  {_line(candidate.sequence)}"
        return
    per_mask = filled if isinstance(filled[0], list) else [filled]
    for number, candidates in enumerate(per_mask, start=1):
        if len(per_mask) > 1:
            yield f"  mask {number}"
        for candidate in candidates:
            yield f"  {candidate.score:.3f}  {_line(candidate.token_str):<16} {_line(candidate.sequence)}"


def _line(text: str) -> str:
    """A text in one line."""
    return text.replace("\n", "↵")
