"""Looking at batches: the rows of training and of evaluation, from a recipe, with nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, PreTrainedTokenizerFast

from acclimate.errors import AcclimateError, DataError, ModelError, RecipeError
from acclimate.jobs.inspect_batch import Inspection, count_exposure, inspect_batch
from acclimate.jobs.objectives import list_objectives
from acclimate.jobs.recipes import Recipe, make_recipe
from acclimate.objectives import OBJECTIVES
from acclimate.training.stream import keys
from tests.objectives.tiny import corpus_folder, tokenizer

SIZES: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
BERT: dict[str, Any] = {"model_type": "bert", "max_position_embeddings": 64, **SIZES}
T5_SIZES: dict[str, Any] = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
CONFIGS: dict[str, dict[str, Any]] = {
    "mlm": BERT,
    "mlm_nsp": BERT,
    "mlm_sop": {**BERT, "model_type": "albert", "embedding_size": 8},
    "rtd": {**BERT, "model_type": "electra", "embedding_size": 8},
    "clm": {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64},
    "prefix_lm": {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64},
    "mntp": {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64},
    "span_denoising": {"model_type": "t5", "decoder_start_token_id": 0, **T5_SIZES},
    "text_infilling": {"model_type": "t5", "decoder_start_token_id": 0, **T5_SIZES},
    "mass": {"model_type": "t5", "decoder_start_token_id": 0, **T5_SIZES},
}
_PLAIN = ("clm", "prefix_lm", "mntp", "span_denoising", "text_infilling", "mass")


def plain_tokenizer() -> PreTrainedTokenizerFast:
    """As `tokenizer`, of a decoder or encoder-decoder: texts end with `</s>` and there is nothing else."""
    names = ["<pad>", "<unk>", "</s>", *(f"w{index}" for index in range(5, 100)), "<extra_id_1>", "<extra_id_0>"]
    backend = Tokenizer(models.WordLevel({name: index for index, name in enumerate(names)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="</s>",
        additional_special_tokens=["<extra_id_0>", "<extra_id_1>"],
    )


@pytest.fixture(scope="module")
def models_(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each objective with a configuration and a tokenizer: weights are not needed."""
    folder = tmp_path_factory.mktemp("models")
    for name, values in CONFIGS.items():
        used = plain_tokenizer() if name in _PLAIN else tokenizer()
        AutoConfig.for_model(**{**values, "vocab_size": len(used)}).save_pretrained(folder / name)
        used.save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{token}" for token in rng.integers(5, 100, size=rng.integers(3, 40))) for _ in range(60)]
    return corpus_folder(tmp_path_factory.mktemp("corpora"), texts, held_out=0.2)


@pytest.fixture
def recipe(models_: Path, corpus: Path, tmp_path: Path) -> Any:
    """A recipe for an objective, with more settings."""

    def make(name: str, **settings: Any) -> Recipe:
        data = {
            "model": str(models_ / name),
            "corpus": str(corpus),
            "objective": name,
            "max_length": 16,
            "output_dir": str(tmp_path / "run"),
            **settings,
        }
        return make_recipe(data)

    return make


class Heard:
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def progress(self, progress: Any) -> None:
        return None


def original(inspection: Inspection) -> list[list[str]]:
    """The words of each row as they were before corruption."""
    return [
        [token.label_piece or token.piece for token in row.sides["row"] if token.kind == "text"]
        for row in inspection.rows
    ]


# ---- rows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_shows_its_rows_and_leaves_nothing(
    name: str, recipe: Any, corpus: Path, tmp_path: Path
) -> None:
    before = {path for path in corpus.iterdir()}
    found = inspect_batch(recipe(name), rows=3)
    assert found.objective == name and found.model_type == CONFIGS[name]["model_type"]
    assert found.packed == (name not in ("mlm_nsp", "mlm_sop"))
    assert len(found.rows) == 3
    sides = {"encoder", "decoder"} if OBJECTIVES[name].families == ("encoder-decoder",) else {"row"}
    for row in found.rows:
        assert row.sides.keys() == sides
        assert row.num_tokens + row.num_padding == 16
        assert len(row.sides["encoder" if "encoder" in sides else "row"]) == row.num_tokens
        assert any(token.why for tokens in row.sides.values() for token in tokens)
        assert row.pieces and all(piece.documents for piece in row.pieces)
        json.dumps(found.to_json())
    # Only the corpus's tokens are kept, beside it.
    assert not (tmp_path / "run").exists()
    assert {path for path in corpus.iterdir()} - before <= {corpus / "tokens"}


