"""The tokenizers of the test data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

TOKENIZER_FOLDERS = {
    "bert-base-uncased": "tokenizers/bert-base-uncased",
    "bert-base-chinese": "tokenizers/bert-base-chinese",
    "bert-classical-chinese": "tokenizers/bert-classical-chinese",
    "gpt2": "tokenizers/gpt2",
    "albert-base": "tokenizers/albert-base",
    "t5-base-japanese": "tokenizers/t5-base-japanese",
    "stories260K": "checkpoints/stories260K",
}


@pytest.fixture(params=TOKENIZER_FOLDERS, scope="session")
def real_tokenizer(request: pytest.FixtureRequest, shared_data: Path) -> tuple[str, Any]:
    """Each tokenizer of the test data, by name."""
    from acclimate.tokens import load_tokenizer

    if request.param == "t5-base-japanese":
        pytest.importorskip("sentencepiece")
        pytest.importorskip("google.protobuf")
    return request.param, load_tokenizer(shared_data / TOKENIZER_FOLDERS[request.param])
