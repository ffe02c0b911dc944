"""`acclimate generate`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from acclimate.scoring.generator import Generated

PROMPTS_HELP = (
    "Beginnings of texts; none, or -, reads stdin. Any other field of transformers' GenerationConfig is given as "
    "key=value, such as typical_p=0.9; a prompt of that form goes by --file."
)
_SETTING = re.compile(r"[A-Za-z_]\w*=\S*")
_STOPPED = {"eos": "", "length": " …", "positions": " … (the model has no more positions)"}


def generate(
    model: Annotated[str, typer.Argument(help="A run, a folder or a hub id of a decoder or encoder-decoder.")],
    prompts: Annotated[
        list[str] | None, typer.Argument(metavar="[PROMPT]... [KEY=VALUE]...", help=PROMPTS_HELP)
    ] = None,
    file: Annotated[str | None, typer.Option("--file", "-f", help="Read prompts from this file, one a line.")] = None,
    max_length: Annotated[
        int | None, typer.Option("--max-length", min=1, help="Length in tokens, the prompt included.")
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option("--max-new-tokens", min=1, help="Length in tokens without the prompt; default 64.")
    ] = None,
    min_length: Annotated[
        int | None, typer.Option("--min-length", min=0, help="No end before this length, the prompt included.")
    ] = None,
    do_sample: Annotated[
        bool | None, typer.Option("--do-sample/--no-do-sample", help="Draw tokens instead of taking the likeliest.")
    ] = None,
    temperature: Annotated[float | None, typer.Option("--temperature", help="Of drawing; below 1 is tamer.")] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", help="Draw among the k likeliest tokens.")] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", help="Draw among the likeliest tokens that have this share together.")
    ] = None,
    num_beams: Annotated[int | None, typer.Option("--num-beams", min=1, help="Beams of beam search.")] = None,
    num_return_sequences: Annotated[
        int | None, typer.Option("--num-return-sequences", "-n", min=1, help="Continuations of each prompt.")
    ] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option("--repetition-penalty", help="Above 1, tokens that were there before count less.")
    ] = None,
    no_repeat_ngram_size: Annotated[
        int | None, typer.Option("--no-repeat-ngram-size", min=0, help="No run of so many tokens comes twice.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn.")] = 42,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Prompts at a time.")] = 8,
    json: Annotated[bool, typer.Option("--json", help="Print the continuations as JSON.")] = False,
) -> None:
    """Continue texts with a decoder or an encoder-decoder; the best continuation comes first."""
    from acclimate.cli.console import hush_libraries, print_json
    from acclimate.cli.inputs import read_texts, tell_blank
    from acclimate.recipe import parse_overrides

    hush_libraries()
    settings = parse_overrides([word for word in prompts or [] if _SETTING.fullmatch(word)])
    given = [word for word in prompts or [] if not _SETTING.fullmatch(word)]
    options = {
        "max_length": max_length,
        "max_new_tokens": max_new_tokens,
        "min_length": min_length,
        "do_sample": do_sample,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "num_beams": num_beams,
        "num_return_sequences": num_return_sequences,
        "repetition_penalty": repetition_penalty,
        "no_repeat_ngram_size": no_repeat_ngram_size,
    }
    named = {**{name: value for name, value in options.items() if value is not None}, **settings}
    lines, blank = read_texts(given, file, "prompts")
    tell_blank(blank)
    from acclimate.inference.generate import load_generator, to_json

    seed, batch_size = named.pop("seed", seed), named.pop("batch_size", batch_size)
    generated = load_generator(model).generate(lines, seed=seed, batch_size=batch_size, **named)
    if json:
        print_json([to_json(one) for one in generated])
        return
    for one in generated:
        print_generated(one)


def print_generated(generated: Generated) -> None:
    """The continuations of one prompt: score and text, the prompt dimmed on a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, emoji=False)
    for found in generated.continuations:
        line = Text(f"{found.score:7.3f}  ", style="cyan")
        line.append(found.text.removesuffix(found.continuation), style="dim default")
        line.append(found.continuation, style="default")
        line.append(_STOPPED[found.stopped], style="cyan")
        console.print(line, soft_wrap=True)
    if generated.num_duplicates:
        console.print(Text(f"         {generated.num_duplicates} equal to one of these left out", style="cyan"))
    console.print()