def test_the_rows_are_those_that_training_begins_with(recipe: Any) -> None:
    found = inspect_batch(recipe("mlm", seed=5), rows=4)
    assert [row.key for row in found.rows] == keys(0, 4, found.num_rows, 5).tolist()
    # The same rows by their keys, in another epoch too: the same words, chosen anew.
    number = found.rows[0].row
    here = inspect_batch(recipe("mlm", seed=5), key=number)
    later = inspect_batch(recipe("mlm", seed=5), key=number + 3 * found.num_rows)
    assert original(here)[0] == original(found)[0] == original(later)[0]
    assert here.rows[0].sides == found.rows[0].sides
    assert (later.rows[0].epoch, later.rows[0].row) == (3, number)
    assert later.rows[0].sides != here.rows[0].sides


def test_held_out_rows_are_masked_as_they_are_scored(recipe: Any) -> None:
    # Whatever the run's seed is.
    one = inspect_batch(recipe("mlm", seed=1), rows=2, held_out=True)
    other = inspect_batch(recipe("mlm", seed=2), rows=2, held_out=True)
    assert one.held_out and [row.key for row in one.rows] == [0, 1]
    assert [row.sides for row in one.rows] == [row.sides for row in other.rows]
    train = inspect_batch(recipe("mlm", seed=1), rows=2)
    shown = {document for row in one.rows for piece in row.pieces for document in piece.documents}
    assert not shown & {document for row in train.rows for piece in row.pieces for document in piece.documents}
    with pytest.raises(RecipeError, match="there is no key 1000: the held-out documents have"):
        inspect_batch(recipe("mlm"), key=1000, held_out=True)


def test_a_pair_shows_the_right_answer(recipe: Any) -> None:
    rows = inspect_batch(recipe("mlm_sop"), rows=20).rows
    assert {row.verdicts["sop"] for row in rows} == {"in order", "swapped"}
    for row in rows:
        first, second = row.pieces
        assert (first.start < second.start) == (row.verdicts["sop"] == "in order")


def test_replacements_are_not_known_before_training(recipe: Any) -> None:
    found = inspect_batch(recipe("rtd"))
    assert "drawn while training" in found.notes[0]
    for token in found.rows[0].sides["row"]:
        assert (token.draw is not None) == (token.why == "mask")
        assert token.draw is None or 0 <= token.draw < 1
    assert inspect_batch(recipe("mlm")).notes == ()


def test_one_text_a_row_where_packing_is_off_or_not_right(recipe: Any, models_: Path, tmp_path: Path) -> None:
    off = inspect_batch(recipe("mlm", packing=False), rows=5)
    assert not off.packed and all(len(row.pieces) == 1 for row in off.rows)
    # This type mixes neighbouring tokens, which no mask prevents.
    folder = tmp_path / "convbert"
    AutoConfig.for_model("convbert", vocab_size=100, embedding_size=16, **SIZES).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    mixing = inspect_batch(recipe("mlm", model=str(folder)), rows=5)
    assert not mixing.packed and all(len(row.pieces) == 1 for row in mixing.rows)
    # A generator in which texts are not kept apart is enough.
    assert inspect_batch(recipe("rtd", objective={"name": "rtd", "generator": str(models_ / "rtd")})).packed
    assert not inspect_batch(recipe("rtd", objective={"name": "rtd", "generator": str(folder)})).packed


def test_replayed_rows_have_negative_keys(recipe: Any, tmp_path: Path) -> None:
    general = tmp_path / "general.txt"
    general.write_text(" ".join(f"w{number}" for number in range(5, 100)))
    settings = {"share": 0.5, "sources": str(general)}
    found = inspect_batch(recipe("mlm", replay=settings), rows=6)
    assert sum(row.key < 0 for row in found.rows) == 3
    (row,) = inspect_batch(recipe("mlm", replay=settings), key=-1).rows
    assert (row.key, row.epoch, row.row) == (-1, 0, 0)
    assert row.pieces[0].documents[0].startswith("general.txt")
    with pytest.raises(RecipeError, match="key -1 is of replayed general text, and nothing is replayed"):
        inspect_batch(recipe("mlm"), key=-1)


