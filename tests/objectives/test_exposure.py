"""The ledger of inputs and targets: what each objective promises, held on every token of small stores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from acclimate.objectives.base import Objective
from acclimate.objectives.clm import CausalLanguageModeling, CausalLanguageModelingSettings
from acclimate.objectives.exposure import Exposure, exposure, histogram
from acclimate.objectives.mlm import MaskedLanguageModeling, MaskedLanguageModelingSettings
from acclimate.objectives.mlm_nsp import MaskedLanguageModelingWithNextSentence, SentencePairSettings
from acclimate.objectives.span_denoising import SpanDenoising, SpanDenoisingSettings
from acclimate.progress import Progress
from tests.objectives.tiny import decoder_vocabulary, memory_store, t5_vocabulary, vocabulary

NEWLINE = 7


def documents(number: int, *, seed: int = 0) -> list[list[int]]:
    """Documents of 1 to 40 regular tokens."""
    rng = np.random.default_rng(seed)
    return [rng.integers(8, 60, size=rng.integers(1, 40)).tolist() for _ in range(number)]


# Three documents a group, a newline between them.
STORE: Any = memory_store(documents(60), groups="".join(chr(ord("a") + number // 3) for number in range(60)), newline=7)


def mlm(max_length: int = 32) -> Objective:
    return MaskedLanguageModeling(MaskedLanguageModelingSettings(), vocabulary(), max_length=max_length, seed=1)


def clm(max_length: int = 32, *, bos: bool = True) -> Objective:
    settings = CausalLanguageModelingSettings()
    return CausalLanguageModeling(settings, decoder_vocabulary(bos=bos), max_length=max_length, seed=1)


def count(subject: Objective, *, epochs: int = 1, store: Any = STORE, packed: bool = True) -> Exposure:
    return exposure(subject, store, subject.plan(store, isolate="group", packed=packed), epochs)


def test_two_texts_by_hand() -> None:
    # The stream is 10 11 12 J 20 21 J, J being joints that become EOS; a row a text, nothing in front. Every token is
    # read; the first of each text is not predicted, EOS is. In two epochs all of it twice.
    store: Any = memory_store([[10, 11, 12], [20, 21]])
    found = count(clm(8, bos=False), epochs=2, store=store, packed=False)
    assert found.inputs.tolist() == [2, 2, 2, 2, 2, 2, 2]
    assert found.targets.tolist() == [0, 2, 2, 2, 0, 2, 2]
    assert found.is_joint.tolist() == [False, False, False, True, False, False, True]
    assert found.histograms() == {
        "text": {"inputs": {2: 5}, "targets": {0: 2, 2: 3}},
        "joints": {"inputs": {2: 2}, "targets": {2: 2}},
    }


def test_a_histogram_counts_zero_too() -> None:
    assert histogram(np.array([0, 3, 0, 1])) == {0: 2, 1: 1, 3: 1}
    assert histogram(np.array([], dtype=np.int64)) == {}


def test_masked_tokens_are_read_and_joints_never_predicted() -> None:
    found = count(mlm(), epochs=3)
    text = ~found.is_joint
    assert (found.inputs[text] == 3).all()
    assert (found.targets[found.is_joint] == 0).all()
    # Joints within a group are read, those behind one are in no row.
    assert set(found.inputs[found.is_joint].tolist()) == {0, 3}
    # Each choice is new: 15 % of the tokens in each epoch.
    share = found.targets[text].sum() / (3 * text.sum())
    assert 0.12 < share < 0.18
    assert len(found.histograms()["text"]["targets"]) > 2


@pytest.mark.parametrize("bos", [True, False])
def test_every_token_is_predicted_from_those_before_it(bos: bool) -> None:
    subject = clm(bos=bos)
    plan = subject.plan(STORE, isolate="group", packed=True)
    found = exposure(subject, STORE, plan)
    assert (found.inputs == 1).all()
    first = np.zeros(len(STORE), dtype=bool)
    first[plan.pieces[:, 0]] = True
    # Without a BOS the first token of a piece has nothing before it.
    assert found.targets.tolist() == (np.ones(len(STORE)) if bos else ~first).astype(int).tolist()


def test_a_denoised_token_is_an_input_or_a_target() -> None:
    subject = SpanDenoising(SpanDenoisingSettings(), t5_vocabulary(), max_length=32, seed=1)
    found = count(subject, epochs=2)
    text = ~found.is_joint
    assert (found.inputs[text] + found.targets[text] == 2).all()
    assert (found.targets[found.is_joint] == 0).all()
    assert found.targets[text].sum() > 0


def test_exchanged_halves_are_met_once() -> None:
    # Documents of two tokens or more can all be halved, and there are many to exchange with.
    store: Any = memory_store([document + [30, 31] for document in documents(60)])
    subject = MaskedLanguageModelingWithNextSentence(SentencePairSettings(), vocabulary(), max_length=32, seed=1)
    found = count(subject, epochs=2, store=store)
    assert (found.inputs[~found.is_joint] == 2).all()
    assert (found.targets[found.is_joint] == 0).all()


def test_counting_by_chunks_is_told_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Heard:
        told: list[tuple[int, int | None]] = []  # noqa: RUF012

        def message(self, text: str) -> None:
            raise AssertionError(text)

        def progress(self, progress: Progress) -> None:
            self.told.append((progress.done, progress.total))

    subject = mlm()
    plan = subject.plan(STORE, isolate="group", packed=True)
    whole = exposure(subject, STORE, plan, 2)
    monkeypatch.setattr("acclimate.objectives.exposure._CHUNK", 7)
    heard = Heard()
    again = exposure(subject, STORE, plan, 2, listener=heard)
    assert (whole.inputs == again.inputs).all() and (whole.targets == again.targets).all()
    assert heard.told[0] == (7, 2 * len(plan)) and heard.told[-1] == (2 * len(plan), 2 * len(plan))
