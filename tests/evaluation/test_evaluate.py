"""Before and after: the same masks, honest intervals, and no claim where none can be made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM, AutoTokenizer

from acclimate.artifacts import read_json, write_json
from acclimate.corpus import CorpusSettings, build_corpus
from acclimate.errors import CheckpointError, RecipeError, SourceError
from acclimate.evaluation.evaluate import evaluate, run_settings
from acclimate.evaluation.models import claims
from acclimate.jobs.pretrain import pretrain
from acclimate.jobs.report import report

TEXT = "the service will run on the node when the cluster is new. you can use the data set of your language model."


def _documents(folder: Path, number: int, extra: str = "") -> Path:
    folder.mkdir()
    for index in range(number):
        words = TEXT.split()
        turned = " ".join(words[index % len(words) :] + words[: index % len(words)])
        (folder / f"{index}.md").write_text(f"# {index}\n\n{turned} {turned} {turned} {extra}\n")
    return folder


@pytest.fixture(scope="module")
def made(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished run, and general text as a folder of files."""
    folder = tmp_path_factory.mktemp("evaluate")
    settings = CorpusSettings.model_validate({"sources": str(_documents(folder / "docs", 40)), "held_out": 0.4})
    build_corpus(settings, folder / "corpus")
    pretrain(
        str(tiny_bert),
        folder / "corpus",
        folder / "run",
        max_length=32,
        training={"max_steps": 60, "learning_rate": 5e-3, "per_device_train_batch_size": 8, "save_strategy": "no"},
    )
    return folder / "run", _documents(folder / "general", 30, extra="?!")


def test_before_and_after(made: tuple[Path, Path]) -> None:
    run, general = made
    evaluation = evaluate(run, general=general)
    assert evaluation.claim and evaluation.notes == ()
    for text in (evaluation.domain, evaluation.general):
        assert text is not None
        assert text.after["loss"] < text.before["loss"] - 0.5
        assert text.difference.mean == pytest.approx(text.after["loss"] - text.before["loss"])
        assert text.difference.low < text.difference.mean < text.difference.high < 0
        assert text.unit == "document" and text.num_units > 5 and text.headline.num_targets > 50
    again = evaluate(run, general=general)
    assert again == evaluation


def test_json_has_what_programs_rely_on(made: tuple[Path, Path]) -> None:
    run, general = made
    figures = json.loads(json.dumps(evaluate(run, general=str(general)).to_json()))
    for name in ("domain", "general"):
        assert figures[name].keys() == {
            "parts",
            "tokens",
            "units",
            "unit",
            "pseudo_log_likelihood",
            "breakdown",
        }
        (part,) = figures[name]["parts"].values()
        assert part.keys() == {"before", "after", "difference", "targets"}
        assert {"loss", "perplexity", "accuracy", "accuracy_at_5"} == set(part["before"]) == set(part["after"])
        assert set(part["difference"]) == {"mean", "low", "high"}
    assert evaluate(run).to_json()["general"] is None
    assert read_json(run / "evaluation" / "evaluation.json")["general"] is None


def test_a_run_is_not_compared_with_itself_by_mistake(made: tuple[Path, Path], tiny_bert: Path) -> None:
    # What is scored as "before" is the model that the recipe names, not the run's own weights.
    run, _ = made
    before = AutoModelForMaskedLM.from_pretrained(tiny_bert).state_dict()
    after = AutoModelForMaskedLM.from_pretrained(run).state_dict()
    name = "cls.predictions.transform.dense.weight"
    assert not before[name].equal(after[name])
    domain = evaluate(run).domain
    assert domain is not None and domain.before["loss"] != domain.after["loss"]


def test_general_text_of_too_few_documents_is_scored_by_row(made: tuple[Path, Path], tmp_path: Path) -> None:
    run, _ = made
    evaluation = evaluate(run, general=_documents(tmp_path / "few", 4))
    assert evaluation.general is not None
    assert evaluation.general.unit == "row"
    assert any("interval is over rows" in note for note in evaluation.notes)


def test_general_text_that_was_trained_on_is_told(made: tuple[Path, Path]) -> None:
    run, _ = made
    evaluation = evaluate(run, general=run.parent / "docs")
    assert evaluation.general is not None and evaluation.general.trained_on > 0.1
    assert any("stands in documents that the run was trained on" in note for note in evaluation.notes)
    assert evaluation.verdict is not None
    verdict = evaluation.to_json()["verdict"]
    assert (verdict["general"]["outcome"], verdict["general"]["reasons"]) == ("no_claim", ["trained_on"])
    assert verdict["domain"]["outcome"] == "helped"
    # What the run's own corpus holds out was not trained on.
    own = evaluate(run, general=run.parent / "corpus").general
    assert own is not None and own.trained_on == 0


