"""The command line: help everywhere, and each bad input a clear error with exit code 2 and no traceback."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError

from acclimate import __version__, artifacts
from acclimate.cli import main as cli
from acclimate.cli.console import format_figure, print_json, print_json_list, print_table, print_text
from acclimate.errors import Interrupted
from acclimate.training.checkpoints import find_checkpoints
from acclimate.training.run_folder import open_run

LINES = "the model of the cloud\nnew data in the cluster\nrun a pod on the node\n"


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process. An exception that `main` lets through, a traceback for users, fails the test."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def run_(*arguments: Any, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["acclimate", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        written = capsys.readouterr()
        return Result(int(caught.value.code or 0), written.out, written.err)

    return run_


@pytest.fixture
def refused(run: Run) -> Callable[..., str]:
    """Run a command that must end with one of our errors; gives its text."""

    def refused_(*arguments: Any, **more: Any) -> str:
        result = run(*arguments, **more)
        assert result.code == 2, result
        assert result.err.count("acclimate: ") == 1 and "Traceback" not in result.err, result.err
        return result.err.split("acclimate: ", 1)[1].strip()

    return refused_


@pytest.fixture(scope="module")
def lines_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of three short lines."""
    from acclimate.corpus import CorpusSettings, SourceSettings, build_corpus

    folder = tmp_path_factory.mktemp("corpora")
    (folder / "lines.txt").write_text(LINES)
    source = SourceSettings(path=str(folder / "lines.txt"), unit="line")
    build_corpus(CorpusSettings(sources=[source]), folder / "lines")
    return folder / "lines"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def model_copy(tiny_bert: Path, tmp_path: Path) -> Path:
    """A copy of the small model, to damage."""
    return Path(shutil.copytree(tiny_bert, tmp_path / "damaged model"))


# ---- help -----------------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, Any]]:
    """Every command and group of commands, by its path."""

    def walk(path: tuple[str, ...], command: Any) -> Iterator[tuple[str, Any]]:
        yield " ".join(path), command
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk((*path, name), inner)

    yield from walk(("acclimate",), typer.main.get_command(cli.app))


COMMANDS = dict(commands())


def test_the_verbs_of_the_design_are_there() -> None:
    verbs = ("demo", "pretrain", "run", "evaluate", "fill", "corpus build", "corpus inspect", "corpus export")
    assert {f"acclimate {verb}" for verb in verbs} <= COMMANDS.keys()


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_option_has_help(path: str, run: Run) -> None:
    command = COMMANDS[path]
    assert command.help, f"{path} has no help"
    without = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]
    assert not without, f"{path}: without help: {without}"
    for flag in ("--help", "-h"):
        result = run(*path.split()[1:], flag)
        assert result.code == 0 and "Usage: acclimate" in result.out and not result.err


@pytest.mark.parametrize("path", [path for path in COMMANDS if not hasattr(COMMANDS[path], "commands")])
def test_every_command_that_reports_takes_json(path: str) -> None:
    options = {option for parameter in COMMANDS[path].params for option in parameter.opts}
    assert "--json" in options or path == "acclimate corpus export"  # which writes texts, and reports nothing


def test_version(run: Run) -> None:
    assert run("--version") == Result(0, f"acclimate {__version__}\n", "")


