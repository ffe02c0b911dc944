"""Judge pairs: the verdict of the class itself, by name, on texts that are cut as told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AlbertConfig,
    AlbertForPreTraining,
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertForPreTraining,
    PreTrainedTokenizerBase,
)

from acclimate.errors import DataError, ModelError, SourceError
from acclimate.inference.judge_pair import PairJudge, Verdict, judge_pair, load_pair_judge, read_pairs, to_json

A, B = "The cloud model", "new data in the cluster"


@pytest.fixture(scope="module")
def tokenizer(tiny_bert: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(tiny_bert)


def random_bert(tiny_bert: Path) -> BertForPreTraining:
    torch.manual_seed(1)
    model = BertForPreTraining(AutoModelForMaskedLM.from_pretrained(tiny_bert).config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    return model


@pytest.fixture(scope="module")
def nsp_folder(tiny_bert: Path, tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nsp")
    random_bert(tiny_bert).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def judge(nsp_folder: Path) -> PairJudge:
    return load_pair_judge(nsp_folder)


def one(judge: PairJudge | Path, text_a: str, text_b: str) -> Verdict:
    verdict = judge_pair(judge, text_a, text_b)
    assert isinstance(verdict, Verdict)
    return verdict


def reference(judge: PairJudge, *texts: str, **options: Any) -> list[float]:
    with torch.no_grad():
        logits = judge.model(**judge.tokenizer(*texts, return_tensors="pt", **options)).seq_relationship_logits
    return logits.softmax(-1)[0].tolist()


def test_the_probability_is_that_of_class_0(judge: PairJudge) -> None:
    expected = reference(judge, A, B)
    verdict = one(judge, A, B)
    assert verdict.probability == pytest.approx(expected[0], rel=1e-4)
    assert verdict.label == ("next" if expected[0] >= 0.5 else "random") and verdict.num_cut == 0


def test_both_labels_come(judge: PairJudge) -> None:
    # The head's bias decides where its weights are 0: log-odds of 2 for one class, then for the other.
    with torch.no_grad():
        layer = judge.model.cls.seq_relationship
        kept = [value.clone() for value in layer.parameters()]
        layer.weight.zero_()
        try:
            for bias, label, probability in (([2.0, 0.0], "next", 0.8808), ([0.0, 2.0], "random", 0.1192)):
                layer.bias.copy_(torch.tensor(bias))
                verdict = one(judge, A, B)
                assert (verdict.label, round(verdict.probability, 4)) == (label, probability)
        finally:
            for value, old in zip(layer.parameters(), kept, strict=True):
                value.copy_(old)


def test_a_batch_gives_what_single_pairs_give(judge: PairJudge) -> None:
    pairs = [(A, B), ("a", "the node"), (B * 2, A), ("run", "a pod on the node of the cluster")]
    together = judge_pair(judge, pairs, batch_size=3)
    assert isinstance(together, list)
    for pair, verdict in zip(pairs, together, strict=True):
        alone = one(judge, *pair)
        assert verdict.probability == pytest.approx(alone.probability, rel=1e-4)
        assert (verdict.text_a, verdict.text_b, verdict.label) == (*pair, alone.label)


def test_long_texts_are_cut_longest_first_and_that_is_told(judge: PairJudge) -> None:
    # 64 positions less `[CLS]` and two `[SEP]` are 61 tokens. A has 100, B 4: 43 are cut off A.
    text_a, text_b = "data " * 100, "run a new pod"
    verdict = one(judge, text_a, text_b)
    expected = reference(judge, text_a, text_b, truncation="longest_first", max_length=64)
    assert verdict.num_cut == 100 + 4 - 61
    assert verdict.probability == pytest.approx(expected[0], rel=1e-4)
    # Two that are too long end up alike: 30 and 31 tokens.
    ((kept_a, kept_b, num_cut),) = judge._read([("pair 1", ("data " * 100, "node " * 90))])
    assert (sorted(map(len, (kept_a, kept_b))), num_cut) == ([30, 31], 190 - 61)


def test_many_pairs_are_judged_as_each_alone(judge: PairJudge) -> None:
    words = ["the", "cloud", "model", "of", "a", "new", "cluster", "and", "data", "in", "storage"]
    pairs = [
        (" ".join(words[: 1 + number % 11]), " ".join(words[:: 1 + number % 3] * (1 + number % 9)))
        for number in range(40)
    ]
    verdicts = judge_pair(judge, pairs, batch_size=7)
    assert isinstance(verdicts, list)
    assert [(verdict.text_a, verdict.text_b) for verdict in verdicts] == pairs
    for verdict in verdicts:
        alone = one(judge, verdict.text_a, verdict.text_b)
        assert (verdict.label, verdict.num_cut) == (alone.label, alone.num_cut)
        assert verdict.probability == pytest.approx(alone.probability, abs=1e-5)
    assert len({verdict.num_cut for verdict in verdicts}) > 1


def test_words_that_look_like_special_tokens_are_words(judge: PairJudge) -> None:
    ((ids, _, _),) = judge._read([("pair 1", ("[SEP]", "a"))])
    assert judge.tokenizer.sep_token_id not in ids


def test_order_of_segments(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = AlbertConfig(
        vocab_size=len(tokenizer),
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    AlbertForPreTraining(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    judge = load_pair_judge(tmp_path)
    with torch.no_grad():
        logits = judge.model(**tokenizer(A, B, return_tensors="pt")).sop_logits[0]
    verdict = one(judge, A, B)
    assert verdict.probability == pytest.approx(float(logits.softmax(-1)[0]), rel=1e-4)
    assert verdict.label == ("in order" if logits[0] >= logits[1] else "swapped")


def test_labels_are_those_of_the_objectives() -> None:
    from acclimate.inference.judge_pair import _OUTPUTS, _VERDICTS
    from acclimate.objectives import OBJECTIVES

    for name in ("mlm_nsp", "mlm_sop"):
        objective = OBJECTIVES[name]
        for model_type in objective.model_types:
            assert _VERDICTS[_OUTPUTS[model_type]] == objective.parts[1].classes


def test_a_model_without_the_head_would_guess(tiny_bert: Path, shared_data: Path) -> None:
    with pytest.raises(ModelError, match=r"has no head that judges pairs.*--objective mlm_nsp"):
        load_pair_judge(tiny_bert)
    with pytest.raises(ModelError, match="decoder family, which judges no pairs"):
        load_pair_judge(shared_data / "checkpoints" / "stories260K")


def test_a_type_without_such_a_head_is_named(tiny_bert: Path, tmp_path: Path) -> None:
    from transformers import RobertaConfig, RobertaForMaskedLM

    RobertaForMaskedLM(
        RobertaConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=99)
    ).save_pretrained(tmp_path)
    with pytest.raises(
        ModelError, match="'roberta', which has no head that judges pairs; these have one: albert, bert"
    ):
        load_pair_judge(tmp_path)


def test_texts_that_cannot_be_judged(judge: PairJudge) -> None:
    with pytest.raises(DataError, match="text B of the pair is empty"):
        judge_pair(judge, "a", " ")
    with pytest.raises(DataError, match="text A of pair 2 is empty"):
        judge_pair(judge, [(A, B), ("", B)])
    with pytest.raises(DataError, match="text B is missing"):
        judge_pair(judge, A)
    with pytest.raises(DataError, match="there is no pair"):
        judge_pair(judge, [])


def test_json(judge: PairJudge) -> None:
    assert list(to_json(one(judge, A, B))) == ["text_a", "text_b", "label", "probability", "num_cut"]


def test_files_of_pairs(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_bytes("\ufeffa b\tc\r\n\n天\t地\n".encode())
    assert read_pairs(tmp_path / "pairs.tsv") == [("a b", "c"), ("天", "地")]
    (tmp_path / "pairs.csv").write_text('id,sentence_a,sentence_b\n1,"a, b","c\nd"\n')
    assert read_pairs(tmp_path / "pairs.csv") == [("a, b", "c\nd")]


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("a.tsv", b"a\tb\na b\n", DataError, "line 2: 1 column instead of two"),
        ("a.tsv", b"a\tb\tc\n", DataError, "line 1: 3 columns instead of two"),
        ("a.csv", b"a,b\n1,2\n", DataError, "has the columns a, b; it needs sentence_a and sentence_b"),
        ("a.csv", b'sentence_a,sentence_b\n1,"2\n', DataError, "a.csv, line"),
        ("a.tsv", b"\xff\xfe", SourceError, "cannot be read"),
        (None, b"", SourceError, "cannot be read"),
    ],
)
def test_files_that_are_no_pairs(
    tmp_path: Path, name: str | None, content: bytes, error: type[Exception], message: str
) -> None:
    if name is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        read_pairs(tmp_path / (name or "missing.tsv"))
