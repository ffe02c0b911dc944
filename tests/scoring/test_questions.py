"""Chosen questions put to a model: the ranks, the losses and the guesses of plain logits, in any batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acclimate.models import token_losses
from acclimate.models.loading import prepare_for_packs
from acclimate.models.sparse_head import predict_at_positions
from acclimate.objectives import resolve_objective
from acclimate.objectives.base import Objective
from acclimate.ranks import label_ranks
from acclimate.scoring.questions import ask, asked_places, question
from tests.objectives.tiny import MASK, bert, vocabulary


@given(st.lists(st.lists(st.integers(-3, 3), min_size=6, max_size=6), min_size=1, max_size=5), st.data())
def test_a_rank_is_the_place_among_the_sorted_logits(rows: list[list[int]], data: st.DataObject) -> None:
    # Small whole numbers: there are many equal ones, of which the one with the lower id comes first.
    labels = data.draw(st.lists(st.integers(0, 5), min_size=len(rows), max_size=len(rows)))
    order = np.argsort(-np.array(rows), axis=1, kind="stable")
    expected = [int(np.flatnonzero(order[row] == label)[0]) for row, label in enumerate(labels)]
    found = label_ranks(torch.tensor(rows, dtype=torch.float32), torch.tensor(labels))
    assert found.tolist() == expected


def test_what_is_no_number_is_never_right() -> None:
    # Nothing is above NaN; a model whose training diverged would be right everywhere.
    nan = float("nan")
    logits = torch.tensor([[nan] * 4, [0.0, nan, 2.0, 1.0], [0.0, 3.0, 2.0, 1.0]])
    assert label_ranks(logits, torch.tensor([0, 2, 1])).tolist() == [4, 1, 0]


def test_ranks_are_for_scoring_only() -> None:
    logits, labels = torch.tensor([[0.1, 0.7, 0.2]], requires_grad=True), torch.tensor([2])
    options = {"parameters": [logits], "vocabulary": 3}
    trained = token_losses.token_losses(lambda hidden: hidden, logits, labels, **options)  # type: ignore[arg-type]
    assert trained.ranks is None
    with torch.no_grad():
        for chunk in (1 << 20, 3):
            scored = token_losses.token_losses(lambda hidden: hidden, logits, labels, chunk=chunk, **options)  # type: ignore[arg-type]
            assert scored.ranks is not None and scored.ranks.tolist() == [1]


@pytest.fixture(scope="module")
def mlm() -> Objective:
    made, settings = resolve_objective("mlm", {}, "encoder")
    return made(settings, vocabulary(), max_length=64, seed=0)


@pytest.mark.parametrize("prepared", [False, True])
def test_answers_are_those_of_the_model_text_by_text(mlm: Objective, prepared: bool) -> None:
    model = bert().eval()
    if prepared:
        predict_at_positions(model)
        prepare_for_packs(model)
    texts = [np.arange(5, 5 + length) for length in (9, 4, 17, 9)]
    hidden = [[1, 2], [0], [3, 10, 16], [8]]
    questions = [question(mlm, ids, places) for ids, places in zip(texts, hidden, strict=True)]
    answers = ask(model, mlm, [one for one in questions if one is not None], top_k=3)
    for ids, places, answer in zip(texts, hidden, answers, strict=True):
        framed = torch.tensor([[2, *ids.tolist(), 3]])
        for place in places:
            framed[0, place + 1] = MASK
        with torch.no_grad():
            logits = bert().eval()(framed).logits[0]
        assert answer.places.tolist() == places
        for index, place in enumerate(places):
            shares = logits[place + 1].log_softmax(-1)
            assert answer.losses[index] == pytest.approx(-float(shares[ids[place]]), abs=1e-4)
            assert answer.ranks[index] == int((shares > shares[ids[place]]).sum())
            best = shares.exp().topk(3)
            assert [token for token, _ in answer.guesses[index]] == best.indices.tolist()
            assert [share for _, share in answer.guesses[index]] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_what_is_hidden_need_not_be_asked_for(mlm: Objective) -> None:
    fields = question(mlm, np.arange(10, 15), [1, 2, 3], [1])
    assert fields is not None
    assert asked_places(fields).tolist() == [1]
    assert (fields["input_ids"] == MASK).sum() == 3


def test_nothing_to_ask_for_is_no_question(mlm: Objective) -> None:
    assert question(mlm, np.array([10, 3, 11]), [1]) is None  # a separator in the text
    assert question(mlm, np.array([10, 11]), []) is None
