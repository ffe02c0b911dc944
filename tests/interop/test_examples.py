"""Examples as a data set for any loop."""

from __future__ import annotations

import copy
import gc
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertForPreTraining, BertModel, Trainer

import acclimate
from acclimate.corpus import Document
from acclimate.errors import DataError, ModelError, RecipeError
from acclimate.interop.examples import Examples, prepare
from acclimate.interop.making import examples_for
from acclimate.training.stream import StreamSampler, keys
from tests.interop.cases import arguments, some_texts, tiny, tokenizer_of
from tests.models.tiny import tiny_model
from tests.objectives.tiny import bert, corpus_folder, tokenizer


def made(texts: Any = None, **options: Any) -> Examples:
    texts = some_texts() if texts is None else texts
    return examples_for(texts, tokenizer(), **{"max_length": 32, "num_workers": 1, **options})


def same(one: Any, other: Any) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


# ---- what they are made of ---------------------------------------------------------------------------------------


def test_the_ledger_counts_everything() -> None:
    # Two texts of 3 and 5 words, each `[CLS] … [SEP]`: rows of 5 + 7 = 12 tokens fit into one of 16.
    examples = made(["w5 w6 w7", " \n", "w8 w9 w10 w11 nothing"], max_length=16)
    ledger = examples.ledger
    assert (ledger.num_texts, ledger.num_empty_texts) == (2, 1)
    assert ledger.num_characters == len("w5 w6 w7") + len("w8 w9 w10 w11 nothing")
    # Behind each text stands a separator, its joint; "nothing" is not in the vocabulary.
    assert (ledger.num_tokens, ledger.num_joints, ledger.num_unknown, ledger.num_left_out) == (8, 2, 1, 0)
    assert (ledger.num_rows, ledger.num_row_tokens, ledger.padding_share) == (1, 12, 1 - 12 / 16)
    assert str(ledger).splitlines() == [
        "2 texts (1 empty ones left out), 29 characters, 8 tokens",
        "1 rows, 25.00% padding, 0 tokens left out",
    ]


def test_what_has_no_row_is_in_the_ledger() -> None:
    # A text of one token makes no pair of segments.
    model = BertForPreTraining(bert().config)
    examples = made(["w5 w6 w7 w8", "w9", "w10 w11 w12"], objective="mlm_nsp", model=model)
    assert examples.ledger.num_left_out == 1
    assert examples.ledger.notes == ("1 tokens stand alone in their document, which makes no pair: left out",)


@pytest.mark.parametrize("kind", ["list", "generator", "rows", "dataset", "column", "documents", "corpus", "folder"])
def test_texts_come_from_anywhere(kind: str, tmp_path: Path) -> None:
    import datasets

    texts = some_texts(12)
    rows = [{"body": text, "other": 1} for text in texts]
    dataset = datasets.Dataset.from_list(rows)
    folder = corpus_folder(tmp_path, texts, held_out=0, deduplicate=False, min_chars=0)
    given: dict[str, Any] = {
        "list": texts,
        "generator": (text for text in texts),
        "rows": rows,
        "dataset": dataset,
        "column": dataset["body"],
        "documents": [Document(str(number), text, str(number)) for number, text in enumerate(texts)],
        "corpus": acclimate.open_corpus(folder),
        "folder": folder,
    }
    examples = made(given[kind], text_column="body")
    expected = made(texts)
    assert examples.ledger == expected.ledger
    assert all(same(examples[index], expected[index]) for index in range(len(expected)))


def test_documents_say_which_texts_belong_together() -> None:
    texts = ["w5 w6", "w7 w8", "w9 w10"]
    documents = [Document(str(number), text, group) for number, (text, group) in enumerate(zip(texts, "aab"))]  # noqa: B905
    row = made(documents, max_length=16)[0]
    # [CLS] w5 w6 [SEP] w7 w8 [SEP], then [CLS] w9 w10 [SEP].
    assert row["segment_ids"].tolist() == [0] * 7 + [1] * 4


def test_the_tokens_of_a_corpus_are_kept_beside_it(tmp_path: Path) -> None:
    folder = corpus_folder(tmp_path, some_texts(12), held_out=0, min_chars=0)
    assert made(folder).by_key.store.folder.is_relative_to(folder)


