"""The command line of generate, judge-pair, detect and score: what is printed, its JSON, and bad input."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertForPreTraining, BertForTokenClassification

from acclimate.cli import main as cli
from tests.models.tiny import tiny_model
from tests.objectives.test_matrix import matrix_tokenizer

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process: exit code, stdout, stderr. A traceback for users fails the test."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def run_(*arguments: Any, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["acclimate", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        written = capsys.readouterr()
        return int(caught.value.code or 0), written.out, written.err

    return run_


@pytest.fixture
def stories(shared_data: Path) -> Path:
    return shared_data / "checkpoints" / "stories260K"


@pytest.fixture(scope="module")
def judges(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `nsp`, a BERT that judges pairs, and `rtd`, one that tells replaced tokens; both at random."""
    folder = tmp_path_factory.mktemp("judges")
    config = AutoModelForMaskedLM.from_pretrained(tiny_bert).config
    torch.manual_seed(0)
    BertForPreTraining(config).save_pretrained(folder / "nsp")
    config.num_labels = 1
    BertForTokenClassification(config).save_pretrained(folder / "rtd")
    for name in ("nsp", "rtd"):
        AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(folder / name)
    return folder


# ---- fill -----------------------------------------------------------------------------------------------------------


def test_fill_with_spans(run: Run, tmp_path: Path) -> None:
    tiny_model("t5", "AutoModelForSeq2SeqLM").save_pretrained(tmp_path)
    matrix_tokenizer("encoder-decoder").save_pretrained(tmp_path)
    text = "w5 <mask> w7 [MASK]"
    code, out, _ = run("fill", tmp_path, text, "-k", 2, "--json")
    assert code == 0
    (candidates,) = json.loads(out)
    assert 1 <= len(candidates) <= 2
    for candidate in candidates:
        assert candidate.keys() == {"score", "spans", "sequence"} and len(candidate["spans"]) == 2
        assert candidate["sequence"].startswith("w5 ") and " w7" in candidate["sequence"]
    code, out, _ = run("fill", tmp_path, text, "-k", 2)
    lines = [f"  {candidate['score']:7.3f}  {candidate['sequence']}".rstrip() for candidate in candidates]
    assert code == 0 and [line.rstrip() for line in out.splitlines()] == [text, *lines, ""]
    code, _, err = run("fill", tmp_path, "w5", "-k", 2)
    assert code == 2 and "there is no <mask>" in err


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """A file of two texts with masks; a title before them, a blank line between."""
    path = tmp_path / "lines.txt"
    path.write_bytes(b"Title\nthe cloud [MASK]\r\n\na new <mask> in [MASK]\n")
    return path


def test_fill_tells_lines_without_mask_and_goes_on(run: Run, tiny_bert: Path, lines: Path) -> None:
    code, out, err = run("fill", tiny_bert, "-f", lines, "-k", 1)
    assert code == 0
    assert err.splitlines() == [
        f"{lines}, line 1: there is no [MASK] in 'Title'; write it where a token is wanted",
        "1 blank line skipped",
    ]
    assert [line for line in out.splitlines() if not line.startswith(" ")] == [
        "the cloud [MASK]", "", "a new <mask> in [MASK]", "",
    ]  # fmt: skip
    code, out, _ = run("fill", tiny_bert, "-f", lines, "-k", 1, "--json", "--batch-size", 1)
    title, first, second = json.loads(out)
    assert code == 0 and title is None and len(first) == 1 and [len(mask) for mask in second] == [1, 1]
    assert first == json.loads(run("fill", tiny_bert, "the cloud [MASK]", "-k", 1, "--json")[1])[0]


def test_fill_strict_stops_at_the_first(run: Run, tiny_bert: Path, lines: Path) -> None:
    code, out, err = run("fill", tiny_bert, "-f", lines, "--strict", "--json")
    assert (code, out) == (2, "") and err.startswith(f"acclimate: {lines}, line 1: there is no [MASK]")


def test_fill_without_anything_to_fill(run: Run, tiny_bert: Path) -> None:
    code, out, err = run("fill", tiny_bert, "--json", stdin=b"one\n\ntwo\n")
    assert (code, out) == (2, "")
    assert err.startswith("acclimate: stdin, line 1: ") and "\nstdin, line 3: there is no [MASK] in 'two'" in err
    code, _, err = run("fill", tiny_bert, stdin=b"\n")
    assert code == 2 and "there are no texts to fill" in err
    code, _, err = run("fill", tiny_bert, "-f", "missing.txt")
    assert code == 2 and "missing.txt cannot be read" in err


# ---- generate -------------------------------------------------------------------------------------------------------


def test_generate_shows_prompt_and_continuation(run: Run, stories: Path) -> None:
    code, out, err = run("generate", stories, "Once upon a time", "--max-new-tokens", 12)
    assert (code, err) == (0, "")
    score, text = out.strip().split("  ", 1)
    assert (
        -1 < float(score) < 0 and text.startswith("Once upon a time, there was a little girl") and text.endswith(" …")
    )


