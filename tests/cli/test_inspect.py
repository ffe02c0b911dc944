"""`acclimate inspect-batch` and `acclimate objectives`: what they show, with and without colours."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from acclimate.cli import batch_view
from acclimate.cli import main as cli
from acclimate.cli.batch_view import draw, print_exposure, print_inspection, shrink
from acclimate.jobs.inspect_batch import InspectedRow, Inspection
from acclimate.objectives import OBJECTIVES
from acclimate.objectives.exposure import Exposure
from acclimate.objectives.inspection import Piece, Token
from tests.objectives.test_marking import ROW
from tests.objectives.tiny import MASK, PAD, corpus_folder

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process: its exit code, and what it wrote."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def run_(*arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["acclimate", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        written = capsys.readouterr()
        return int(ended.value.code or 0), written.out, written.err

    return run_


@pytest.fixture
def recipe(tiny_bert: Path, tmp_path: Path) -> Path:
    texts = [f"the model of the cloud {number} runs in a pod of the new cluster" for number in range(40)]
    corpus = corpus_folder(tmp_path, texts, held_out=0.2)
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"model: {tiny_bert}\ncorpus: {corpus}\nobjective: mlm\nmax_length: 48\noutput_dir: {tmp_path / 'run'}\n"
    )
    return path


# ---- the view -------------------------------------------------------------------------------------------------------


def row(**changes: Any) -> InspectedRow:
    """`[CLS] a [MASK] d [SEP]`, and more, drawn by hand."""
    values: dict[str, Any] = {
        "key": 3,
        "epoch": 0,
        "row": 3,
        "num_tokens": 8,
        "num_padding": 2,
        "pieces": (Piece("0", 0, 6, ("page",)),),
        "sides": {"row": ROW},
        "verdicts": {},
        **changes,
    }
    length = len(values["sides"].get("row", ()))
    values.setdefault("attention", {"row": np.ones((length, length), dtype=bool)})
    return InspectedRow(**values)


def inspection(*rows: InspectedRow, objective: str = "mlm") -> Inspection:
    return Inspection(objective, "bert", False, 10, True, 7, rows, ())


def shown(capsys: pytest.CaptureFixture[str], *rows: InspectedRow, **options: Any) -> list[str]:
    capsys.readouterr()
    print_inspection(inspection(*rows), **options)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_targets_are_marked_in_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, row())
    assert lines[0] == "mlm on a model of type bert: 7 rows an epoch of 10 tokens, several texts a row, kept apart"
    assert "key 3: row 3 of epoch 0, 8 tokens, padding 2" in lines
    assert "  0  page, tokens 0–5" in lines
    assert "     [CLS] a ⟦bc→[MASK]×2⟧ ⟦d→x⟧ ⟦e=⟧ ↵ [SEP]" in lines
    legend = [line for line in lines if line.startswith("  ⟦")]
    assert [line.split("⟧")[0] for line in legend] == ["  ⟦original→mask", "  ⟦original→other", "  ⟦original="]


def test_colours_repeat_what_the_marks_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def written(**options: Any) -> str:
        file = io.StringIO()
        monkeypatch.setattr(
            batch_view, "Console", lambda **_: Console(file=file, width=100, highlight=False, **options)
        )
        print_inspection(inspection(row()))
        return file.getvalue()

    coloured = written(force_terminal=True, color_system="truecolor")
    plain = written(force_terminal=False, color_system=None)
    assert "\x1b[" in coloured and "\x1b[" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_a_decoder_marks_what_is_only_read(capsys: pytest.CaptureFixture[str]) -> None:
    tokens = (
        Token(5, "The", "The", "text", 0, 0),
        Token(6, "Ġcat", " cat", "text", 0, 1, 6, "Ġcat", " cat", "next"),
        Token(2, "</s>", "</s>", "joint", 0, 2, 2, "</s>", "</s>", "end"),
    )
    lines = shown(capsys, row(sides={"row": tokens}, attention={"row": np.tril(np.ones((3, 3), dtype=bool))}))
    assert "     ⟦The⟧ cat </s>" in lines
    assert "  │█▄ │" in lines and "  │▀▀▀│" in lines


def test_a_part_of_a_character_is_shown_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    tokens = (
        Token(5, "è", "", "text", 0, 0),
        Token(6, "ĩ", "臣", "text", 0, 1, 6, "ĩ", "臣", "next"),
    )
    assert "     ⟦è⟧臣" in shown(capsys, row(sides={"row": tokens}))
    masked = Token(MASK, "[MASK]", "[MASK]", "text", 0, 0, 5, "è", "", "mask")
    assert "     ⟦è→[MASK]⟧" in shown(capsys, row(sides={"row": (masked,)}))


def test_an_encoder_decoder_has_two_blocks(capsys: pytest.CaptureFixture[str]) -> None:
    encoder = (
        Token(5, "a", "a", "text", 0, 0),
        Token(99, "<extra_id_0>", "<extra_id_0>", "special", 0, -1, stands_for=" b c"),
        Token(98, "<extra_id_1>", "<extra_id_1>", "special", 0, -1, stands_for=" "),
        Token(2, "</s>", "</s>", "special", 0, -1),
    )
    decoder = (
        Token(PAD, "<pad>", "<pad>", "special", 0, -1, 99, "<extra_id_0>", "<extra_id_0>", "sentinel"),
        Token(99, "<extra_id_0>", "<extra_id_0>", "special", 0, -1, 6, "b", " b", "taken out"),
        Token(6, "b", " b", "text", 0, -1, 2, "</s>", "</s>", "end"),
    )
    attention = {"encoder": np.ones((4, 4), dtype=bool), "decoder": np.tril(np.ones((3, 3), dtype=bool))}
    attention["decoder to encoder"] = np.ones((3, 4), dtype=bool)
    lines = shown(capsys, row(sides={"encoder": encoder, "decoder": decoder}, attention=attention))
    assert lines[3:5] == ["encoder", "  0  page, tokens 0–5"]
    assert "     a ⟦b c→<extra_id_0>⟧⟦␣→<extra_id_1>⟧ </s>" in lines
    assert "     input: <pad> <extra_id_0> b" in lines
    assert "     label: <extra_id_0> b </s>" in lines
    assert any("encoder 4 × 4" in line and "decoder to encoder 3 × 4" in line for line in lines)


def test_a_pair_is_shown_by_its_halves(capsys: pytest.CaptureFixture[str]) -> None:
    tokens = (
        Token(5, "a", "a", "text", 0, 0, token_type=0),
        Token(6, "b", "b", "text", 0, 9, token_type=1),
    )
    pieces = (Piece("A", 0, 1, ("page",)), Piece("B", 9, 30, ("other", "third")))
    lines = shown(capsys, row(sides={"row": tokens}, pieces=pieces, verdicts={"nsp": "random"}))
    assert "nsp: random" in lines
    assert "  A  page, tokens 0–0" in lines and "  B  other … third (2), tokens 9–29" in lines


def test_a_token_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, row(), tokens=True)
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    assert len(cells) == 8
    assert cells[2] == ["2", "[MASK]", str(MASK), "0", "text", "b", "6", "mask"]
    assert cells[6] == ["6", "↵", "11", "0", "joint", "", "", ""]
    assert "mask: to be predicted; the model gets the mask token instead" in lines
    assert not any("⟦" in line or "attention" in line for line in lines)
    drawn = Token(MASK, "[MASK]", "[MASK]", "text", 0, 1, 6, "b", "b", "mask", draw=0.25)
    assert any("0.2500" in line for line in shown(capsys, row(sides={"row": (drawn,)}), tokens=True))


def test_what_a_terminal_would_obey_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    evil = Token(5, "\x1b[31m", "\x1b]0;x\x07[bold]\t", "text", 0, 0)
    for options in ({}, {"tokens": True}):
        out = "\n".join(shown(capsys, row(sides={"row": (evil,)}), **options))
        assert "\x1b" not in out and "\x07" not in out
    assert "·]0;x·[bold]⇥" in "\n".join(shown(capsys, row(sides={"row": (evil,)})))


# ---- pictures -------------------------------------------------------------------------------------------------------


def test_a_picture_by_hand() -> None:
    # Two texts of two tokens and one: three lines of cells make two of characters, the last one half empty.
    allowed = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=bool)
    assert draw(allowed, [0, 0, 1], 1).plain.splitlines() == ["┌───┐", "│██ │", "│  ▀│", "└───┘"]
    causal = np.tril(np.ones((2, 2), dtype=bool))
    assert draw(causal, [0, 0], 1).plain.splitlines() == ["┌──┐", "│█▄│", "└──┘"]


def test_a_cell_is_drawn_where_a_quarter_of_its_pairs_may_attend() -> None:
    # Of the 2 x 2 cells: 4 of 4 pairs, 0, 1 of 4, and at the edge 1 of 2 and 0 of 1.
    allowed = np.zeros((3, 4), dtype=bool)
    allowed[:2, :2] = True
    allowed[1, 3] = True
    allowed[2, 0] = True
    assert shrink(allowed, 2).astype(int).tolist() == [[1, 1], [1, 0]]
    allowed[1, 3] = False
    assert shrink(allowed, 2).astype(int).tolist() == [[1, 0], [1, 0]]
    # A text of a single token keeps its cell.
    assert shrink(np.eye(40, dtype=bool), 4).diagonal().all()


@pytest.mark.parametrize("width", [30, 80, 200])
def test_pictures_stand_beside_each_other(width: int) -> None:
    attention = {
        "encoder": np.ones((512, 512)),
        "decoder": np.ones((114, 114)),
        "decoder to encoder": np.ones((114, 512)),
    }
    cell = batch_view._cell(row(attention={key: value.astype(bool) for key, value in attention.items()}), width)
    widths = [-(-value.shape[1] // cell) for value in attention.values()]
    assert max(widths) <= 40
    # Rounding up may cost a column a picture, which the blanks between them make good.
    assert sum(widths) + 4 * len(widths) + 2 <= width


# ---- the ledger -----------------------------------------------------------------------------------------------------


def test_the_ledger_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    # Four tokens, the last a joint: text is read twice, and predicted 0, 1 and 12 times.
    counts = Exposure(np.array([2, 2, 2, 0]), np.array([0, 1, 12, 0]), np.array([False, False, False, True]), 12)
    print_exposure(counts)
    out = capsys.readouterr().out
    assert "in 12 epochs" in out
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if line.startswith("│")]
    assert rows == [
        ["0", "0", "1", "1", "1"],
        ["1", "0", "1", "0", "0"],
        ["2", "3", "0", "0", "0"],
        ["12", "0", "1", "0", "0"],
    ]


# ---- the commands ---------------------------------------------------------------------------------------------------


def test_a_recipe_is_inspected(run: Run, recipe: Path, tmp_path: Path) -> None:
    code, out, _ = run("inspect-batch", recipe, "max_length=32", "--rows", 2)
    assert code == 0
    assert out.count("\nkey ") == 2 and "rows an epoch of 32 tokens" in out and "→[MASK]" in out
    code, out, _ = run("inspect-batch", recipe, "--held-out", "--tokens")
    assert code == 0 and "held-out rows" in out and "│ [CLS]" in out.replace("│  ", "│ ").replace("  ", " ")
    assert not (tmp_path / "run").exists()


def test_json_is_all_there_is_on_stdout(run: Run, recipe: Path) -> None:
    code, out, err = run("inspect-batch", recipe, "--key", 1, "--json")
    data = json.loads(out)
    assert (code, err, data["rows"][0]["key"], data["objective"]) == (0, "", 1, "mlm")
    code, out, _ = run("inspect-batch", recipe, "--ledger", "--epochs", 3, "--json")
    ledger = json.loads(out)
    assert ledger["epochs"] == 3 and list(ledger["text"]["inputs"]) == ["3"]


def test_mistakes_are_told(run: Run, recipe: Path) -> None:
    code, _, err = run("inspect-batch", recipe, "max_lenght=3")
    assert code == 2 and "max_length" in err and "Traceback" not in err
    assert run("inspect-batch", recipe, "--key=-1")[2].strip().endswith("nothing is replayed here")
    assert run("inspect-batch", recipe, "--rows", 0)[0] == 2


def test_the_objectives_are_listed(run: Run, tiny_bert: Path) -> None:
    code, out, _ = run("objectives")
    assert code == 0 and all(name in out for name in OBJECTIVES) and "50 × discriminator" in out
    code, out, _ = run("objectives", "--model", tiny_bert)
    assert code == 0 and "own objective: mlm, since bert models are encoders" in out and "no: `clm` needs" in out
    code, out, _ = run("objectives", "--model", tiny_bert, "--json")
    table = json.loads(out)
    assert table["own"] == "mlm" and [entry["name"] for entry in table["objectives"]] == list(OBJECTIVES)
    code, _, err = run("objectives", "--model", "no/such-model")
    assert code == 2 and "Traceback" not in err
