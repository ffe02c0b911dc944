"""Small vocabularies, rows, stores and models for tests of objectives and training."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from acclimate.objectives.rows import NO_PLACE, Row
from acclimate.objectives.vocabulary import Vocabulary
from acclimate.tokens.store import BREAK, JOINT, WORD_START, Isolate, Layer
from acclimate.tokens.tokenizers import Frame

PAD, UNK, CLS, SEP, MASK = range(5)
# Decoders and encoder-decoders have the same ids by other names.
BOS, EOS = CLS, SEP
FIRST_REGULAR = 5


def vocabulary(size: int = 100) -> Vocabulary:
    """[PAD] [UNK] [CLS] [SEP] [MASK] and `size - 5` regular tokens, framed as BERT's."""
    special = np.zeros(size, dtype=bool)
    special[:FIRST_REGULAR] = True
    return Vocabulary(size, special, np.flatnonzero(~special), PAD, MASK, Frame((CLS,), (SEP,)), sep_id=SEP)


def decoder_vocabulary(size: int = 100, *, bos: bool = True) -> Vocabulary:
    """As `vocabulary`, framed as Llama's (`<s> …`) or, without `bos`, as GPT-2's (nothing)."""
    special = np.zeros(size, dtype=bool)
    special[:FIRST_REGULAR] = True
    frame = Frame((BOS,) if bos else (), ())
    return Vocabulary(size, special, np.flatnonzero(~special), PAD, None, frame, eos_id=EOS)


def t5_vocabulary(size: int = 100, *, num_sentinels: int = 20) -> Vocabulary:
    """As `vocabulary`, framed as T5's (`… </s>`), with its sentinels at the end, counting down."""
    special = np.zeros(size, dtype=bool)
    special[:FIRST_REGULAR] = True
    special[size - num_sentinels :] = True
    return Vocabulary(
        size,
        special,
        np.flatnonzero(~special),
        PAD,
        None,
        Frame((), (EOS,)),
        eos_id=EOS,
        sentinels=tuple(range(size - 1, size - num_sentinels - 1, -1)),
        decoder_start_id=PAD,
    )


def blank_vocabulary(size: int = 100, *, bos: bool = True) -> Vocabulary:
    """As `decoder_vocabulary`, with a mask token, and with the start and end of a blank as its last two ids."""
    plain = decoder_vocabulary(size, bos=bos)
    blanks = (size - 2, size - 1)
    special = plain.special.copy()
    special[[*blanks]] = True
    return dataclasses.replace(
        plain, special=special, regular_ids=np.flatnonzero(~special), mask_id=MASK, blank_ids=blanks
    )


def bart_vocabulary(size: int = 100) -> Vocabulary:
    """As `vocabulary`, framed as BART's (`<s> … </s>`), whose decoder starts with `</s>`."""
    return dataclasses.replace(vocabulary(size), eos_id=EOS, decoder_start_id=EOS)


def ul2_vocabulary(size: int = 200, *, num_sentinels: int = 100) -> Vocabulary:
    """As `t5_vocabulary`, with the mode tokens [R], [S] and [X] before the sentinels."""
    plain = t5_vocabulary(size, num_sentinels=num_sentinels)
    first = size - num_sentinels - 3
    special = plain.special.copy()
    special[first : first + 3] = True
    modes = {letter: first + number for number, letter in enumerate("RSX")}
    return dataclasses.replace(plain, special=special, regular_ids=np.flatnonzero(~special), mode_ids=modes)


@dataclass(frozen=True, eq=False)
class MemoryStore:
    """What objectives read of a `TokenStore`, in memory. Made by `memory_store`."""

    ids: np.ndarray
    flags: np.ndarray
    documents: np.ndarray
    groups: np.ndarray
    has_words: bool = True
    has_pairs: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    def require(self, layers: Collection[Layer]) -> None:
        """It has them all."""

    def spans(self, isolate: Isolate) -> np.ndarray:
        return {"document": self.documents, "group": self.groups, "none": np.array([[0, len(self)]])}[isolate]


def memory_store(
    documents: Sequence[Sequence[int]],
    *,
    flags: Sequence[Sequence[int]] | None = None,
    groups: str = "",
    joint: int | None = SEP,
    newline: int | None = None,
    has_pairs: bool = False,
) -> MemoryStore:
    """A store of the given documents.

    Args:
        flags: of each token, document by document; default each begins a word. A row may break where a word begins.
        groups: the group of each document by a letter, default one each; those of a group stand together.
        joint: what stands after a group's last document; `newline` after the others, default the same.
    """
    flags = [[WORD_START] * len(document) for document in documents] if flags is None else flags
    groups = groups or "".join(chr(ord("a") + number) for number in range(len(documents)))
    ids: list[int] = []
    marks: list[int] = []
    bounds, group_bounds = [], []
    for number, document in enumerate(documents):
        if number == 0 or groups[number] != groups[number - 1]:
            group_bounds.append([len(ids), len(ids)])
        bounds.append([len(ids), len(ids) + len(document)])
        group_bounds[-1][1] = bounds[-1][1]
        ends_group = number + 1 == len(documents) or groups[number + 1] != groups[number]
        between = joint if ends_group or newline is None else newline
        ids += [*document, *([] if between is None else [between])]
        marks += [
            *(flag | (BREAK if flag & (WORD_START | JOINT) == WORD_START else 0) for flag in flags[number]),
            *([] if between is None else [WORD_START | JOINT]),
        ]
    return MemoryStore(
        np.array(ids, dtype=np.uint16),
        np.array(marks, dtype=np.uint8),
        np.array(bounds, dtype=np.int64).reshape(-1, 2),
        np.array(group_bounds, dtype=np.int64).reshape(-1, 2),
        has_pairs=has_pairs,
    )


def row(
    *pieces: list[int], word_starts: list[list[int]] | None = None, sentence_starts: list[list[int]] | None = None
) -> Row:
    """A row of framed pieces; each token begins a word unless `word_starts` says otherwise, piece by piece, and none a
    sentence unless `sentence_starts` does. The pieces stand one behind the other in the token stream, from place 0
    on."""
    sentences = sentence_starts or [[0] * len(piece) for piece in pieces]
    starts = word_starts or [[1] * len(piece) for piece in pieces]
    ids = [token for piece in pieces for token in [CLS, *piece, SEP]]
    return Row(
        input_ids=np.array(ids, dtype=np.int64),
        candidates=np.array([token >= FIRST_REGULAR for token in ids]),
        word_starts=np.array([flag for marks in starts for flag in [0, *marks, 0]], dtype=bool),
        sentence_starts=np.array([flag for marks in sentences for flag in [0, *marks, 0]], dtype=bool),
        segment_ids=np.concatenate([np.full(len(piece) + 2, index) for index, piece in enumerate(pieces)]),
        position_ids=np.concatenate([np.arange(len(piece) + 2) for piece in pieces]),
        places=_places([len(piece) for piece in pieces]),
    )


def _places(lengths: list[int]) -> np.ndarray:
    ends = np.cumsum(lengths)
    return np.concatenate(
        [
            np.pad(np.arange(end - length, end), 1, constant_values=NO_PLACE)
            for length, end in zip(lengths, ends, strict=True)
        ]
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
