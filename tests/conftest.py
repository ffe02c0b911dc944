"""Fixtures that tests of several packages use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The models of the tests are so small that a second thread only waits; on a busy machine it waits long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# How long an example takes says nothing on a busy machine.
settings.register_profile("acclimate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("acclimate")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real test data (corpora, tokenizers, checkpoints); tests that need it are skipped without one.

    It is named by the environment variable ACCLIMATE_TEST_DATA, or lies beside the repository in `shared/data`.
    """
    root = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("ACCLIMATE_TEST_DATA") or root.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}; set ACCLIMATE_TEST_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a BERT of random weights that trains in seconds: 2 layers, 32 wide, 64 positions, dropout 0.1.

    Its lower-case WordPiece vocabulary is written out, so that ids are the same everywhere: 5 special tokens
    (`[PAD]` is 0, `[MASK]` is 4), characters, whole words, then continuations of words.
    """
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = (
        "the of and to in is a for that with on as by it be are this an from or your you can use using new when will "
        "model language text data set service cluster node pod create run learn guide more cloud network storage"
    )
    chinese = "不之以为人也其有而子上下大王臣曰者使公年"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [
        *special,
        *letters,
        *".,:;!?'\"-()/_#*`",
        *words.split(),
        *chinese,
        *(f"##{letter}" for letter in letters),
    ]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    folder = tmp_path_factory.mktemp("models") / "tiny-bert"
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertForMaskedLM(config).save_pretrained(folder)
    BertTokenizer(vocab=vocabulary, model_max_length=64).save_pretrained(folder)
    return folder
