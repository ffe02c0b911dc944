"""`acclimate detect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from acclimate.inference.detect import Detection


def detect(
    model: Annotated[str, typer.Argument(help="A run, a folder or a hub id of a discriminator.")],
    texts: Annotated[list[str] | None, typer.Argument(help="Texts to judge; none, or -, reads stdin.")] = None,
    file: Annotated[str | None, typer.Option("--file", "-f", help="Read texts from this file, one a line.")] = None,
    threshold: Annotated[
        float, typer.Option("--threshold", min=0, max=1, help="From which probability on a token is marked.")
    ] = 0.5,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, help="At most so many windows at a time; default by their length."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print every token's probability as JSON.")] = False,
) -> None:
    """Mark the tokens of texts that were probably replaced, and judge each sentence."""
    from acclimate.cli.console import hush_libraries, print_json_list
    from acclimate.cli.inputs import read_texts, tell_blank

    hush_libraries()
    lines, blank = read_texts(texts, file, "texts to judge")
    tell_blank(blank)
    from acclimate.inference.detect import detect_texts, load_detector, to_json

    found = detect_texts(load_detector(model), lines, threshold=threshold, batch_size=batch_size)
    if json:
        print_json_list(map(to_json, found))
        return
    for one in found:
        print_detection(one)


def print_detection(detection: Detection) -> None:
    """The text with its marks, in colour on a terminal, and a line for each sentence."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, emoji=False)
    marked = Text(detection.text if console.is_terminal else detection.marked())
    if console.is_terminal:
        for start, end in detection.marks:
            marked.stylize("bold red reverse", start, end)
    console.print(marked, soft_wrap=True)
    for sentence in detection.sentences:
        figures = f"  {sentence.share:4.0%} of {sentence.num_tokens} tokens, largest {sentence.max_probability:.3f}  "
        console.print(Text(figures, style="cyan").append(_shortened(sentence.text), "default"), soft_wrap=True)
    console.print()


def _shortened(text: str, length: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"