def test_generate_json_and_settings(run: Run, stories: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_bytes(b"\xef\xbb\xbfLily had a=b\r\n\r\n\nTom\r\n")
    code, out, err = run(
        "generate", stories, "-f", tmp_path / "prompts.txt", "--do-sample", "-n", 3, "--top-k", 9, "typical_p=0.9",
        "max_new_tokens=5", "--json",
    )  # fmt: skip
    assert code == 0 and "2 blank lines skipped" in err
    found = json.loads(out)
    assert [one["prompt"] for one in found] == ["Lily had a=b", "Tom"]
    for one in found:
        assert len(one["continuations"]) + one["num_duplicates"] == 3
        assert all(each["num_tokens"] <= 5 and each["text"].startswith(one["prompt"]) for each in one["continuations"])
    again = run("generate", stories, "Tom", "--do-sample", "--seed", 7, "--json")
    assert again == run("generate", stories, "--do-sample", "seed=7", "--json", stdin=b"Tom\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Lily", "temprature=2"], "did you mean `temperature`?"),
        (["Lily", "--temperature", "2"], "add `do_sample=true`"),
        ([""], "the prompt is empty"),
        ([], "there are no prompts"),
        (["-f", "missing.txt"], "missing.txt cannot be read"),
    ],
)
def test_generate_refuses(run: Run, stories: Path, arguments: list[str], message: str) -> None:
    code, out, err = run("generate", stories, *arguments)
    assert code == 2 and out == "" and message in err and err.startswith("acclimate: ")


def test_a_file_that_is_no_utf_8_is_refused(run: Run, stories: Path, judges: Path, tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("Übermut\tMut\n".encode("latin-1"))
    for verb, model in (
        ("generate", stories),
        ("judge-pair", judges / "nsp"),
        ("detect", judges / "rtd"),
        ("fill", judges / "nsp"),
        ("score", stories),
    ):
        code, _, err = run(verb, model, "--file", tmp_path / "latin.txt")
        assert code == 2 and "latin.txt cannot be read" in err


def test_models_of_the_wrong_family_are_refused(run: Run, stories: Path, tiny_bert: Path) -> None:
    for arguments, message in (
        (("generate", tiny_bert, "a"), "fill its masks with `acclimate fill`"),
        (("judge-pair", stories, "a", "b"), "decoder family, which judges no pairs"),
        (("judge-pair", tiny_bert, "a", "b"), "has no head that judges pairs"),
        (("detect", stories, "a"), "decoder family, which detects no replaced tokens"),
        (("detect", tiny_bert, "a"), "has no head that tells replaced tokens"),
        (("score", stories, "a", "--objective", "mlm"), "`mlm` needs encoder models"),
    ):
        code, _, err = run(*arguments)
        assert code == 2 and message in err, err


# ---- judge-pair -----------------------------------------------------------------------------------------------------


def test_judge_pair(run: Run, judges: Path, tmp_path: Path) -> None:
    code, out, _ = run("judge-pair", judges / "nsp", "the cloud", "data " * 90)
    assert code == 0
    probability, label, *_ = out.split()
    assert 0 < float(probability) < 1 and label in ("next", "random") and "(31 tokens cut off)" in out  # 2 + 90 - 61
    (tmp_path / "pairs.tsv").write_text("the cloud\tnew data\na\tb\n")
    _, out, _ = run("judge-pair", judges / "nsp", "--file", tmp_path / "pairs.tsv", "--json")
    assert [(one["text_a"], one["text_b"]) for one in json.loads(out)] == [("the cloud", "new data"), ("a", "b")]


@pytest.mark.parametrize("arguments", [[], ["a"], ["a", "b", "--file", "pairs.tsv"]])
def test_judge_pair_wants_two_texts_or_a_file(run: Run, judges: Path, arguments: list[str]) -> None:
    code, _, err = run("judge-pair", judges / "nsp", *arguments)
    assert code == 2 and "give two texts, or a file of pairs by --file" in err


# ---- detect ---------------------------------------------------------------------------------------------------------


def test_detect(run: Run, judges: Path) -> None:
    code, out, _ = run("detect", judges / "rtd", "run  a new pod.", "--threshold", 0)
    assert code == 0 and out.startswith("[[run]]  [[a]] [[new]] [[pod.]]\n") and "100% of 5 tokens" in out
    _, out, _ = run("detect", judges / "rtd", "--threshold", 1, "--json", stdin=b"a pod\n\nthe node\n")
    assert [one["marked"] for one in json.loads(out)] == ["a pod", "the node"]
    assert run("detect", judges / "rtd", "a", "--threshold", 2)[0] == 2


def test_marks_are_colours_on_a_terminal(judges: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from unittest import mock

    from acclimate.cli.detect import print_detection
    from acclimate.inference.detect import Detection, JudgedToken

    found = Detection("a [b]", 0.5, (JudgedToken("a", 0, 1, 0.9), JudgedToken("b", 3, 4, 0.1)), ())
    with mock.patch.dict("os.environ", {"FORCE_COLOR": "1", "TERM": "xterm"}):
        print_detection(found)
    out = capsys.readouterr().out
    assert "\x1b[" in out and "[[" not in out and " [b]" in out


# ---- score ----------------------------------------------------------------------------------------------------------


def test_score(run: Run, stories: Path, tmp_path: Path) -> None:
    (tmp_path / "story.txt").write_text("Lily was happy.\nTom was sad.\n")
    (tmp_path / "more.txt").write_text("The end.")
    arguments = ("score", stories, "Once upon a time", "-f", tmp_path / "story.txt", "--sources", tmp_path / "more.txt")
    code, out, _ = run(*arguments)
    assert code == 0 and "asked by clm in rows of 512" in out and "bits per byte" in out
    assert all(name in out for name in ("text 1", "story.txt", "more.txt", "total"))
    _, out, err = run(*arguments, "--json")
    found = json.loads(out)
    assert err == "" and [text["parts"]["clm"]["bytes"] for text in found["texts"]] == [16, 29, 8]
    assert found["total"]["parts"]["clm"]["bytes"] == 53


def test_score_wants_a_text(run: Run, stories: Path) -> None:
    code, _, err = run("score", stories)
    assert code == 2 and "there is no text to score" in err
