"""Fill masks: the candidates of `pipeline("fill-mask")`, put into the user's own text."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast, pipeline

from acclimate.errors import DataError, ModelError, RecipeError
from acclimate.inference.fill import fill, fill_each, load_filler, to_json
from acclimate.models.directed import direct
from acclimate.scoring.batches import MAX_TOKENS_OF_CPU, WINDOW
from acclimate.scoring.masks import Candidate, MaskFiller
from tests.models.tiny import tiny_model
from tests.objectives.test_matrix import matrix_tokenizer

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "azure",
    "kube",
    "##rnetes",
    "service",
    "##s",
    "天",
    "地",
    "人",
    "。",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    backend = Tokenizer(models.WordPiece({piece: index for index, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    from tokenizers import decoders

    backend.decoder = decoders.WordPiece()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=32,
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    path = tmp_path_factory.mktemp("fill")
    BertForMaskedLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def filler(folder: Path) -> MaskFiller:
    return load_filler(folder)


@pytest.mark.parametrize("text", ["azure [MASK] service", "天[MASK]人。", "[MASK]", "azure [MASK] 天 [MASK]。"])
def test_candidates_are_those_of_the_pipeline(folder: Path, filler: MaskFiller, text: str) -> None:
    reference = pipeline("fill-mask", model=str(folder), top_k=6)(text)
    ours = filler.fill(text, top_k=6)
    theirs = reference if text.count("[MASK]") > 1 else [reference]
    for mine, its in zip(ours, theirs, strict=True):
        assert [candidate.token for candidate in mine] == [entry["token"] for entry in its]
        assert [candidate.score for candidate in mine] == pytest.approx([entry["score"] for entry in its], rel=1e-4)
        assert [candidate.score for candidate in mine] == sorted((c.score for c in mine), reverse=True)


def by_piece(filler: MaskFiller, text: str, mask: int = 0) -> dict[str, str]:
    """What the text becomes for each piece of the vocabulary."""
    return {PIECES[candidate.token]: candidate.sequence for candidate in filler.fill(text, top_k=99)[mask]}


def test_the_users_text_stays_as_it_is(filler: MaskFiller) -> None:
    sequences = by_piece(filler, "Azure  Kube[MASK] is a [MASK]!")
    assert sequences["service"] == "Azure  Kubeservice is a [MASK]!"
    assert sequences["##rnetes"] == "Azure  Kubernetes is a [MASK]!"
    assert by_piece(filler, "Azure  Kube[MASK] is a [MASK]!", mask=1)["azure"] == "Azure  Kube[MASK] is a azure!"


def test_a_piece_that_continues_a_word_joins_it(filler: MaskFiller) -> None:
    assert by_piece(filler, "the service [MASK] of azure")["##s"] == "the services of azure"


def test_no_blanks_between_chinese_characters(filler: MaskFiller) -> None:
    assert by_piece(filler, "天[MASK]人。")["地"] == "天地人。"


@pytest.mark.parametrize("mask", ["[MASK]", "<mask>"])
def test_the_mask_may_be_written_as_people_know_it(filler: MaskFiller, mask: str) -> None:
    assert filler.fill(f"azure {mask}")[0][0].token == filler.fill("azure [MASK]")[0][0].token


def test_shapes(folder: Path, filler: MaskFiller) -> None:
    one = fill(filler, "azure [MASK]", top_k=2)
    assert [sorted(entry) for entry in to_json(one)] == [["score", "sequence", "token", "token_str"]] * 2
    many = to_json(fill(folder, ["azure [MASK]", "[MASK] 天 [MASK]"], top_k=3))
    assert len(many[0]) == 3 and isinstance(many[0][0], dict)
    assert len(many[1]) == 2 and [len(candidates) for candidates in many[1]] == [3, 3]


def test_a_text_without_mask_is_named(filler: MaskFiller) -> None:
    with pytest.raises(DataError, match=r"text 2: there is no \[MASK\] in 'azure'"):
        fill(filler, ["azure [MASK]", "azure"])


# ---- many texts -----------------------------------------------------------------------------------------------------


def texts_of_words(count: int) -> list[str]:
    """Texts of 1 to 40 words of `matrix_tokenizer`, one to three of them masked."""
    rng = random.Random(0)
    found = []
    for _ in range(count):
        words = [f"w{rng.randrange(5, 110)}" for _ in range(rng.randint(1, 40))]
        for _ in range(rng.randint(1, 3)):
            words[rng.randrange(len(words))] = "<mask>"
        found.append(" ".join(words))
    return found


class Forwards:
    """Hears which inputs a model gets."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.masks: list[torch.Tensor] = []
        model.register_forward_pre_hook(self._hear, with_kwargs=True)

    def _hear(self, _: Any, args: Any, kwargs: dict[str, Any]) -> None:
        self.masks.append(kwargs["attention_mask"])


