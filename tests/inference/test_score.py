"""Score: the figures of `evaluate` for any text, each text's own and all together."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertForPreTraining, ElectraConfig, ElectraForPreTraining

from acclimate.corpus import open_corpus
from acclimate.errors import DataError, ModelError, RecipeError, SourceError
from acclimate.evaluation.evaluate import evaluate
from acclimate.inference.score import Scorer, load_scorer, score, to_json
from acclimate.jobs.pretrain import pretrain
from tests.objectives.tiny import corpus_folder

STORY = "Once upon a time, there was a little girl named Lily."
OTHER = "The data of a cluster."


@pytest.fixture(scope="module")
def stories(shared_data: Path) -> Scorer:
    return load_scorer(shared_data / "checkpoints" / "stories260K")


# ---- figures --------------------------------------------------------------------------------------------------------


def test_the_loss_of_a_text_is_that_of_the_class(stories: Scorer) -> None:
    found = score(stories, STORY)
    ids = stories.tokenizer(STORY, return_tensors="pt")["input_ids"]
    ids = torch.cat([ids, torch.tensor([[stories.tokenizer.eos_token_id]])], dim=1)  # the end is predicted, too
    with torch.no_grad():
        loss = float(stories.model(input_ids=ids, labels=ids).loss)
    (text,) = found.texts
    part = text.parts["clm"]
    assert (text.name, part.num_targets) == ("text 1", ids.shape[1] - 1)
    assert part.num_bytes == len(STORY.encode())  # behind `<s>`, every token of the text is predicted
    assert part.measures["loss"] == pytest.approx(loss, rel=1e-4)
    assert part.measures["perplexity"] == pytest.approx(math.exp(loss), rel=1e-3)
    bits = loss * part.num_targets / math.log(2)
    assert part.measures["bits_per_byte"] == pytest.approx(bits / len(STORY.encode()), rel=1e-4)


def test_each_text_has_its_own_figures_and_the_total_theirs(stories: Scorer) -> None:
    together = score(stories, [STORY, OTHER, STORY])
    parts = [text.parts["clm"] for text in together.texts]
    for text, part in zip([STORY, OTHER, STORY], parts, strict=True):
        alone = score(stories, text).total.parts["clm"]
        assert part.measures == pytest.approx(dict(alone.measures), rel=1e-4)
    total = together.total.parts["clm"]
    assert total.num_targets == sum(part.num_targets for part in parts)
    assert total.num_bytes == sum(part.num_bytes for part in parts) == len((STORY + OTHER + STORY).encode())
    losses = sum(part.measures["loss"] * part.num_targets for part in parts)
    assert total.measures["loss"] == pytest.approx(losses / total.num_targets, rel=1e-5)
    # It knows stories, and nothing of clusters.
    assert parts[0].measures["bits_per_byte"] < 1.5 < 3 < parts[1].measures["bits_per_byte"]


def test_a_long_text_is_cut_and_every_byte_counts(stories: Scorer) -> None:
    text = " ".join([STORY] * 100)  # more than two rows of 512 tokens
    part = score(stories, text).total.parts["clm"]
    assert part.num_targets > 2 * 512 and part.num_bytes == len(text.encode())


def test_files_and_sources(stories: Scorer, tmp_path: Path) -> None:
    # Blanks and Chinese are as they are; line ends become those of a corpus.
    content = "Lily was happy.\n\n  天下。\n"
    (tmp_path / "one.txt").write_bytes(content.replace("\n", "\r\n").encode())
    (tmp_path / "two.txt").write_text(OTHER)
    found = score(stories, STORY, file=tmp_path / "one.txt", sources=tmp_path / "two.txt")
    assert [text.name for text in found.texts] == ["text 1", str(tmp_path / "one.txt"), "two.txt"]
    assert [text.parts["clm"].num_bytes for text in found.texts] == [len(STORY), len(content.encode()), len(OTHER)]
    assert found.texts[2].parts["clm"].measures["loss"] == pytest.approx(
        score(stories, OTHER).total.parts["clm"].measures["loss"], rel=1e-4
    )


def test_a_masked_model_is_asked_for_masks(tiny_bert: Path) -> None:
    found = score(tiny_bert, ["the cloud model of a new cluster and data in storage " * 4, "a", "run a pod", "the"])
    assert (found.objective, found.max_length) == ("mlm", 64)
    part = found.texts[0].parts["mlm"]
    assert set(part.measures) == {"loss", "accuracy", "accuracy_at_5", "perplexity"}
    assert sum(text.parts["mlm"].num_targets for text in found.texts if text.parts) == (
        found.total.parts["mlm"].num_targets
    )
    short = [text.name for text in found.texts if not text.parts]
    assert bool(short) == bool(found.notes) and all(name in found.notes[0] for name in short)
    # The masks are the same each time.
    assert score(tiny_bert, "the cloud model of a new cluster") == score(tiny_bert, "the cloud model of a new cluster")


# ---- the figures of `evaluate` --------------------------------------------------------------------------------------

WORDS = ["language", "text", "data", "set", "service", "cluster", "node", "pod", "create", "run", "learn", "guide"]
TEXTS = [
    f"the {word} model of the cloud and the data of a new cluster run a pod in storage " * (1 + index % 3)
    for index, word in enumerate(WORDS)
]


@pytest.mark.parametrize("objective", ["mlm", "mlm_nsp"])
def test_a_runs_figures_are_those_of_evaluate(tiny_bert: Path, tmp_path: Path, objective: str) -> None:
    if objective == "mlm_nsp":
        folder = tmp_path / "bert"
        torch.manual_seed(0)
        BertForPreTraining(AutoModelForMaskedLM.from_pretrained(tiny_bert).config).save_pretrained(folder)
        AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(folder)
        tiny_bert = folder
    corpus = corpus_folder(tmp_path, TEXTS, held_out=0.4, min_chars=0)
    training = {"max_steps": 2, "per_device_train_batch_size": 2, "use_cpu": True}
    run = pretrain(
        str(tiny_bert), corpus, tmp_path / "run", objective=objective, max_length=32, training=training
    ).folder
    expected = evaluate(run).domain
    assert expected is not None and expected.num_units > 2
    held_out = [document.text for document in open_corpus(corpus).documents("held_out")]
    found = score(run, held_out)
    assert (found.objective, found.max_length, len(found.texts)) == (objective, 32, len(held_out))
    for name, part in expected.parts.items():
        assert found.total.parts[name].num_targets == part.num_targets
        assert found.total.parts[name].measures == pytest.approx(dict(part.after), rel=1e-4)
    if objective == "mlm_nsp":
        with pytest.raises(DataError, match=r"there is only one; give a second text, or .*`--objective mlm`"):
            score(run, held_out[0])
        assert score(run, held_out[0], objective="mlm").objective == "mlm"


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_a_discriminator_without_its_generator_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    ElectraForPreTraining(
        ElectraConfig(
            vocab_size=len(tokenizer),
            embedding_size=8,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=4,
            intermediate_size=16,
        )
    ).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"lacks what `rtd` asks for \(missing: generator"):
        score(tmp_path, "the cloud")


def test_what_does_not_fit_is_refused(tiny_bert: Path, stories: Scorer, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="`clm` needs decoder models"):
        score(tiny_bert, "a", objective="clm")
    with pytest.raises(RecipeError, match=r"unknown objective 'mlmm'; did you mean `mlm`\?"):
        score(tiny_bert, "a", objective="mlmm")
    with pytest.raises(DataError, match="there is no text to score"):
        score(stories)
    with pytest.raises(DataError, match="text 2 is empty"):
        score(stories, ["a", " "])
    with pytest.raises(SourceError, match=r"missing.txt cannot be read"):
        score(stories, file=tmp_path / "missing.txt")
    (tmp_path / "latin.txt").write_bytes("Übermut".encode("latin-1"))
    with pytest.raises(SourceError, match=r"latin.txt cannot be read: 'utf-8'"):
        score(stories, file=[tmp_path / "latin.txt"])
    (tmp_path / "empty.txt").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty.txt is empty"):
        score(stories, file=[tmp_path / "empty.txt"])


def test_json(stories: Scorer) -> None:
    found = to_json(score(stories, STORY))
    assert list(found) == ["model", "objective", "max_length", "texts", "total", "notes"]
    assert list(found["texts"][0]["parts"]["clm"]) == [
        "loss",
        "accuracy",
        "accuracy_at_5",
        "perplexity",
        "bits_per_byte",
        "targets",
        "bytes",
    ]
