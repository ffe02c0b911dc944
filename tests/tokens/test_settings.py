"""Tokenizer settings: what is taken, and what is refused with a reason."""

from __future__ import annotations

from typing import Any

import pytest

from acclimate.errors import RecipeError
from acclimate.recipe import expand_shorthand, validate
from acclimate.tokens import TokenizerSettings


def test_a_bare_value_is_the_name() -> None:
    assert expand_shorthand(TokenizerSettings, "SIKU-BERT/sikubert") == {"name": "SIKU-BERT/sikubert"}


def test_defaults_mean_the_models_own_tokenizer() -> None:
    settings = TokenizerSettings()
    assert (settings.name, settings.train) == (None, None)


@pytest.mark.parametrize(
    ("data", "mended_by"),
    [
        ({"name": "a/b", "train": "bpe"}, "give one of the two"),
        ({"revision": "main"}, "give its `name` too"),
        ({"vocab_size": 8000}, "add `train: wordpiece`"),
        ({"name": "a/b", "lowercase": True}, "leave `lowercase` out"),
        ({"train": "unigram", "min_frequency": 3}, "leave it out"),
        ({"train": "bpe", "vocab_size": 260}, "at least 261"),
        ({"train": "wordpiece", "vocab_size": 8}, "at least 32"),
        ({"train": "wordpiece", "min_frequency": 0}, "greater than or equal to 1"),
        ({"train": "sentencepiece"}, "'wordpiece', 'bpe' or 'unigram'"),
        ({"train": "bpe", "vocabsize": 500}, "did you mean `tokenizer.vocab_size`?"),
    ],
)
def test_nonsense_is_refused_with_what_mends_it(data: dict[str, Any], mended_by: str) -> None:
    with pytest.raises(RecipeError) as caught:
        validate(TokenizerSettings, data, "recipe.yaml", path="tokenizer")
    assert mended_by in str(caught.value)


def test_min_frequency_may_be_given_where_it_counts() -> None:
    assert TokenizerSettings(train="wordpiece", min_frequency=3).min_frequency == 3