def assert_same(found: Sequence[Candidate], expected: Sequence[Candidate]) -> None:
    assert [one.token for one in found] == [one.token for one in expected]
    assert [one.sequence for one in found] == [one.sequence for one in expected]
    assert [one.score for one in found] == pytest.approx([one.score for one in expected], abs=1e-5)


@pytest.mark.parametrize(
    "model_type", ["bert", "convbert", "deberta-v2", "funnel", "mobilebert", "modernbert", "roberta", "xlm"]
)
@pytest.mark.parametrize("batch_size", [None, 5])
def test_many_texts_are_filled_as_each_alone(model_type: str, batch_size: int | None) -> None:
    filler = MaskFiller(tiny_model(model_type, "AutoModelForMaskedLM"), matrix_tokenizer("encoder"))
    texts = texts_of_words(80)
    alone = [filler.fill(text) for text in texts]
    forwards = Forwards(filler.model)
    together = list(filler.fill_each(texts, batch_size=batch_size))
    for one, found in zip(alone, together, strict=True):
        assert not isinstance(found, DataError) and len(found) == len(one)
        for mine, its in zip(found, one, strict=True):
            assert_same(mine, its)
    rows = [len(mask) for mask in forwards.masks]
    assert sum(rows) == len(texts) > len(rows) and max(rows) <= (batch_size or MAX_TOKENS_OF_CPU)
    padded = any(bool((mask == 0).any()) for mask in forwards.masks)
    assert padded == (model_type not in ("convbert", "funnel", "mobilebert")), "these see padding, and get none"


def test_many_texts_of_mntp_are_filled_as_each_alone() -> None:
    model = tiny_model("llama", "AutoModelForCausalLM")
    direct(model, "both")
    filler = MaskFiller(model, matrix_tokenizer("decoder"), from_before=True)
    texts = texts_of_words(40)
    for text, found in zip(texts, fill(filler, texts), strict=True):
        alone = fill(filler, text)
        for mine, its in zip(*((one if isinstance(one[0], list) else [one]) for one in (found, alone)), strict=True):
            assert_same(mine, its)


def test_an_endless_stream_of_texts(filler: MaskFiller) -> None:
    read = itertools.count()
    texts = ("azure " * (number % 7) + "[MASK]" for number in read)
    answers = fill_each(filler, texts, top_k=1)
    for number, (answer,) in zip(range(WINDOW + 1), answers, strict=False):
        assert answer.sequence.startswith("azure " * (number % 7)) and "[MASK]" not in answer.sequence
    assert next(read) <= 2 * WINDOW + 1


def test_a_text_that_cannot_be_filled_keeps_its_place(filler: MaskFiller) -> None:
    texts = ["azure [MASK]", "azure", "azure " * 40 + "[MASK]", "\ud800 [MASK]", "[MASK] service"]
    first, no_mask, too_long, no_unicode, last = fill_each(filler, texts, top_k=2)
    assert isinstance(first, list) and isinstance(last, list)
    assert_same(first, fill(filler, texts[0], top_k=2))
    assert_same(last, fill(filler, texts[-1], top_k=2))
    assert "there is no [MASK] in 'azure'" in str(no_mask)
    assert "longer than the model's 32 positions" in str(too_long)
    assert "no valid Unicode" in str(no_unicode)
    lenient = to_json(fill(filler, texts, top_k=2, strict=False))
    assert lenient == [to_json(first), None, None, None, to_json(last)]
    with pytest.raises(DataError, match="text 2: there is no"):
        fill(filler, texts)
    assert fill(filler, []) == []


def test_nothing_is_asked_for_by_halves(filler: MaskFiller) -> None:
    with pytest.raises(RecipeError, match="`batch_size`: expected a number of at least 1, got 0"):
        fill(filler, ["[MASK]"], batch_size=0)
    with pytest.raises(RecipeError, match="`top_k`: expected a number of at least 1, got 0"):
        fill(filler, "[MASK]", top_k=0)


def test_a_long_text_is_shortened_in_errors(filler: MaskFiller) -> None:
    with pytest.raises(DataError, match=r"in 'a{200}…'; write"):
        filler.fill("a" * 300)


def test_a_text_longer_than_the_positions_is_named(filler: MaskFiller) -> None:
    with pytest.raises(DataError, match="longer than the model's 32 positions"):
        filler.fill("azure " * 40 + "[MASK]")


def test_a_model_without_head_would_guess(folder: Path, tmp_path: Path) -> None:
    BertModel(BertForMaskedLM.from_pretrained(folder).config).save_pretrained(tmp_path)
    load_filler(folder).tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="has no masked-LM head"):
        load_filler(tmp_path)