def test_the_tokens_of_a_list_go_with_the_examples() -> None:
    examples = made()
    folder = examples.by_key.store.folder
    assert folder.is_dir()
    del examples
    gc.collect()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["w5", 7], "text number 1 is no string but int"),
        ([{"body": "w5", "title": "w6"}], "dict with the keys body, title; say which by `text_column`"),
        ("no/such/folder", "no/such/folder is no corpus; give a list of texts"),
        ([""], "no text that is long enough"),
    ],
)
def test_what_holds_no_texts_is_told(texts: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        made(texts)


# ---- order and masks -----------------------------------------------------------------------------------------------


def test_each_epoch_has_its_own_order_and_masks() -> None:
    examples = made(seed=3)
    first = [examples[index] for index in range(len(examples))]
    examples.set_epoch(2)
    third = [examples[index] for index in range(len(examples))]
    size = len(examples)
    for epoch, found in ((0, first), (2, third)):
        expected = keys(epoch * size, (epoch + 1) * size, size, 3)
        assert all(same(found[index], examples.by_key[int(key)]) for index, key in enumerate(expected))
    by_place = {tuple(example["input_places"]): example for example in first}
    changed = [not same(by_place[tuple(example["input_places"])], example) for example in third]
    assert sum(changed) > 0.8 * size
    with pytest.raises(IndexError):
        examples[size]


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_hear_of_the_epoch(persistent: bool) -> None:
    examples = made()
    loader = torch.utils.data.DataLoader(
        examples, 4, collate_fn=examples.collate, num_workers=2, persistent_workers=persistent
    )
    for epoch in range(2):
        examples.set_epoch(epoch)
        for number, batch in enumerate(loader):
            rows = range(4 * number, min(4 * number + 4, len(examples)))
            expected = examples.collate([examples[index] for index in rows])
            assert all(torch.equal(batch[name], expected[name]) for name in expected)


def test_they_are_pickled_and_copied() -> None:
    examples = made()
    examples.set_epoch(1)
    for again in (pickle.loads(pickle.dumps(examples)), copy.deepcopy(examples)):
        assert all(same(examples[index], again[index]) for index in range(len(examples)))


def test_the_stock_trainer_sets_the_epoch(tmp_path: Path) -> None:
    model = bert()
    examples = made(model=model)
    seen: list[list[bytes]] = []

    def collate(batch: Any) -> Any:
        collated = examples.collate(batch)
        seen.append([row.numpy().tobytes() for row in collated["labels"]])
        return collated

    args = arguments(tmp_path, max_steps=-1, num_train_epochs=2, per_device_train_batch_size=len(examples))
    Trainer(model, args, train_dataset=examples, data_collator=collate, compute_loss_func=examples.compute_loss).train()
    expected = []
    for epoch in range(2):
        examples.set_epoch(epoch)
        batch = examples.collate([examples[index] for index in range(len(examples))])
        expected.append([row.numpy().tobytes() for row in batch["labels"]])
    assert seen == expected
    assert expected[0] != expected[1]


# ---- the stream of steps ---------------------------------------------------------------------------------------------


def test_a_loader_goes_on_where_it_stopped() -> None:
    examples = made()
    steps = examples.num_steps(2.5, 8)
    assert steps == -(-len(examples) * 5 // 16)  # 2.5 passes, in steps of 8 examples, rounded up

    def loader(**options: Any) -> list[Any]:
        return list(examples.loader(2, num_steps=steps, accumulation=2, num_processes=2, **options))

    whole = loader()
    assert len(whole) == steps * 2 * 2
    resumed = loader(first_step=3, num_workers=2)
    assert len(resumed) == len(whole) - 12
    for batch, expected in zip(resumed, whole[12:], strict=True):
        assert all(torch.equal(batch[name], expected[name]) for name in expected)


def test_a_loader_gives_what_the_stream_sampler_gives() -> None:
    examples = made()
    sampler = StreamSampler(examples.order, 8)
    by_epoch = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        by_epoch += list(sampler)
    loader = examples.loader(8, num_steps=len(by_epoch) // 8)
    assert list(loader.sampler) == by_epoch


# ---- models ----------------------------------------------------------------------------------------------------------


def test_a_model_is_prepared_and_texts_of_a_row_stay_apart() -> None:
    # The loss of a packed row is the sum over its texts alone, which a model that is not prepared would not give.
    model = bert().eval()
    packed, single = made(model=model), made(packing=False)
    assert packed.packed and not single.packed
    with torch.no_grad():
        batch = packed.collate([next(row for row in packed if row["segment_ids"].max() > 0)])
        segments = int(batch["segment_ids"].max()) + 1
        sums = packed.objective.sums(model, batch)
        apart = torch.zeros(1)
        for segment in range(segments):
            chosen = batch["segment_ids"] == segment
            ids, labels = batch["input_ids"][chosen][None], batch["labels"][chosen][None]
            logits = bert().eval()(input_ids=ids).logits
            apart += torch.nn.functional.cross_entropy(logits[0], labels[0], reduction="sum")
    assert torch.allclose(sums, apart, rtol=1e-5)


def test_a_loss_prepares_what_was_not(tmp_path: Path) -> None:
    examples = made()
    batch = examples.collate([examples[0], examples[1]])
    fresh, prepared = bert().eval(), prepare(bert().eval())
    assert examples.loss(fresh, batch) == examples.loss(prepared, batch)


def test_models_that_take_no_packs_get_one_text_a_row(tmp_path: Path) -> None:
    model = tiny_model("convbert", "AutoModelForMaskedLM")
    examples = examples_for(some_texts(), tokenizer_of("convbert"), model=model, max_length=32, num_workers=1)
    assert not examples.packed
    assert examples.loss(model, examples.collate([examples[0]])).requires_grad
    with pytest.raises(ModelError, match="ObjectiveTrainerMixin"):
        _ = examples.compute_loss
    with pytest.raises(ModelError, match="convbert"):
        prepare(model)


def test_a_function_needs_a_model_that_is_prepared() -> None:
    with pytest.raises(ModelError, match="give `model=` to `examples_for`"):
        _ = made().compute_loss


def test_score_is_the_mean_over_all_targets() -> None:
    model = bert()
    examples = made(model=model)
    batches = [examples.collate([examples.by_key[row]]) for row in range(len(examples))]
    model.eval()
    with torch.no_grad():
        total = sum(float(examples.objective.sums(model, batch)) for batch in batches)
    model.train()
    measures = examples.score(model, batch_size=3)
    assert measures["loss"] == pytest.approx(total / float(examples.counts(batches)), rel=1e-5)
    assert model.training


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"objective": "mlmm"}, RecipeError, "did you mean `mlm`"),
        ({"unitt": "word"}, RecipeError, "unitt"),
        ({"objective": "clm", "model": bert()}, ModelError, "`clm` needs decoder models"),
        ({"max_length": 100, "model": bert()}, ModelError, "positions for 64 tokens"),
        ({"model": bert(size=50)}, ModelError, "100 tokens and the model embeddings for 50"),
        ({"model": BertModel(bert().config)}, ModelError, "BertModel has no head that says tokens"),
        ({"model": torch.nn.Linear(1, 1)}, ModelError, "`model` is a Linear"),
        ({"objective": "mlm_nsp", "model": bert()}, ModelError, "AutoModelForPreTraining"),
        ({"objective": "rtd", "model": bert()}, ModelError, "GeneratorAndDiscriminator"),
        ({"objective": "span_denoising"}, ModelError, "`span_denoising` needs tokens that the tokenizer lacks"),
        ({"objective": "text_infilling"}, ModelError, "give `model=`"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_before_any_work(options: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        made(**options)


def test_padding_needs_no_token_of_its_own() -> None:
    # GPT-2's tokenizer has none: any token stands where nothing looks.
    without = tokenizer_of("llama")
    without.pad_token = None
    model = tiny("clm")
    losses = []
    for given in (without, tokenizer_of("llama")):
        examples = examples_for(some_texts(), given, "clm", 32, model=model, packing=False, num_workers=1)
        batch = examples.collate([examples[index] for index in range(4)])
        assert (batch["segment_ids"] == -1).any()
        losses.append(examples.loss(model, batch).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
