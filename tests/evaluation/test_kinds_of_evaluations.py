"""Every objective of the table is evaluated in depth: what fits it is there, and what does not is absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acclimate.corpus import CorpusSettings, build_corpus
from acclimate.evaluation.evaluate import evaluate
from acclimate.evaluation.results import Evaluation
from acclimate.jobs.pretrain import pretrain
from acclimate.models.families import Family
from acclimate.objectives import OBJECTIVES
from tests.models.tiny import tiny_config
from tests.objectives.test_matrix import matrix_tokenizer

# A model type for each objective and its family; every row of the table has one.
KINDS: dict[str, tuple[str, Family]] = {
    "mlm": ("bert", "encoder"),
    "mlm_nsp": ("bert", "encoder"),
    "mlm_sop": ("albert", "encoder"),
    "rtd": ("electra", "encoder"),
    "clm": ("llama", "decoder"),
    "prefix_lm": ("llama", "decoder"),
    "mntp": ("llama", "decoder"),
    "span_denoising": ("t5", "encoder-decoder"),
    "text_infilling": ("bart", "encoder-decoder"),
    "mass": ("bart", "encoder-decoder"),
}
VARIANTS: list[tuple[str, dict[str, Any], str, Family]] = [
    *((name, {}, *kind) for name, kind in KINDS.items()),
    ("prefix_lm", {"variant": "blank_infilling"}, "llama", "decoder"),
    ("prefix_lm", {}, "bert", "encoder"),
]
FILL_MASKS = ("mlm", "mlm_nsp", "mlm_sop", "rtd", "mntp")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corpus in which `w50 w51` and `w52` come often, and general text without them, of sentences."""
    folder = tmp_path_factory.mktemp("texts")
    for name, own in (("docs", "w50 w51 w{0} w52 w{1}"), ("general", "w{0} w60 w{1} w61")):
        (folder / name).mkdir()
        for number in range(24):
            numbers = [(5 + (number * 7 + step) % 30, 35 + (number + step * 3) % 14) for step in range(24)]
            text = ". ".join(own.format(*pair) for pair in numbers)
            (folder / name / f"{number}.txt").write_text(f"{text}.\n")
        settings = {"sources": str(folder / name), "held_out": 0.5, "min_chars": 0}
        build_corpus(CorpusSettings.model_validate(settings), folder / f"{name}-corpus")
    return folder / "docs-corpus", folder / "general-corpus"


def test_every_objective_is_here() -> None:
    assert KINDS.keys() == OBJECTIVES.keys()


@pytest.mark.parametrize(("name", "options", "model_type", "kind"), VARIANTS)
def test_an_evaluation_in_depth(
    name: str, options: dict[str, Any], model_type: str, kind: Family, texts: tuple[Path, Path], tmp_path: Path
) -> None:
    matrix_tokenizer(kind).save_pretrained(tmp_path / "tokenizer")
    config = tiny_config(model_type).to_diff_dict()
    config = {key: value for key, value in config.items() if key not in ("vocab_size", "transformers_version")}
    pretrain(
        {"config": {"model_type": model_type, **config}},
        texts[0],
        tmp_path / "run",
        objective={"name": name, **options},
        tokenizer=str(tmp_path / "tokenizer"),
        max_length=32,
        training={"max_steps": 2, "save_strategy": "no"},
    )
    (tmp_path / "probes.txt").write_text("w50 [MASK] w7\tw51\n")
    found = evaluate(tmp_path / "run", general=texts[1], probes=tmp_path / "probes.txt")
    _check(found, name if kind != "encoder" or name != "prefix_lm" else "mlm")
    again = json.loads((tmp_path / "run" / "evaluation" / "evaluation.json").read_text())
    assert again == json.loads(json.dumps(found.to_json())) and again["version"] == 2


def _check(found: Evaluation, name: str) -> None:
    fills = name in FILL_MASKS
    for text in (found.domain, found.general):
        assert text is not None
        headline = text.headline
        assert 0 <= headline.before["accuracy"] <= headline.before["accuracy_at_5"] <= 1
        assert (text.pseudo_log_likelihood is not None) == fills
        if text.pseudo_log_likelihood is not None:
            # A model of random weights knows about ln 120 nats a token too little.
            assert -12 < text.pseudo_log_likelihood.before < -1
            assert text.pseudo_log_likelihood.num_units > 5
        assert text.breakdown.document
    assert found.terms is not None
    by_name = {term.term: term for term in found.terms.terms}
    assert {"w50 w51", "w52"} <= by_name.keys() and "w60" not in by_name
    assert by_name["w52"].general_count == 0 and by_name["w52"].domain_count > 200
    assert by_name["w50 w51"].pieces == 2 and found.terms.mean_pieces == 1
    assert by_name["w52"].asked == by_name["w50 w51"].asked == 10
    assert bool(found.examples) == fills
    assert bool(found.continuations) == (name in ("clm", "prefix_lm", "span_denoising", "text_infilling", "mass"))
    for passages in (found.passages["domain"], found.passages["general"]):
        assert len(passages) == 2
        surprises = [token.after for passage in passages for token in passage.tokens if token.after is not None]
        assert len(surprises) > 10 and min(surprises) >= 0
        # The passage is written as it stands in the document.
        assert "".join(token.text for token in passages[0].tokens).startswith("w")
    assert len(found.probes) == 1
    assert found.verdict is not None
