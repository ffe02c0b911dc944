"""Another model in the place of the one before training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoModel, AutoTokenizer, BertConfig, BertLMHeadModel

from acclimate.artifacts import read_json, write_json
from acclimate.corpus import CorpusSettings, build_corpus
from acclimate.errors import CheckpointError, ModelError
from acclimate.evaluation.evaluate import evaluate
from acclimate.evaluation.opponents import cut_alike, file_name
from acclimate.jobs.pretrain import pretrain
from acclimate.training.run_folder import open_run
from tests.evaluation.test_evaluate import _documents


@pytest.fixture(scope="module")
def runs(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two finished runs on one corpus, of 1 and of 60 steps."""
    folder = tmp_path_factory.mktemp("opponents")
    settings = CorpusSettings.model_validate({"sources": str(_documents(folder / "docs", 40)), "held_out": 0.4})
    build_corpus(settings, folder / "corpus")
    for name, steps in (("short", 1), ("long", 60)):
        training = {"max_steps": steps, "learning_rate": 5e-3, "per_device_train_batch_size": 8, "save_strategy": "no"}
        pretrain(str(tiny_bert), folder / "corpus", folder / name, max_length=32, training=training)
    return folder / "short", folder / "long"


def test_a_run_against_another_on_the_same_corpus(runs: tuple[Path, Path], tiny_bert: Path) -> None:
    short, long = runs
    own = evaluate(long)
    before = (long / "evaluation" / "evaluation.json").read_text()
    found = evaluate(long, against=short)
    assert found.before == str(short) and found.claim and found.notes == own.notes
    assert found.domain is not None and own.domain is not None
    # The same questions, so that the run's own figures are the same; the other's are those of its own evaluation.
    assert found.domain.after == own.domain.after
    theirs = evaluate(short).domain
    assert theirs is not None and found.domain.before["loss"] == pytest.approx(theirs.after["loss"], rel=1e-5)
    assert found.verdict is not None
    told = found.verdict.to_json()
    assert told["domain"]["outcome"] == "helped" and told["advice"] == []
    # Kept beside the run's own evaluation, which stays as it is.
    assert (long / "evaluation" / "evaluation.json").read_text() == before
    assert json.loads((long / "evaluation" / found.file).read_text()) == found.to_json()
    assert found.file == f"against-{short.parent.name}-short.json"
    # Of a model from elsewhere nobody knows what it has read.
    (note,) = {*evaluate(long, against=tiny_bert).notes} - {*own.notes}
    assert "trained on what is held out here is not known" in note


def test_other_tokens_are_compared_by_bits_per_byte(runs: tuple[Path, Path], tiny_bert: Path, tmp_path: Path) -> None:
    other = shutil.copytree(tiny_bert, tmp_path / "other")
    told = json.loads((other / "tokenizer.json").read_text())
    vocabulary = told["model"]["vocab"]
    # A word that is one token in the run's tokenizer is cut into characters by this one.
    vocabulary["@@cluster"] = vocabulary.pop("cluster")
    (other / "tokenizer.json").write_text(json.dumps(told))
    assert not cut_alike(*(AutoTokenizer.from_pretrained(folder) for folder in (other, tiny_bert)))
    found = evaluate(runs[1], against=other)
    assert found.domain is not None and found.domain.headline.difference is None
    assert found.domain.headline.bits_per_byte_difference is not None
    assert any("bits per byte" in note for note in found.notes)


def test_tokenizers_that_only_pad_otherwise_cut_alike(tiny_bert: Path) -> None:
    one, other = (AutoTokenizer.from_pretrained(tiny_bert) for _ in range(2))
    other("the service", padding="max_length", max_length=8, truncation=True)
    assert cut_alike(one, other)


def test_a_model_without_the_head_is_refused(runs: tuple[Path, Path], tiny_bert: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    AutoModel.from_pretrained(tiny_bert).save_pretrained(bare)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(bare)
    with pytest.raises(ModelError, match=r"bare has no head for `mlm`"):
        evaluate(runs[1], against=bare)
    with pytest.raises(ModelError):
        evaluate(runs[1], against=tmp_path / "nowhere")


def test_the_run_itself_and_unfinished_ones_are_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    _, long = runs
    with pytest.raises(ModelError, match="is the run itself; name another"):
        evaluate(long, against=f"{long.parent}/short/../long")
    with pytest.raises(ModelError, match="`against` is empty"):
        evaluate(long, against="")
    other = shutil.copytree(runs[0], tmp_path / "other")
    write_json(other / "manifest.json", {**read_json(other / "manifest.json"), "status": "running"})
    with pytest.raises(CheckpointError, match="is running, not finished"):
        evaluate(long, against=other)


def test_a_model_of_another_family_is_refused(runs: tuple[Path, Path], tiny_bert: Path, tmp_path: Path) -> None:
    # Its head would fit: BERT as a decoder has the very same one.
    config = BertConfig.from_pretrained(tiny_bert, is_decoder=True)
    BertLMHeadModel(config).save_pretrained(tmp_path / "decoder")
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path / "decoder")
    with pytest.raises(ModelError, match="decoder is of the family `decoder`, that of .*long of `encoder`"):
        evaluate(runs[1], against=tmp_path / "decoder")


def test_a_run_of_another_objective_is_told(runs: tuple[Path, Path], tmp_path: Path) -> None:
    other = shutil.copytree(runs[0], tmp_path / "other")
    manifest = read_json(other / "manifest.json")
    write_json(other / "manifest.json", {**manifest, "objective": {**manifest["objective"], "name": "mlm_nsp"}})
    notes = evaluate(runs[1], against=other).notes
    assert any("was trained by `mlm_nsp`, and is asked by `mlm` here" in note for note in notes)


def test_names_of_files(runs: tuple[Path, Path], tiny_bert: Path) -> None:
    from acclimate.evaluation.models import own_way
    from acclimate.evaluation.opponents import model_before, other_model
    from acclimate.tokens.tokenizers import load_tokenizer

    run = open_run(runs[1])
    after = own_way(run, load_tokenizer(run.path))
    assert file_name(model_before(run, after)) == "evaluation.json"
    assert "/" not in file_name(other_model(run, after, str(tiny_bert)))