@pytest.mark.parametrize("arguments", [[], ["corpus"]])
def test_no_command_shows_the_help(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.code == 2 and "Usage: acclimate" in result.out + result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--unknown"],
        ["pretrain", "--unknown"],
        ["corpus", "build", "--unknown", "x"],
        ["unknown"],
        ["corpus", "unknown"],
        ["run"],
        ["fill"],
        ["fill", "model", "--top-k", "0"],
        ["fill", "model", "--top-k", "many"],
        ["corpus", "build", "docs"],
        ["evaluate", "a", "b"],
    ],
)
def test_a_wrong_command_line_is_told(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.code == 2
    assert "Usage: acclimate" in result.err and "Error" in result.err and "Traceback" not in result.err


# ---- errors, interruptions, broken pipes ----------------------------------------------------------------------------


def test_an_interrupted_job_ends_as_the_shell_expects(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise Interrupted("SIGTERM: stopped at step 5", 15)

    monkeypatch.setattr("acclimate.jobs.run.run", interrupted)
    assert run("run", "recipe.yaml") == Result(143, "", "acclimate: SIGTERM: stopped at step 5\n")


def test_ctrl_c_ends_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("acclimate.jobs.run.run", interrupted)
    assert run("run", "recipe.yaml").code == 130


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("acclimate.jobs.run.run", bug)
    monkeypatch.setattr(sys, "argv", ["acclimate", "run", "recipe.yaml"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


@pytest.mark.parametrize("command", [["corpus", "inspect", "{corpus}"], ["corpus", "export", "{corpus}", "-o", "-"]])
def test_a_reader_that_has_gone_is_no_error(lines_corpus: Path, command: list[str]) -> None:
    """As in `acclimate corpus inspect DIR | head -0`."""
    reading, writing = os.pipe()
    os.close(reading)
    arguments = [part.format(corpus=lines_corpus) for part in command]
    result = subprocess.run(
        [sys.executable, "-m", "acclimate", *arguments], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert result.stderr == ""
    assert result.returncode in (1, 141)


# ---- bad input: sources and corpora ---------------------------------------------------------------------------------


def test_a_missing_source_is_told(refused: Callable[..., str], work: Path) -> None:
    assert "missing folder/x.txt" in refused("corpus", "build", "missing folder/x.txt", "-o", "c")
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("text", ["", "   \n\n", LINES])
def test_a_corpus_that_is_empty_after_filtering_is_told(refused: Callable[..., str], work: Path, text: str) -> None:
    (work / "a.txt").write_text(text)
    told = refused("corpus", "build", "a.txt", "-o", "c")
    assert "nothing is left of 1 document" in told
    assert [path.name for path in work.iterdir()] == ["a.txt"]


def test_a_folder_of_something_else_is_left_alone(refused: Callable[..., str], work: Path) -> None:
    (work / "a.txt").write_text(LINES)
    (work / "thesis").mkdir()
    (work / "thesis" / "thesis.tex").write_text("mine")
    assert "not empty" in refused("corpus", "build", "a.txt", "--unit", "line", "-o", "thesis")
    assert [path.name for path in (work / "thesis").iterdir()] == ["thesis.tex"]


def test_what_is_no_corpus_is_told(refused: Callable[..., str], work: Path, tiny_bert: Path) -> None:
    assert "nowhere does not exist" in refused("corpus", "inspect", "nowhere")
    assert "is not a corpus" in refused("corpus", "inspect", tiny_bert)
    assert "is not a corpus" in refused("corpus", "export", tiny_bert, "-o", "x.json")


@pytest.mark.parametrize("damage", ["manifest cut short", "parquet cut short", "parquet gone"])
def test_a_damaged_corpus_is_told(
    refused: Callable[..., str], work: Path, lines_corpus: Path, tiny_bert: Path, damage: str
) -> None:
    corpus = Path(shutil.copytree(lines_corpus, work / "c"))
    name = "manifest.json" if damage.startswith("manifest") else "train.parquet"
    whole = (corpus / name).read_bytes()
    (corpus / name).write_bytes(whole[: len(whole) // 2])
    if damage.endswith("gone"):
        (corpus / name).unlink()
    for command in (
        ["corpus", "inspect", corpus],
        ["pretrain", "--model", tiny_bert, "--corpus", corpus, "--objective", "mlm", "-o", "r", "max_length=32"],
    ):
        assert name in refused(*command)
    assert not (work / "r").exists()
    with pytest.raises(artifacts.ArtifactError):
        artifacts.read_manifest(corpus, "corpus")


# ---- bad input: recipes ---------------------------------------------------------------------------------------------


def test_mistakes_in_a_recipe_are_told_all_at_once(refused: Callable[..., str], work: Path) -> None:
    (work / "recipe.yaml").write_text("modle: bert\ntraining:\n  lr: 3\n  evaluation_strategy: no\n")
    assert refused("run", "recipe.yaml", "max_steps=5", "corpus=c").splitlines() == [
        "recipe recipe.yaml has 6 mistakes:",
        "  - `model` is missing",
        "  - `output_dir` is missing",
        "  - unknown key `modle`; did you mean `model`?",
        "  - unknown key `max_steps`; `max_steps` belongs at `training.max_steps`",
        "  - `training.lr` is not a setting here: write `learning_rate`",
        "  - `training.evaluation_strategy` is not a setting here: write `eval_strategy`",
    ]


@pytest.mark.parametrize("text", [None, "", "- a\n- list\n", "a:\n\tb: 1\n", "a: 1\na: 2\n"])
def test_a_file_that_is_no_recipe_is_told(refused: Callable[..., str], work: Path, text: str | None) -> None:
    if text is not None:
        (work / "recipe.yaml").write_text(text)
    assert refused("run", "recipe.yaml").startswith("recipe recipe.yaml ")


def test_settings_of_pretrain_are_checked_like_a_recipe(refused: Callable[..., str], work: Path) -> None:
    told = refused("pretrain", "-m", "bert", "-c", "c", "-o", "r", "training.max_step=5", "seed=x")
    assert "`seed`: expected a whole number, got 'x'" in told
    assert "unknown key `training.max_step`; did you mean `training.max_steps`?" in told
    assert "expected key=value" in refused("pretrain", "-m", "bert", "-c", "c", "-o", "r", "docs")
    assert list(work.iterdir()) == []


# ---- bad input: models and tokenizers -------------------------------------------------------------------------------


def pretrain(model: Any, corpus: Any, *settings: str) -> list[Any]:
    return ["pretrain", "-m", model, "-c", corpus, "--objective", "mlm", "-o", "r", "max_length=32", *settings]


def small_llama(folder: Path) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=100,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
        )
    ).save_pretrained(folder)
    return folder


def test_a_causal_decoder_is_refused(refused: Callable[..., str], work: Path, lines_corpus: Path) -> None:
    model = small_llama(work / "llama")
    assert "`mlm` needs encoder models, and model type 'llama' is a decoder" in refused(*pretrain(model, lines_corpus))
    assert not (work / "r").exists()
    refused("fill", model, "a [MASK]")


def test_a_real_causal_decoder_is_refused(
    refused: Callable[..., str], work: Path, lines_corpus: Path, shared_data: Path
) -> None:
    model = shared_data / "checkpoints" / "stories260K"
    assert "model type 'llama' is a decoder" in refused(*pretrain(model, lines_corpus))
    assert list(work.iterdir()) == []


def test_a_tokenizer_without_a_mask_token_gets_one(
    run: Run, refused: Callable[..., str], work: Path, lines_corpus: Path, model_copy: Path
) -> None:
    for name in ("tokenizer_config.json", "tokenizer.json"):
        settings = json.loads((model_copy / name).read_text())
        settings.pop("mask_token", None)
        if name == "tokenizer_config.json":
            settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        else:
            settings["added_tokens"] = [token for token in settings["added_tokens"] if token["content"] != "[MASK]"]
        (model_copy / name).write_text(json.dumps(settings))
    assert "no mask token" in refused("fill", model_copy, "a [MASK]")
    # The vocabulary has a `[MASK]`, which is what it is for; nothing has to be added.
    assert run(*pretrain(model_copy, lines_corpus, "training.max_steps=1", "training.use_cpu=true")).code == 0
    assert json.loads((work / "r" / "manifest.json").read_text())["model"]["added_tokens"] == []
    assert run("fill", "r", "a [MASK]").code == 0


def test_a_hub_that_is_not_reached_is_told(refused: Callable[..., str], work: Path, lines_corpus: Path) -> None:
    for command in (pretrain("google-bert/no-such-bert", lines_corpus), ["fill", "google-bert/no-such-bert", "[MASK]"]):
        told = refused(*command)
        assert "'google-bert/no-such-bert' is no folder here, and the Hugging Face hub did not give it" in told
        assert "Check the name and the connection" in told
    assert "there is no such folder" in refused(*pretrain("./no/such/folder", lines_corpus))
    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.safetensors", "half"),
        ("model.safetensors", b""),
        ("config.json", "half"),
        ("config.json", b"{}"),
        ("config.json", b"[]"),
        ("config.json", b'{"model_type": "bert", "hidden_size": "wide"}'),
        ("config.json", b'{"model_type": "no-such-type"}'),
        ("tokenizer.json", "half"),
        ("tokenizer.json", b"{}"),
    ],
)
def test_a_damaged_model_is_told(
    refused: Callable[..., str], work: Path, lines_corpus: Path, model_copy: Path, file: str, content: bytes | str
) -> None:
    whole = (model_copy / file).read_bytes()
    (model_copy / file).write_bytes(whole[: len(whole) // 2] if isinstance(content, str) else content)
    assert "damaged model cannot be loaded: " in refused(*pretrain(model_copy, lines_corpus))


def test_a_model_without_the_vocabulary_of_its_tokenizer_is_told(
    refused: Callable[..., str], work: Path, lines_corpus: Path, model_copy: Path
) -> None:
    (model_copy / "tokenizer.json").unlink()  # tokenizer_config.json stays
    assert "has special tokens and no others" in refused(*pretrain(model_copy, lines_corpus))
    (model_copy / "tokenizer_config.json").unlink()
    assert "holds no tokenizer" in refused(*pretrain(model_copy, lines_corpus))


@pytest.mark.parametrize("tokenizer", ["{}", "null"])
def test_a_new_model_without_a_tokenizer_is_told(
    refused: Callable[..., str], work: Path, lines_corpus: Path, tokenizer: str
) -> None:
    told = refused(
        "pretrain", "model={config: {model_type: bert}}", f"tokenizer={tokenizer}", "-c", lines_corpus, "-o", "r"
    )
    assert told.startswith("a model of random weights needs a `tokenizer`")


def test_rows_longer_than_the_model_are_refused(
    refused: Callable[..., str], work: Path, lines_corpus: Path, tiny_bert: Path
) -> None:
    told = refused(*pretrain(tiny_bert, lines_corpus, "max_length=65"))
    assert told.startswith("`max_length` is 65, but this model has positions for 64 tokens")
    assert list(work.iterdir()) == []


# ---- bad input: runs ------------------------------------------------------------------------------------------------


def test_three_lines_train_and_what_follows_is_told(
    run: Run, refused: Callable[..., str], work: Path, lines_corpus: Path, tiny_bert: Path
) -> None:
    command = pretrain(tiny_bert, lines_corpus, "training.max_steps=2", "training.use_cpu=true")
    result = run(*command, "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["global_step"] == 2
    # The same command again does nothing; another recipe is refused.
    assert "is finished already; nothing to do" in run(*command).err
    told = refused(*pretrain(tiny_bert, lines_corpus, "training.max_steps=3", "training.use_cpu=true"))
    assert "holds the run of another recipe" in told and "`training.max_steps`: 2 there, 3 now" in told
    # Nothing is held out of three lines.
    figures = json.loads(run("evaluate", "r", "--json").out)
    assert (figures["domain"], figures["general"], figures["claim"]) == (None, None, False)
    assert "nothing is held out" in figures["notes"][0]
    # Filling: documented as what `pipeline("fill-mask")` gives.
    ((candidate, *_),) = json.loads(run("fill", "r", "the [MASK]", "--json", "--top-k", "2").out)
    assert candidate.keys() == {"score", "token", "token_str", "sequence"}
    assert "there is no [MASK] in 'no gap'" in refused("fill", "r", "no gap")
    assert "there are no texts to fill" in refused("fill", "r")
    assert "stdin cannot be read" in refused("fill", "r", stdin=b"caf\xe9 [MASK]\n")
    assert "nowhere.txt cannot be read" in refused("fill", "r", "--file", "nowhere.txt")
    # A run that lost a part of its weights is no run.
    weights = (work / "r" / "model.safetensors").read_bytes()
    (work / "r" / "model.safetensors").write_bytes(weights[:-1])
    assert "is damaged: model.safetensors has" in refused("evaluate", "r")


def test_what_is_no_run_is_told(refused: Callable[..., str], work: Path, lines_corpus: Path) -> None:
    assert "there is no run in nowhere" in refused("evaluate", "nowhere")
    assert "is no run of acclimate" in refused("evaluate", lines_corpus)


def test_an_output_folder_of_something_else_is_refused(
    refused: Callable[..., str], work: Path, lines_corpus: Path, tiny_bert: Path
) -> None:
    (work / "r").mkdir()
    (work / "r" / "thesis.tex").write_text("mine")
    assert "is not empty and holds no run of acclimate" in refused(*pretrain(tiny_bert, lines_corpus))
    assert [path.name for path in (work / "r").iterdir()] == ["thesis.tex"]
    (work / "file").write_text("")
    assert "a part of the path is a file" in refused(*pretrain(tiny_bert, lines_corpus), "output_dir=file/r")


# ---- a full disk, a read-only folder --------------------------------------------------------------------------------


def test_a_full_disk_leaves_no_half_corpus(
    refused: Callable[..., str], work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "a.txt").write_text(LINES)

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(artifacts.os, "fsync", refuse)
    assert "the disk is full" in refused("corpus", "build", "a.txt", "--unit", "line", "-o", "c")
    assert [path.name for path in work.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("saving", ["checkpoint", "model"])
def test_a_full_disk_leaves_no_half_model(
    refused: Callable[..., str],
    run: Run,
    work: Path,
    lines_corpus: Path,
    tiny_bert: Path,
    monkeypatch: pytest.MonkeyPatch,
    saving: str,
) -> None:
    """The disk fills up while weights are saved; with room again, the same command finishes the run."""
    strategy = "steps" if saving == "checkpoint" else "no"
    settings = ("training.max_steps=1", "training.use_cpu=true", f"training.save_strategy={strategy}")
    command = pretrain(tiny_bert, lines_corpus, *settings)

    def full(tensors: Any, path: Any, **_: Any) -> None:
        Path(path).write_bytes(b"half of the weights")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr("transformers.modeling_utils.safe_save_file", full)
        assert "the disk is full" in refused(*command)
    assert find_checkpoints(work / "r") == []
    assert not (work / "r" / "model.safetensors").exists()
    assert "is running, not finished" in refused("evaluate", "r")
    assert run(*command).code == 0
    assert open_run(work / "r").status == "finished"
    assert len(find_checkpoints(work / "r")) == (1 if saving == "checkpoint" else 0)
    assert not list((work / "r").glob("*.partial*")) and not list((work / "r").glob(".*.partial*"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system of 256 KiB in memory, with the options given; skips where that is not permitted."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk {len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size=256k,{options}", "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True).returncode == 0
        except OSError:
            done = False
        if not done:
            pytest.skip("mounting a small file system is not permitted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full_is_told(
    refused: Callable[..., str], work: Path, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("rw")
    # 1 MB of lines that do not compress to 256 KiB.
    (work / "a.txt").write_text("".join(f"{os.urandom(500).hex()}\n" for _ in range(1000)))
    assert "the disk is full" in refused("corpus", "build", "a.txt", "--unit", "line", "-o", disk / "c")
    assert list(disk.iterdir()) == []


def test_a_read_only_disk_is_told(
    refused: Callable[..., str], work: Path, small_disk: Callable[[str], Path], lines_corpus: Path, tiny_bert: Path
) -> None:
    disk = small_disk("ro")
    (work / "a.txt").write_text(LINES)
    assert "read-only" in refused("corpus", "build", "a.txt", "--unit", "line", "-o", disk / "c")
    assert "read-only" in refused(*pretrain(tiny_bert, lines_corpus), f"output_dir={disk / 'r'}")


# ---- what is shown --------------------------------------------------------------------------------------------------


@given(st.text())
def test_text_is_shown_as_it_is(text: str) -> None:
    """Documents hold what rich would take for markup and emoji: `[bold]`, `[/x]`, `:warning:`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", io.StringIO())
        print_text(f"{text}[/x] [MASK] [red] :warning:")
        assert sys.stdout.getvalue().endswith("[/x] [MASK] [red] :warning:\n")


def test_tables_take_nothing_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Run [/x]", ["", "figure"], [["[red] [/x]", ":warning:"]])
    out = capsys.readouterr().out
    assert "Run [/x]" in out and "[red] [/x]" in out and ":warning:" in out


def test_json_is_json_whatever_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"loss": float("nan"), "perplexity": [float("inf"), 1.5], "資": ("é", None)})

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    out = capsys.readouterr().out
    assert json.loads(out, parse_constant=refuse) == {"loss": None, "perplexity": [None, 1.5], "資": ["é", None]}
    assert "資" in out


@pytest.mark.parametrize("entries", [[], [None], [{"資": [1, float("nan")]}, [], "two\nlines"]])
def test_a_list_is_printed_entry_by_entry_as_it_is_at_once(
    entries: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    print_json(entries)
    whole = capsys.readouterr().out
    print_json_list(iter(entries))
    assert capsys.readouterr().out == whole


@pytest.mark.parametrize(
    ("value", "shown"),
    [(5, "5"), (5.0, "5"), (1234567, "1,234,567"), (0.12345, "0.1235"), (1234.5, "1,234"), (float("nan"), "nan")],
)
def test_figures_are_shown_for_people(value: float, shown: str) -> None:
    assert format_figure("loss", value) == shown
