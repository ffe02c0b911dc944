"""Small vocabularies, rows, stores and models for tests of objectives and training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from acclimate.objectives.rows import NO_PLACE, Row
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.tokens.tokenizers import Frame

PAD, UNK, CLS, SEP, MASK = range(5)
FIRST_REGULAR = 5


def vocabulary(size: int = 100) -> Vocabulary:
    """[PAD] [UNK] [CLS] [SEP] [MASK] and `size - 5` regular tokens, framed as BERT's."""
    special = np.zeros(size, dtype=bool)
    special[:FIRST_REGULAR] = True
    return Vocabulary(size, special, np.flatnonzero(~special), PAD, MASK, Frame((CLS,), (SEP,)), sep_id=SEP)


def row(*pieces: list[int], word_starts: list[list[int]] | None = None) -> Row:
    """A row of framed pieces; each token begins a word unless `word_starts` says otherwise, piece by piece. The pieces
    stand one behind the other in the token stream, from place 0 on."""
    starts = word_starts or [[1] * len(piece) for piece in pieces]
    ids = [token for piece in pieces for token in [CLS, *piece, SEP]]
    return Row(
        input_ids=np.array(ids, dtype=np.int64),
        candidates=np.array([token >= FIRST_REGULAR for token in ids]),
        word_starts=np.array([flag for marks in starts for flag in [0, *marks, 0]], dtype=bool),
        sentence_starts=np.array([place == 1 for piece in pieces for place in range(len(piece) + 2)]),
        segment_ids=np.concatenate([np.full(len(piece) + 2, index) for index, piece in enumerate(pieces)]),
        position_ids=np.concatenate([np.arange(len(piece) + 2) for piece in pieces]),
        places=_places([len(piece) for piece in pieces]),
    )


def _places(lengths: list[int]) -> np.ndarray:
    ends = np.cumsum(lengths)
    return np.concatenate(
        [np.pad(np.arange(end - length, end), 1, constant_values=NO_PLACE) for length, end in zip(lengths, ends)]
    )


def tokenizer(size: int = 100) -> PreTrainedTokenizerFast:
    """Words `w5`, `w6`, … and BERT's special tokens; splits at blanks."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{index}" for index in range(FIRST_REGULAR, size))]
    backend = Tokenizer(models.WordLevel({name: index for index, name in enumerate(names)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )


def bert(size: int = 100, *, seed: int = 0, dropout: float = 0.0, **config: int) -> BertForMaskedLM:
    """A random BERT of 2 layers."""
    torch.manual_seed(seed)
    values = {
        "vocab_size": size,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "pad_token_id": PAD,
        **config,
    }
    return BertForMaskedLM(BertConfig(**values, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout))


def corpus_folder(folder: Path, texts: list[str], **settings: object) -> Path:
    """A corpus of the given texts, each a record of a JSON Lines file."""
    import json

    from acclimate.corpus import CorpusSettings, build_corpus

    source = folder / "texts.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    build_corpus(CorpusSettings.model_validate({"sources": str(source), **settings}), folder / "corpus")
    return folder / "corpus"