def test_what_was_replayed_was_trained_on(made: tuple[Path, Path], tiny_bert: Path, tmp_path: Path) -> None:
    run, general = made
    recipe = {"share": 0.5, "path": str(general)}
    training = {"max_steps": 1, "save_strategy": "no"}
    pretrain(str(tiny_bert), run.parent / "corpus", tmp_path / "run", max_length=32, training=training, replay=recipe)
    found = evaluate(tmp_path / "run", general=general).general
    assert found is not None and found.trained_on == 1


def test_one_text_file_is_read_by_line(made: tuple[Path, Path], tmp_path: Path) -> None:
    run, _ = made
    (tmp_path / "general.txt").write_text((TEXT + "\n") * 400)
    evaluation = evaluate(run, general=tmp_path / "general.txt")
    assert evaluation.general is not None


def test_what_was_rebuilt_since_cannot_be_scored(made: tuple[Path, Path], tiny_bert: Path, tmp_path: Path) -> None:
    docs = _documents(tmp_path / "docs", 20)
    settings = CorpusSettings.model_validate({"sources": str(docs), "held_out": 0.4})
    build_corpus(settings, tmp_path / "corpus")
    pretrain(
        str(tiny_bert),
        tmp_path / "corpus",
        tmp_path / "run",
        max_length=32,
        training={"max_steps": 1, "save_strategy": "no"},
    )
    (docs / "0.md").write_text("# changed\n\n" + TEXT * 4)
    build_corpus(settings, tmp_path / "corpus")
    with pytest.raises(CheckpointError, match="was rebuilt since"):
        evaluate(tmp_path / "run")
    shutil.rmtree(tmp_path / "corpus")
    with pytest.raises(CheckpointError, match="cannot be opened"):
        evaluate(tmp_path / "run")


def test_a_base_that_is_gone_is_told(made: tuple[Path, Path], tmp_path: Path) -> None:
    run, _ = made
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    manifest = read_json(copy / "manifest.json")
    manifest["before"]["model"]["name"] = str(tmp_path / "gone")
    write_json(copy / "manifest.json", manifest)
    with pytest.raises(CheckpointError, match=r"started from cannot be loaded(.|\n)*--against"):
        evaluate(copy)


def test_what_is_no_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no run in"):
        evaluate(tmp_path / "nothing")


def test_a_run_that_was_moved_has_its_corpus_with_it(tiny_bert: Path, tmp_path: Path) -> None:
    corpus = {"sources": str(_documents(tmp_path / "docs", 20)), "held_out": 0.4}
    training = {"max_steps": 1, "save_strategy": "no"}
    pretrain(str(tiny_bert), corpus, tmp_path / "run", max_length=32, training=training)
    shutil.move(tmp_path / "run", tmp_path / "moved")
    assert evaluate(tmp_path / "moved").domain is not None
    found = report(tmp_path / "moved").read_text()
    assert "does not exist" not in found


def test_a_relative_path_is_told(made: tuple[Path, Path]) -> None:
    with pytest.raises(SourceError, match=r"no file or folder nowhere(.|\n)*go to where the run was started"):
        evaluate(made[0], general="nowhere")


def test_general_settings_are_checked(made: tuple[Path, Path]) -> None:
    with pytest.raises(RecipeError, match="did you mean `general.held_out`"):
        evaluate(made[0], general={"path": "x", "heldout": 0.5})


def test_an_empty_path_is_no_text(made: tuple[Path, Path]) -> None:
    # As of a variable of the shell that is not set.
    with pytest.raises(RecipeError, match="needs a `path`"):
        evaluate(made[0], general="")


@pytest.mark.parametrize(
    ("model", "claim", "said"),
    [
        ({}, True, ""),
        ({"from_scratch": True}, False, "random weights"),
        ({"new_parameters": ["cls.x"]}, False, "head was new"),
        ({"new_parameters": ["cls.x"], "head_warmup": {"steps": 200, "leveled_off": True}}, True, ""),
        ({"new_parameters": ["cls.x"], "head_warmup": {"steps": 9, "leveled_off": False}}, False, "still falling"),
        ({"unseen_tokens": 3}, False, "3 tokens were added"),
    ],
)
def test_claims(model: dict[str, Any], claim: bool, said: str) -> None:
    whole = {"from_scratch": False, "new_parameters": [], "head_warmup": None, "unseen_tokens": 0, **model}
    assert claims({"model": whole})[0] is claim
    assert said in " ".join(claims({"model": whole})[1])


