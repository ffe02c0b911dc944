"""Probes: how they are read, asked and put side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acclimate.errors import DataError, SourceError
from acclimate.evaluation.probes import (
    ProbeAnswers,
    ProbeQuestion,
    ask,
    asker_of,
    compare,
    read_probes,
    why_not_asked,
)
from acclimate.models.families import family
from acclimate.models.loading import decoder_start_id
from acclimate.objectives import make_objective
from acclimate.objectives.base import Objective
from acclimate.scoring.answers import Answer, LeftToRightAsker, MaskedAsker, SpanAsker
from acclimate.tokens.added import add_missing_tokens
from tests.models.tiny import tiny_model
from tests.objectives.test_matrix import matrix_tokenizer


def written(folder: Path, *lines: str, name: str = "probes.txt") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_lines_of_text(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "\ufeff# 雪",
        "撒盐空中差可拟，未若柳絮因[MASK]起\t风",
        "",
        "今天已经星期<mask>了",
        "  [M] runs [M] and [M].\tAKS\t\tpods ",
    )
    assert read_probes(path, mask="[M]") == [
        ProbeQuestion("撒盐空中差可拟，未若柳絮因[MASK]起", ("风",), "probes.txt:2"),
        ProbeQuestion("今天已经星期[MASK]了", (None,), "probes.txt:4"),
        ProbeQuestion("[MASK] runs [MASK] and [MASK].", ("AKS", None, "pods"), "probes.txt:5"),
    ]


def test_json_lines(tmp_path: Path) -> None:
    records = [
        {"text": "# [MASK]", "expected": "Azure"},
        {"text": "a [MASK] b [MASK]", "expected": [None, "x"]},
        {"text": "a [MASK]"},
    ]
    path = written(tmp_path, *map(json.dumps, records), name="probes.jsonl")
    assert [(question.text, question.expected) for question in read_probes(path)] == [
        ("# [MASK]", ("Azure",)),
        ("a [MASK] b [MASK]", (None, "x")),
        ("a [MASK]", (None,)),
    ]


def test_other_ways_to_write_a_blank(tmp_path: Path) -> None:
    path = written(tmp_path, "a <extra_id_0> b <extra_id_11>\tx\ty")
    assert read_probes(path)[0].text == "a [MASK] b [MASK]"
    path = written(tmp_path, "a [GAP]")
    assert read_probes(path, mask="[GAP]")[0].text == "a [MASK]"
    with pytest.raises(DataError, match="no mask in"):
        read_probes(path)


def test_only_line_feeds_part_lines(tmp_path: Path) -> None:
    # U+2028, U+0085 and a form feed may stand within a sentence; JSON lets the first two stand as they are.
    (tmp_path / "p.txt").write_bytes("a\u2028b\x0c [MASK]\tc\r\nd [MASK]\r\n".encode())
    (tmp_path / "p.jsonl").write_text('{"text": "a\u2028\x85 [MASK]"}\n')
    found = read_probes([tmp_path / "p.txt", tmp_path / "p.jsonl"])
    assert [one.source for one in found] == ["p.txt:1", "p.txt:2", "p.jsonl:1"]
    assert [one.expected for one in found] == [("c",), (None,), (None,)]


def test_files_without_a_probe_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no probe in .*a\.txt, .*b\.txt: write a sentence a line"):
        read_probes([written(tmp_path, "", name="a.txt"), written(tmp_path, "# only", "", name="b.txt")])


def test_several_files(tmp_path: Path) -> None:
    paths = [written(tmp_path, "a [MASK]", name="one.txt"), written(tmp_path, '{"text": "b [MASK]"}', name="two.jsonl")]
    assert [question.source for question in read_probes(map(str, paths))] == ["one.txt:1", "two.jsonl:1"]


def test_masks_side_by_side_of_one_answer_are_one_blank(tmp_path: Path) -> None:
    path = written(tmp_path, "之[MASK][MASK]者\t大王", "之[MASK][MASK]者\t大\t王", "之[MASK][MASK]者")
    assert [(question.text, question.expected) for question in read_probes(path)] == [
        ("之[MASK]者", ("大王",)),
        ("之[MASK][MASK]者", ("大", "王")),
        ("之[MASK][MASK]者", (None, None)),
    ]


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    text = written(tmp_path, "no mask", "good [MASK]", "a [MASK]\tb\tc")
    records = written(
        tmp_path,
        "{broken",
        "[1]",
        '{"text": "a [MASK]", "answer": "b"}',
        '{"text": "a [MASK]", "expected": 3}',
        name="probes.jsonl",
    )
    with pytest.raises(DataError) as caught:
        read_probes([text, records])
    lines = str(caught.value).splitlines()
    assert lines[0] == "probes that cannot be asked:"
    assert lines[1] == "  - probes.txt:1: there is no mask in 'no mask'; write [MASK] where the answer belongs"
    assert lines[2].startswith("  - probes.txt:3: 2 answers for 1 blank")
    assert [line.split(":")[1] for line in lines[3:]] == ["1", "2", "3", "4"]
    assert "`answer` is unknown" in lines[5]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        read_probes(tmp_path / "absent.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 [MASK]")
    with pytest.raises(SourceError, match="cannot be read"):
        read_probes(tmp_path / "latin.txt")


# ---- asking ----------------------------------------------------------------------------------------------------------

WAYS: list[tuple[str, str, dict[str, Any], type]] = [
    ("mlm", "bert", {}, MaskedAsker),
    ("mlm_sop", "albert", {}, MaskedAsker),
    ("prefix_lm", "bert", {}, MaskedAsker),
    ("mntp", "llama", {}, MaskedAsker),
    ("clm", "gpt2", {}, LeftToRightAsker),
    ("prefix_lm", "llama", {}, LeftToRightAsker),
    ("prefix_lm", "llama", {"variant": "blank_infilling"}, SpanAsker),
    ("span_denoising", "t5", {}, SpanAsker),
    ("text_infilling", "bart", {}, SpanAsker),
    ("mass", "bart", {}, SpanAsker),
]
_AUTO = {
    "masked-lm": "AutoModelForMaskedLM",
    "pretraining": "AutoModelForPreTraining",
    "causal-lm": "AutoModelForCausalLM",
    "seq2seq-lm": "AutoModelForSeq2SeqLM",
}


def ready(name: str, model_type: str, options: dict[str, Any]) -> tuple[Any, Objective, Any]:
    """A tiny model of an objective, and what belongs to it."""
    config = tiny_model(model_type, "AutoModel").config
    kind = family(config)
    tokenizer = matrix_tokenizer(kind)
    needs = ("blanks", "mask") if "variant" in options else ()
    tokenizer, _ = add_missing_tokens(tokenizer, needs)
    objective = make_objective(
        name, options, tokenizer, max_length=32, seed=0, family=kind, decoder_start_id=decoder_start_id(config)
    )
    model = tiny_model(model_type, _AUTO[objective.head])
    if len(tokenizer) > config.vocab_size:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return model.eval(), objective, tokenizer


@pytest.mark.parametrize(("name", "model_type", "options", "way"), WAYS)
def test_every_objective_is_asked_in_its_way(name: str, model_type: str, options: dict[str, Any], way: type) -> None:
    model, objective, tokenizer = ready(name, model_type, options)
    assert type(asker_of(model, objective, tokenizer)) is way
    questions = [ProbeQuestion("w5 w6 [MASK]", ("w7",), "p:1"), ProbeQuestion("w5 [MASK]", (None,), "p:2")]
    first, second = ask(model, objective, tokenizer, questions)
    assert (first.problem, second.problem) == (None, None)
    (blank,) = first.blanks
    # A random BART writes the rest of the text in its own way, so that nothing can be told of the blank.
    assert (0 if name == "text_infilling" else 1) <= len(blank.guesses) <= 5
    assert all(0 < probability <= 1 for _, probability in blank.guesses)
    assert way is SpanAsker or blank.rank is not None
    assert second.blanks[0].rank is None


def test_a_problem_of_one_question_is_told_with_it() -> None:
    model, objective, tokenizer = ready("clm", "gpt2", {})
    questions = [ProbeQuestion("w5 [MASK] w6 [MASK]", (None, "w7"), "p:1"), ProbeQuestion("w5 [MASK]", ("w7",), "p:2")]
    first, second = ask(model, objective, tokenizer, questions)
    assert first.problem is not None and "whose answer is not given" in first.problem
    assert second.problem is None


def test_a_discriminator_is_not_asked() -> None:
    objective = make_objective("rtd", {}, matrix_tokenizer("encoder"), max_length=32, seed=0)
    (found,) = ask(None, objective, None, [ProbeQuestion("w5 [MASK]", ("w6",), "p:1")])  # type: ignore[arg-type]
    assert found == ProbeAnswers(problem=why_not_asked(objective))
    assert found.problem is not None and "fills no blanks" in found.problem
    assert why_not_asked(make_objective("mlm", {}, matrix_tokenizer("encoder"), max_length=32, seed=0)) is None


# ---- side by side ----------------------------------------------------------------------------------------------------


def test_before_and_after_side_by_side() -> None:
    questions = [
        ProbeQuestion("a [MASK] b [MASK]", ("x", None), "p:1"),
        ProbeQuestion("c [MASK]", (None,), "p:2"),
    ]
    before = [
        ProbeAnswers((Answer((("y", 0.5), ("x", 0.25)), 2, 0.25), Answer((("z", 0.5),)))),
        ProbeAnswers((Answer((("z", 0.5),)),)),
    ]
    after = [
        ProbeAnswers((Answer((("x", 0.75),), 1, 0.75), Answer((("w", 0.5),)))),
        ProbeAnswers(problem="too long"),
    ]
    first, second = (probe.to_json() for probe in compare(questions, before, after))
    assert first == {
        "text": "a [MASK] b [MASK]",
        "source": "p:1",
        "expected": ["x", ""],
        "blanks": [
            {
                "before": [{"text": "y", "probability": 0.5}, {"text": "x", "probability": 0.25}],
                "after": [{"text": "x", "probability": 0.75}],
                "expected": "x",
                "rank_before": 2,
                "rank_after": 1,
                "probability_before": 0.25,
                "probability_after": 0.75,
            },
            {
                "before": [{"text": "z", "probability": 0.5}],
                "after": [{"text": "w", "probability": 0.5}],
                "expected": None,
                "rank_before": None,
                "rank_after": None,
                "probability_before": None,
                "probability_after": None,
            },
        ],
    }
    assert (second["expected"], second["note"], second["blanks"][0]["after"]) == (None, "too long", [])
