"""The demo, with few steps: the documents are real, the rest is as small as it can be."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer, BertModel

from acclimate.jobs import demo as jobs_demo
from acclimate.jobs.demo import demo, docstrings, help_topics


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("BASE_STEPS", 2),
        ("DOMAIN_STEPS", 2),
        ("GIVEN_MODEL_STEPS", 2),
        ("HEAD_WARMUP_STEPS", 2),
        ("DOMAIN_CHARACTERS", 60_000),
    ):
        monkeypatch.setattr(jobs_demo, name, value)
    monkeypatch.setattr(jobs_demo, "MAX_LENGTH", 64)


def test_the_whole_job_and_the_same_again(tmp_path: Path) -> None:
    result = demo(tmp_path / "demo")
    assert result.evaluation.claim
    assert result.evaluation.domain is not None and result.evaluation.general is not None
    assert len(result.filled) == 4
    assert all(len(before) == len(after) == 3 for _, before, after in result.filled)
    assert demo(tmp_path / "demo").run.summary == result.run.summary


def test_a_given_model_whose_head_is_new(tiny_bert: Path, tmp_path: Path) -> None:
    headless = tmp_path / "headless"
    BertModel.from_pretrained(tiny_bert, add_pooling_layer=False).save_pretrained(headless)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(headless)
    result = demo(tmp_path / "demo", model=str(headless))
    assert result.run.manifest["model"]["head_warmup"]["steps"] > 0
    # Another model in the same folder is another run.
    assert demo(tmp_path / "demo", model=str(tiny_bert)).run.folder != result.run.folder


def test_documents_are_real_and_found_without_importing_them() -> None:
    names = [name for name, _ in docstrings()]
    assert any(name.startswith("torch.") for name in names) and any(name.startswith("transformers.") for name in names)
    assert len(dict(help_topics())) > 50
