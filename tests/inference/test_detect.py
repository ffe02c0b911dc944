"""Detect: the discriminator's own probabilities, in the user's own text, in windows where it is long."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForTokenClassification,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
)

from acclimate.errors import DataError, ModelError
from acclimate.inference.detect import (
    Detection,
    Detector,
    JudgedToken,
    detect,
    load_detector,
    owner_of_tokens,
    to_json,
    windows,
)
from tests.models.tiny import tiny_model

TEXT = "The  Cloud model? Run a new pod.\n\n大王使臣."


@pytest.fixture(scope="module")
def config(tiny_bert: Path) -> ElectraConfig:
    return ElectraConfig(
        vocab_size=len(AutoTokenizer.from_pretrained(tiny_bert)),
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=34,
        initializer_range=0.5,
    )


@pytest.fixture(scope="module")
def folder(tiny_bert: Path, config: ElectraConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("electra")
    torch.manual_seed(0)
    ElectraForPreTraining(config).save_pretrained(path)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def detector(folder: Path) -> Detector:
    return load_detector(folder)


def one(detector: Detector | Path, text: str, **options: float) -> Detection:
    found = detect(detector, text, **options)  # type: ignore[arg-type]
    assert isinstance(found, Detection)
    return found


def test_probabilities_are_those_of_the_class(detector: Detector) -> None:
    inputs = detector.tokenizer(TEXT, return_tensors="pt")
    with torch.no_grad():
        expected = detector.model(**inputs).logits[0].sigmoid()[1:-1].tolist()
    found = one(detector, TEXT)
    assert [token.probability for token in found.tokens] == pytest.approx(expected, rel=1e-4)
    pieces = detector.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0][1:-1])
    assert [token.text.lower() for token in found.tokens] == [piece.removeprefix("##") for piece in pieces]
    assert all(TEXT[token.start : token.end] == token.text for token in found.tokens)


def test_sentences_add_up_their_tokens(detector: Detector) -> None:
    found = one(detector, TEXT, threshold=0.4)
    assert [sentence.text for sentence in found.sentences] == ["The  Cloud model?", "Run a new pod.", "大王使臣."]
    assert sum(sentence.num_tokens for sentence in found.sentences) == len(found.tokens)
    for sentence in found.sentences:
        own = [token.probability for token in found.tokens if sentence.start <= token.start < sentence.end]
        assert sentence.share == sum(value >= 0.4 for value in own) / len(own)
        assert sentence.max_probability == max(own)


def test_marks_stand_in_the_users_text() -> None:
    text = "Kubernetes  is [new]"
    spans = [(0, 4, 0.9), (4, 10, 0.8), (12, 14, 0.1), (15, 16, 0.2), (16, 19, 0.5), (19, 20, 0.49)]
    tokens = tuple(JudgedToken(text[start:end], start, end, value) for start, end, value in spans)
    found = Detection(text, 0.5, tokens, ())
    assert found.marks == [(0, 10), (16, 19)]  # pieces of one word are one mark; the threshold itself counts
    assert found.marked() == "[[Kubernetes]]  is [[[new]]]"
    assert Detection(text, 1.0, tokens, ()).marked() == text


@given(st.lists(st.tuples(st.integers(0, 6), st.floats(0, 1)), max_size=12), st.floats(0, 1))
def test_without_its_marks_the_text_is_the_same(parts: list[tuple[int, float]], threshold: float) -> None:
    places = np.cumsum([0, *(length for length, _ in parts)]).tolist()
    text = "x y" * (places[-1] // 3 + 1)
    tokens = tuple(
        JudgedToken(text[start:end], start, end, value)
        for start, end, (_, value) in zip(places, places[1:], parts, strict=False)
    )
    marked = Detection(text, threshold, tokens, ()).marked("«", "»")
    assert marked.replace("«", "").replace("»", "") == text and "«»" not in marked


# ---- windows --------------------------------------------------------------------------------------------------------


def test_windows_and_owners() -> None:
    # Windows of 4 begin every 2 tokens; the last one ends with the text.
    assert windows(9, 4) == [(0, 4), (2, 6), (4, 8), (5, 9)]
    # Token 2 has one more token to its right in (0, 4) and nothing beyond the text's start: context 1; in (2, 6) it is
    # the first: 0. Token 3: 0 in (0, 4), 1 in (2, 6). 4: 1 in (2, 6), 0 in (4, 8). 5: 0, 1 in (4, 8), 0 in (5, 9).
    # 6: 1 in (4, 8), and 1 in (5, 9), where the end is no edge: the first. 7: 0, 2. 8: only (5, 9).
    assert owner_of_tokens(9, windows(9, 4)).tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3]
    assert windows(4, 4) == [(0, 4)]
    assert windows(5, 4) == [(0, 4), (1, 5)]


@given(st.integers(1, 300), st.integers(1, 40))
def test_every_token_has_a_window_that_holds_it(length: int, size: int) -> None:
    spans = windows(length, size)
    assert all(0 <= start < end <= length and end - start <= size for start, end in spans)
    for place, owner in enumerate(owner_of_tokens(length, spans).tolist()):
        start, end = spans[owner]
        assert start <= place < end
        # Half a window's overlap leaves each token a quarter of a window on either side.
        assert start == 0 or place - start >= size // 4 - 1
        assert end == length or end - 1 - place >= size // 4 - 1


def test_a_long_text_is_judged_in_windows(detector: Detector) -> None:
    words = ["the", "cloud", "model", "of", "a", "new", "cluster", "and", "data", "in", "storage"]
    text = " ".join(words[index * index % len(words)] for index in range(75))
    found = one(detector, text)
    assert len(found.tokens) == 75
    ids = detector.tokenizer(text, add_special_tokens=False)["input_ids"]
    for start, end, place in ((0, 32, 3), (0, 32, 20), (16, 48, 30), (43, 75, 74)):
        framed = torch.tensor([[2, *ids[start:end], 3]])
        with torch.no_grad():
            expected = float(detector.model(framed).logits.sigmoid()[0, 1 + place - start])
        assert found.tokens[place].probability == pytest.approx(expected, rel=1e-4)
    one_by_one = one(detector, text, batch_size=1)
    assert [token.probability for token in one_by_one.tokens] == pytest.approx(
        [token.probability for token in found.tokens], rel=1e-4
    )


# ---- many texts -----------------------------------------------------------------------------------------------------

WORDS = ["the", "cloud", "model", "of", "a", "new", "cluster", "and", "data", "in", "storage"]


def assert_as_each_alone(detector: Detector, texts: list[str]) -> None:
    together = detect(detector, texts)
    assert isinstance(together, list) and len(together) == len(texts)
    for text, found in zip(texts, together, strict=True):
        alone = one(detector, text)
        assert found.text == text
        assert [(token.text, token.start) for token in found.tokens] == [
            (each.text, each.start) for each in alone.tokens
        ]
        assert [token.probability for token in found.tokens] == pytest.approx(
            [token.probability for token in alone.tokens], abs=1e-5
        )


def test_many_texts_share_batches_and_are_judged_as_each_alone(detector: Detector) -> None:
    texts = [" ".join(WORDS[index * index % 11] for index in range(length)) for length in (3, 75, 1, 40, 12, 3, 32, 33)]
    asked: list[torch.Tensor] = []
    hook = detector.model.register_forward_pre_hook(
        lambda _, args, kwargs: asked.append(kwargs["input_ids"]), with_kwargs=True
    )
    detect(detector, texts)
    hook.remove()
    # Windows of 32: 4 of 75, 2 of 40, 2 of 33, one each of the others; all of them are less than 1,024 tokens.
    assert [len(rows) for rows in asked] == [13]
    assert_as_each_alone(detector, texts)


def test_a_type_that_sees_padding_gets_none(tiny_bert: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    model = tiny_model("funnel", "AutoModelForPreTraining", vocab_size=len(tokenizer))
    assert_as_each_alone(Detector(model, tokenizer), [" ".join(WORDS[:length]) for length in (3, 9, 4, 3, 11, 5)])


# ---- models and refusals --------------------------------------------------------------------------------------------


def test_a_token_classifier_of_one_class_is_a_discriminator(tiny_bert: Path, tmp_path: Path) -> None:
    config = BertConfig.from_pretrained(tiny_bert, num_labels=1)
    BertForTokenClassification(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path)
    found = one(tmp_path, "a new pod")
    assert len(found.tokens) == 3 and all(0 < token.probability < 1 for token in found.tokens)


def test_a_classifier_of_names_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    BertForTokenClassification(BertConfig.from_pretrained(tiny_bert, num_labels=9)).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="sorts tokens into 9 classes"):
        load_detector(tmp_path)


def test_models_that_do_not_detect(tiny_bert: Path, config: ElectraConfig, shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no head that tells replaced tokens \(missing: classifier"):
        load_detector(tiny_bert)
    ElectraForMaskedLM(config).save_pretrained(tmp_path)  # a generator
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"no head that tells replaced tokens.*fill masks with `acclimate fill`"):
        load_detector(tmp_path)
    with pytest.raises(ModelError, match="decoder family"):
        load_detector(shared_data / "checkpoints" / "stories260K")


def test_texts_that_cannot_be_judged(detector: Detector) -> None:
    with pytest.raises(DataError, match="text 2 is empty"):
        detect(detector, ["a", "  "])
    with pytest.raises(DataError, match="`threshold` is a probability"):
        one(detector, "a", threshold=2)
    with pytest.raises(DataError, match="there is no text"):
        detect(detector, [])


def test_json(detector: Detector) -> None:
    found = to_json(one(detector, TEXT))
    assert list(found) == ["text", "threshold", "tokens", "sentences", "marked"]
    assert list(found["tokens"][0]) == ["text", "start", "end", "probability"]
    assert list(found["sentences"][0]) == ["text", "start", "end", "num_tokens", "share", "max_probability"]