def test_a_corpus_and_a_tokenizer_are_made_for_the_time(recipe: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.txt"
    page.write_text("the model of the cloud runs in the region that you select " * 20)
    settings = {
        "model": {"config": BERT},
        "tokenizer": {"train": "wordpiece", "vocab_size": 60},
        "corpus": {"sources": [str(page)]},
    }
    heard = Heard()
    found = inspect_batch(recipe("mlm", **settings), listener=heard)
    assert found.rows[0].pieces[0].documents == ("page.txt",)
    assert any("`corpus.path`" in message for message in heard.messages)
    assert {path.name for path in tmp_path.iterdir()} == {"page.txt"}
    with pytest.raises(DataError, match="too few documents to hold any out"):
        inspect_batch(recipe("mlm", **settings), held_out=True)


def test_a_file_or_a_run_folder_is_a_recipe(recipe: Any, tmp_path: Path) -> None:
    from acclimate.jobs.recipes import to_yaml

    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "recipe.yaml").write_text(to_yaml(recipe("mlm")))
    by_file = inspect_batch(tmp_path / "done" / "recipe.yaml", ["max_length=12"])
    by_folder = inspect_batch(tmp_path / "done", ["max_length=12"])
    assert by_file.max_length == 12
    assert by_file.to_json() == by_folder.to_json()


def test_what_does_not_fit_is_refused(recipe: Any) -> None:
    with pytest.raises(ModelError, match="`clm` needs decoder models"):
        inspect_batch(recipe("mlm", objective="clm"))
    with pytest.raises(AcclimateError, match="nowhere"):
        inspect_batch("nowhere.yaml")


def test_attention_is_written_as_lines_of_digits(recipe: Any) -> None:
    data = inspect_batch(recipe("clm")).to_json()["rows"][0]
    lines = data["attention"]["row"]
    assert len(lines) == data["num_tokens"] and lines[0] == "1" + "0" * (len(lines) - 1)


# ---- the ledger -----------------------------------------------------------------------------------------------------


def test_the_ledger_counts_the_whole_corpus(recipe: Any) -> None:
    found = count_exposure(recipe("mlm"), epochs=2)
    assert found.histograms()["text"]["inputs"] == {2: int((~found.is_joint).sum())}
    held_out = count_exposure(recipe("mlm"), held_out=True)
    assert 0 < len(held_out.inputs) < len(found.inputs)


# ---- the table of objectives ----------------------------------------------------------------------------------------


def test_the_table_has_every_objective() -> None:
    table = list_objectives()
    assert [entry.name for entry in table.objectives] == list(OBJECTIVES)
    assert all(entry.fits is None and entry.why_not is None for entry in table.objectives)
    assert (table.model, table.own) == (None, None)
    by_name = {entry.name: entry for entry in table.objectives}
    assert by_name["rtd"].parts == {"generator": 1.0, "discriminator": 50.0}


@pytest.mark.parametrize(
    ("name", "fitting", "own", "why"),
    [
        ("mlm", {"mlm", "mlm_nsp", "rtd"}, "mlm", "bert models are encoders"),
        ("mlm_sop", {"mlm", "mlm_sop", "rtd"}, "mlm_sop", "albert models were made with it"),
        ("clm", {"clm"}, "clm", "gpt2 models are decoders"),
        ("span_denoising", {"span_denoising"}, "span_denoising", "t5 models were made with it"),
    ],
)
def test_what_fits_a_model_is_told(name: str, fitting: set[str], own: str, why: str, models_: Path) -> None:
    table = list_objectives(str(models_ / name))
    assert {entry.name for entry in table.objectives if entry.fits} >= fitting
    assert (table.own, table.why_own) == (own, why)
    assert all((entry.why_not is None) == entry.fits for entry in table.objectives)


def test_a_discriminator_is_known_by_its_class(models_: Path, tmp_path: Path) -> None:
    config = AutoConfig.from_pretrained(models_ / "rtd")
    config.architectures = ["ElectraForPreTraining"]
    config.save_pretrained(tmp_path / "electra")
    table = list_objectives(str(tmp_path / "electra"))
    assert (table.own, table.why_own) == ("rtd", "the checkpoint was saved from ElectraForPreTraining")


def test_where_nothing_fits_that_is_told(tmp_path: Path) -> None:
    AutoConfig.for_model("led", d_model=16).save_pretrained(tmp_path / "led")
    table = list_objectives(str(tmp_path / "led"))
    assert table.own is None and table.why_own is not None and "no objective here fits" in table.why_own
    assert not any(entry.fits for entry in table.objectives)
