"""What `corpus inspect` reports."""

from __future__ import annotations

import json

from acclimate.corpus.inspection import describe_lengths, inspect_corpus, sample_documents, sample_dropped
from tests.corpus.conftest import Build, Write


def test_lengths(build: Build, write: Write) -> None:
    texts = ["x" * length for length in range(1, 102)]  # 1 to 101 characters
    lengths = describe_lengths(build(write("a.json", json.dumps(texts))))
    assert lengths == {
        "mean": 51.0, "min": 1, "5%": 6, "25%": 26, "median": 51, "75%": 76, "95%": 96, "max": 101,
    }  # fmt: skip


def test_samples_are_spread_evenly(build: Build, write: Write) -> None:
    corpus = build(write("a.json", json.dumps([str(number) for number in range(10)])), held_out=0)
    # the middles of two halves, and of as many parts as there are documents
    assert [document.text for document in sample_documents(corpus, 2)] == ["2", "7"]
    assert len(sample_documents(corpus, 20)) == 10
    assert sample_documents(corpus, 0) == []


def test_dropped_documents_are_shown_by_reason(build: Build, write: Write) -> None:
    corpus = build({"path": str(write("a.jsonl", '"a"\n"a"\n"a"\n{"b"\n'))})
    shown = sample_dropped(corpus, 1)
    assert [(document["id"], document["reason"]) for document in shown] == [
        ("a.jsonl#L2", "exact_duplicate"),
        ("a.jsonl#L4", "broken_json"),
    ]
    assert shown[1]["detail"] == "line 4: Expecting ':' delimiter at column 5"


def test_the_whole_report_is_json(build: Build, write: Write) -> None:
    corpus = build(write("a.json", '["a", "b"]'))
    report = json.loads(json.dumps(inspect_corpus(corpus)))
    assert set(report) == {
        "folder", "fingerprint", "created", "sources", "ledger", "splits", "lengths", "skipped_files", "broken",
        "messages", "samples",
    }  # fmt: skip
    assert report["ledger"]["documents"] == {"in": 2, "kept": 2, "dropped": 0}
    assert report["splits"]["train"] == {"documents": 1, "characters": 1}
