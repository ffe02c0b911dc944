"""Masks for texts that are tokenized already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, DataCollatorForLanguageModeling, Trainer, TrainerCallback

from acclimate.errors import DataError, ModelError, RecipeError
from acclimate.interop.collator import MaskingCollator
from tests.interop.cases import Gradients, arguments, some_texts, tiny, tokenizer_of
from tests.objectives.checks import check_gradients
from tests.objectives.tiny import CLS, FIRST_REGULAR, MASK, PAD, SEP, bert, tokenizer

Features = list[dict[str, Any]]


def features(number: int = 16, **options: Any) -> Features:
    encoded = tokenizer()(some_texts(number), **options)
    return [{name: encoded[name][index] for name in encoded} for index in range(number)]


def restored(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])


# ---- mlm -------------------------------------------------------------------------------------------------------------


def test_it_gives_what_the_stock_collator_gives() -> None:
    texts = [{**feature, "token_type_ids": [0] * 4 + [1] * (len(feature["input_ids"]) - 4)} for feature in features()]
    ours = MaskingCollator(tokenizer())(texts)
    stock = DataCollatorForLanguageModeling(tokenizer(), mlm_probability=0.15)(texts)
    assert ours.keys() == stock.keys()
    for name, values in stock.items():
        assert ours[name].shape == values.shape and ours[name].dtype == values.dtype
    assert torch.equal(ours["attention_mask"], stock["attention_mask"])
    assert torch.equal(ours["token_type_ids"], stock["token_type_ids"])
    original = [feature["input_ids"] for feature in texts]
    assert [ids[: len(text)].tolist() for ids, text in zip(restored(ours), original, strict=True)] == original


def test_rates_are_those_of_the_rule() -> None:
    # Of 200 rows of 40 tokens 15 % are chosen, 80 % of them masked: three standard errors of a binomial.
    rows = [{"input_ids": [CLS, *range(10, 50), SEP]} for _ in range(200)]
    batch = MaskingCollator(tokenizer())(rows)
    chosen = batch["labels"] != -100
    total = 200 * 40
    assert abs(chosen.sum() - 0.15 * total) < 3 * (total * 0.15 * 0.85) ** 0.5
    masked = batch["input_ids"][chosen] == MASK
    assert abs(masked.sum() - 0.8 * len(masked)) < 3 * (len(masked) * 0.8 * 0.2) ** 0.5
    assert not chosen[:, 0].any() and not chosen[:, -1].any()
    assert (batch["input_ids"][chosen][~masked] >= FIRST_REGULAR).all()


def test_joined_texts_have_special_tokens_within() -> None:
    # As `group_texts` cuts them: no frame at the ends, separators between.
    rows = [{"input_ids": [20, SEP, CLS, 21, 22, SEP, CLS, 23]} for _ in range(50)]
    chosen = MaskingCollator(tokenizer(), mlm_probability=0.5)(rows)["labels"] != -100
    assert chosen.any(0).tolist() == [True, False, False, True, True, False, False, True]


def test_what_is_padded_already_is_padded_anew() -> None:
    padded = features(6, padding="max_length", max_length=60)
    plain = features(6)
    for texts in (padded, plain):
        batch = MaskingCollator(tokenizer(), pad_to_multiple_of=16)(texts)
        longest = max(len(feature["input_ids"]) for feature in plain)
        assert batch["input_ids"].shape == (6, -(-longest // 16) * 16)
        padding = batch["attention_mask"] == 0
        assert (batch["input_ids"][padding] == PAD).all() and (batch["labels"][padding] == -100).all()
        assert batch["attention_mask"].sum(1).tolist() == [len(feature["input_ids"]) for feature in plain]


# ---- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_text", [False, True])
def test_words_are_chosen_as_a_whole(tiny_bert: Path, with_text: bool) -> None:
    small = AutoTokenizer.from_pretrained(tiny_bert)
    text = "learning clusters creates networks, and models run services"
    encoded = small(text, return_offsets_mapping=True)
    ids, words = encoded["input_ids"], encoded.word_ids()
    assert len(set(words[1:-1])) < len(ids) - 2  # some have several tokens
    feature = {"input_ids": ids, **({"text": text, "offset_mapping": encoded["offset_mapping"]} if with_text else {})}
    chosen = MaskingCollator(small, unit="word", mlm_probability=0.4)([feature] * 100)["labels"] != -100
    for row in chosen:
        found = {word for word, mark in zip(words, row.tolist(), strict=True) if mark}
        assert None not in found
        assert row.tolist() == [word in found for word in words]
    assert chosen[:, 1:-1].any(0).all() and not chosen.all(0).any()


def test_a_text_knows_more_than_its_ids() -> None:
    # `foo`, `##bar` would be one word; the text says that they are two.
    feature = {"input_ids": [CLS, 20, 21, SEP], "text": "w20w21 w", "offset_mapping": [(0, 0), (0, 3), (3, 6), (0, 0)]}
    chosen = MaskingCollator(tokenizer(), unit="word")([feature] * 50)["labels"] != -100
    assert all(row.tolist() in ([False, True, True, False], [False] * 4) for row in chosen)
    assert chosen.any()
    without = {"input_ids": feature["input_ids"]}  # of this vocabulary each token is a word
    chosen = MaskingCollator(tokenizer(), unit="word")([without] * 50)["labels"] != -100
    assert chosen.sum(1).tolist() == [1] * 50


# ---- chance ----------------------------------------------------------------------------------------------------------


def test_calls_are_numbered() -> None:
    texts = features()
    first, second = MaskingCollator(tokenizer()), MaskingCollator(tokenizer())
    calls = [first(texts)["labels"] for _ in range(3)]
    assert not torch.equal(calls[0], calls[1]) and not torch.equal(calls[1], calls[2])
    assert all(torch.equal(second(texts)["labels"], call) for call in calls)
    assert not torch.equal(MaskingCollator(tokenizer(), seed=1)(texts)["labels"], calls[0])
    # Equal rows of a batch are masked each for itself.
    same = MaskingCollator(tokenizer())([texts[0]] * 8)["labels"]
    assert len({tuple(row.tolist()) for row in same}) > 4


def test_an_example_id_has_always_the_same_masks() -> None:
    texts = [{**feature, "example_id": 7 * index} for index, feature in enumerate(features())]
    collator = MaskingCollator(tokenizer())
    first = collator(texts)
    collator(texts[:3])
    again = collator(texts[::-1])
    assert torch.equal(first["labels"], again["labels"].flip(0))
    assert "example_id" not in first


def test_workers_and_epochs_have_masks_of_their_own() -> None:
    rows = [{"input_ids": [CLS, *range(10, 50), SEP]} for _ in range(8)]

    def labels() -> list[list[list[int]]]:
        torch.manual_seed(0)
        loader = torch.utils.data.DataLoader(
            rows,  # type: ignore[arg-type]
            2,
            collate_fn=MaskingCollator(tokenizer()),
            num_workers=2,
        )
        return [[row for batch in loader for row in batch["labels"].tolist()] for _ in range(2)]

    epochs = labels()
    assert len({tuple(row) for epoch in epochs for row in epoch}) == 16
    assert labels() == epochs


# ---- encoder-decoders ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["span_denoising", "text_infilling", "mass"])
def test_encoder_decoders_get_both_sides(name: str) -> None:
    model = tiny("span_denoising" if name == "span_denoising" else "text_infilling").eval()
    given = tokenizer_of(model.config.model_type)
    texts = [{"input_ids": given(text)["input_ids"]} for text in some_texts(8)]
    collator = MaskingCollator(given, name, model=model, max_length=64)
    batch = collator(texts)
    assert set(batch) == {"input_ids", "attention_mask", "labels", "decoder_input_ids"}
    output = model(**batch)
    # The loss of plain transformers is the mean over the same targets.
    assert torch.allclose(collator.compute_loss(output, batch["labels"]), output.loss, rtol=1e-5)
    if name == "span_denoising":
        special = set(collator.objective.vocabulary.sentinels) | {*given.all_special_ids}
        for row, labels, text in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), texts, strict=True):
            kept = [token for token in [*row, *labels] if token not in special and token != -100]
            assert sorted(kept) == sorted(text["input_ids"][:-1])


# ---- in a Trainer ----------------------------------------------------------------------------------------------------


def test_accumulation_is_exact(tmp_path: Path) -> None:
    # By ids, so that the masks are the same however the batch is divided. The stock loss is not exact.
    texts = [{**feature, "example_id": index} for index, feature in enumerate(features(8))]
    found = {}
    for accumulation in (1, 4):
        for function in ("ours", "stock"):
            collator = MaskingCollator(tokenizer(), mlm_probability=0.3)
            kept: TrainerCallback = Gradients()
            trainer = Trainer(
                bert(),
                arguments(tmp_path, accumulation, remove_unused_columns=False),
                train_dataset=texts,
                data_collator=collator,
                compute_loss_func=collator.compute_loss if function == "ours" else None,
                callbacks=[kept],
            )
            trainer.train()
            found[function, accumulation] = kept.first
    check_gradients(found["ours", 4], found["ours", 1], rtol=1e-4)
    check_gradients(found["ours", 1], found["stock", 1], rtol=1e-4)
    name = "cls.predictions.bias"
    inflation = found["stock", 4][name].norm() / found["stock", 1][name].norm()
    assert inflation > 3  # transformers#47688


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"objective": "rtd"}, ModelError, "`rtd` cannot be made of single texts: a collator offers mlm, span"),
        ({"objective": "mlm_nsp"}, ModelError, "use `acclimate.examples_for`"),
        ({"mlm_probabilty": 0.3}, RecipeError, "mlm_probability"),
        ({"objective": "span_denoising", "model": bert()}, ModelError, "needs encoder-decoder models"),
        ({"objective": "mass"}, ModelError, "give `model=`"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_at_once(options: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        MaskingCollator(tokenizer(), **options)


def test_texts_that_are_too_long_are_refused() -> None:
    with pytest.raises(DataError, match="a text has 12 tokens, more than `max_length` of 8; cut texts"):
        MaskingCollator(tokenizer(), max_length=8)([{"input_ids": [CLS, *range(10, 20), SEP]}])


def test_tensors_and_arrays_will_do() -> None:
    plain = features(4)
    expected = MaskingCollator(tokenizer())(plain)
    for kind in (np.array, torch.tensor):
        again = MaskingCollator(tokenizer())([{name: kind(values) for name, values in row.items()} for row in plain])
        assert all(torch.equal(again[name], expected[name]) for name in expected)
