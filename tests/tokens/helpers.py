"""A corpus in memory, and small tokenizers of every kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acclimate.corpus import Document


@dataclass
class TextCorpus:
    """What the token store uses of a `Corpus`."""

    train: Sequence[Document]
    held_out: Sequence[Document] = ()
    fingerprint: str = "corpus"
    folder: Path = Path("corpus")
    reads: int = 0

    def documents(self, split: str) -> Iterator[Document]:
        self.reads += 1
        yield from (self.train if split == "train" else self.held_out)

    def num_documents(self, split: str) -> int:
        return len(self.train if split == "train" else self.held_out)


def documents(*texts: str, groups: str = "") -> list[Document]:
    """One document a text; `groups` names the group of each by a letter, default one each."""
    return [Document(f"d{n}", text, groups[n] if groups else f"g{n}") for n, text in enumerate(texts)]


def word_piece(*words: str, special: bool = True, **normalizer: Any) -> Any:
    """A BERT tokenizer of the given pieces, ids from 5 on; without `special`, one that has no separator."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    backend = Tokenizer(models.WordPiece({piece: index for index, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(**{"lowercase": False, **normalizer})
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if not special:
        return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def byte_bpe(*, trim_offsets: bool | None = None, use_regex: bool = True) -> Any:
    """A byte-level BPE without merges: the id of a byte is its place in the alphabet, `<eos>` is 256."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({letter: index for index, letter in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    backend.decoder = decoders.ByteLevel()
    if trim_offsets is not None:
        backend.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    backend.add_special_tokens([AddedToken("<eos>", special=True)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")
