"""`acclimate corpus build`, `inspect` and `export`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from acclimate.cli.corpus import app, settings_from_arguments
from acclimate.errors import AcclimateError, RecipeError

TEXT = "The tide rises twice a day. " * 10


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.md").write_text(f"# {number}\n\n*{TEXT}*\n")
    (folder / "short.md").write_text("short")
    return folder


def test_build_inspect_export(docs: Path, tmp_path: Path) -> None:
    corpus, out = str(tmp_path / "corpus"), tmp_path / "out.json"
    shown = run("build", str(docs), "-o", corpus, "held_out=0.5")
    assert "acclimate corpus inspect" in shown
    shown = run("inspect", corpus, "--samples", "1")
    assert "too_short" in shown and "--- kept: " in shown and "--- dropped: short.md (too_short)" in shown
    report = json.loads(run("inspect", corpus, "--json"))
    assert report["ledger"]["documents"] == {"in": 5, "kept": 4, "dropped": 1}
    assert report["ledger"]["reasons"]["too_short"] == {"documents": 1, "characters": 5}
    run("export", corpus, "-o", str(out))
    assert len(json.loads(out.read_text())) == 4
    assert run("export", corpus, "-o", "-") == out.read_text()


def test_json_of_build_is_that_of_inspect(docs: Path, tmp_path: Path) -> None:
    corpus = str(tmp_path / "corpus")
    built = json.loads(run("build", str(docs), "-o", corpus, "--json"))
    assert built == json.loads(run("inspect", corpus, "--samples", "0", "--json"))


def test_options_apply_to_every_source() -> None:
    arguments = ["docs", "https://example.org/a.git", "hf://datasets/o/n", "unit=line", "min_chars=3"]
    settings = settings_from_arguments(arguments, {"glob": ["*.md"], "revision": "main", "markdown": "source"})
    assert settings.min_chars == 3
    assert [source.unit for source in settings.sources] == ["line"] * 3
    assert [source.markdown for source in settings.sources] == ["source"] * 3
    # a folder has no revision, and a data set no files
    assert [source.revision for source in settings.sources] == [None, "main", "main"]
    assert [source.globs for source in settings.sources] == [["*.md"], ["*.md"], []]


def test_a_file_whose_name_looks_like_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("unit=x.txt").write_text(TEXT)
    assert settings_from_arguments(["unit=x.txt"], {}).sources[0].path == "unit=x.txt"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["docs", "heldout=0.1", "unti=line"], "did you mean `held_out`(.|\n)*did you mean `unit`"),
        (["docs", "held_out=2"], "`held_out`: Input should be less than 1"),
        (["docs", "revision=main"], "revision has no meaning for docs"),
        (["docs", "unit=page"], "`sources.0.unit`"),
    ],
)
def test_mistakes(arguments: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        settings_from_arguments(arguments, {})


def test_a_missing_source_is_an_error_that_the_user_can_mend(tmp_path: Path) -> None:
    with pytest.raises(AcclimateError, match="there is no file or folder"):
        run("build", str(tmp_path / "missing"), "-o", str(tmp_path / "corpus"))
