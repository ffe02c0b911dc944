"""Fill masks: the candidates of `pipeline("fill-mask")`, put into the user's own text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast, pipeline

from acclimate.errors import DataError, ModelError
from acclimate.inference.fill import MaskFiller, fill, load_filler, to_json

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


def test_a_text_longer_than_the_positions_is_named(filler: MaskFiller) -> None:
    with pytest.raises(DataError, match="longer than the model's 32 positions"):
        filler.fill("azure " * 40 + "[MASK]")


def test_a_model_without_head_would_guess(folder: Path, tmp_path: Path) -> None:
    BertModel(BertForMaskedLM.from_pretrained(folder).config).save_pretrained(tmp_path)
    load_filler(folder).tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="has no masked-LM head"):
        load_filler(tmp_path)