def test_the_tokenizer_of_a_run_is_the_one_it_was_trained_with(made: tuple[Path, Path], tiny_bert: Path) -> None:
    # Else the token stores would be built anew for evaluation, and the masks be others.
    from acclimate.tokens.tokenizers import tokenizer_fingerprint

    ours, theirs = (AutoTokenizer.from_pretrained(folder) for folder in (made[0], tiny_bert))
    assert tokenizer_fingerprint(ours) == tokenizer_fingerprint(theirs)


def test_a_model_that_broke_down_is_right_nowhere(made: tuple[Path, Path], tmp_path: Path) -> None:
    run, general = made
    copy = shutil.copytree(run, tmp_path / "run")
    weights = load_file(copy / "model.safetensors")
    weights["cls.predictions.transform.dense.weight"].fill_(float("nan"))
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "probes.txt").write_text("the [MASK] is new\tservice\n")
    evaluation = evaluate(copy, general=general, probes=tmp_path / "probes.txt")
    assert evaluation.domain is not None
    assert evaluation.domain.after["accuracy"] == evaluation.domain.after["accuracy_at_5"] == 0
    assert evaluation.probes[0].blanks[0].rank_after is None
    assert "NaN" in (evaluation.probes[0].note or "")
    # JSON has no word for what is no number.
    kept = (copy / "evaluation" / "evaluation.json").read_text()
    assert "NaN" not in kept.replace("(NaN)", "") and json.loads(kept) == evaluation.to_json()
    assert evaluation.to_json()["domain"]["parts"]["mlm"]["after"]["loss"] is None
    verdict = evaluation.to_json()["verdict"]
    assert verdict["domain"]["reasons"] == ["not_a_number"] and verdict["domain"]["difference"] is None
    assert verdict["advice"][0]["condition"] == "diverged"


def test_documents_that_max_tokens_left_out_are_told(made: tuple[Path, Path]) -> None:
    settings = run_settings(made[0]).model_copy(update={"max_tokens": 100})
    domain = evaluate(made[0], settings=settings).domain
    assert domain is not None and domain.sampled_from == 17
    whole = evaluate(made[0]).domain
    assert whole is not None and whole.sampled_from is None


def test_parts_can_be_turned_off(made: tuple[Path, Path]) -> None:
    run, general = made
    off = {"num_terms": 0, "num_sentences": 0, "passage_tokens": 0, "num_examples": 0}
    settings = run_settings(run).model_copy(update=off)
    evaluation = evaluate(run, general=general, settings=settings)
    assert evaluation.domain is not None and evaluation.domain.pseudo_log_likelihood is None
    assert (evaluation.terms, evaluation.examples, dict(evaluation.passages)) == (None, (), {})


def test_without_general_text_there_are_no_terms_and_it_is_told(made: tuple[Path, Path]) -> None:
    evaluation = evaluate(made[0])
    assert evaluation.terms is None and evaluation.claim
    assert any(note.startswith("terms: there is no general text") for note in evaluation.notes)
    # What needs none is there.
    assert evaluation.domain is not None and evaluation.domain.pseudo_log_likelihood is not None
    assert [example.why for example in evaluation.examples] == ["random"] * len(evaluation.examples)
    assert len(evaluation.examples) > 5


def test_where_nothing_is_held_out_nothing_is_claimed(tiny_bert: Path, tmp_path: Path) -> None:
    settings = CorpusSettings.model_validate({"sources": str(_documents(tmp_path / "docs", 1)), "held_out": 0.4})
    build_corpus(settings, tmp_path / "corpus")
    training = {"max_steps": 1, "save_strategy": "no"}
    pretrain(str(tiny_bert), tmp_path / "corpus", tmp_path / "run", max_length=32, training=training)
    evaluation = evaluate(tmp_path / "run")
    assert evaluation.domain is None and not evaluation.claim
    assert any("nothing is held out" in note for note in evaluation.notes)
    assert evaluation.verdict is not None
    assert evaluation.verdict.to_json()["domain"]["reasons"] == ["nothing_held_out"]
    # Probes need no held-out text.
    (tmp_path / "probes.txt").write_text("the [MASK] is new\n")
    assert len(evaluate(tmp_path / "run", probes=tmp_path / "probes.txt").probes) == 1


def test_only_one_model_is_in_memory_at_a_time(made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import gc
    import weakref

    from acclimate.evaluation import evaluate as module

    alive: list[weakref.ref[Any]] = []
    ready = module.ready

    def watched(model: Any) -> Any:
        gc.collect()
        assert not any(reference() is not None for reference in alive), "the model before is still there"
        alive.append(weakref.ref(model))
        return ready(model)

    monkeypatch.setattr(module, "ready", watched)
    evaluate(made[0], general=made[1])
    assert len(alive) == 2
