"""Settings of the tokenizer: which one to load, or what to train."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from acclimate.recipe import Section

TokenizerKind = Literal["wordpiece", "bpe", "unigram"]

# A byte-level BPE has all 256 bytes and five special tokens before the first merge.
_MIN_VOCAB_SIZE: dict[str, int] = {"wordpiece": 32, "bpe": 256 + 5, "unigram": 32}


class TokenizerSettings(Section):
    """`tokenizer:` of a recipe; a bare value is `name`.

    Without `name` or `train` the model's own tokenizer is used.
    """

    SHORTHAND: ClassVar[str | None] = "name"

    name: str | None = Field(None, description="hub id or folder of a tokenizer; default the model's own")
    revision: str | None = Field(None, description="branch, tag or commit of the hub repository `name`")
    train: TokenizerKind | None = Field(
        None, description="train one on the corpus: wordpiece (BERT's), bpe (byte-level, RoBERTa's), unigram (ALBERT's)"
    )
    vocab_size: int = Field(30_000, description="with `train`: size of the vocabulary, special tokens included")
    min_frequency: int = Field(2, ge=1, description="with `train`: how often a pair must occur to be merged")
    mask_token: str | None = Field(None, description="a token of the vocabulary that is to be the mask")
    pad_token: str | None = Field(None, description="a token of the vocabulary that is to be the padding")
    eos_token: str | None = Field(None, description="a token of the vocabulary that is to end texts")
    lowercase: bool = Field(False, description="with `train`: lower-case the text, and strip accents as BERT does")

    @model_validator(mode="after")
    def _makes_sense(self) -> TokenizerSettings:
        if self.name is not None and self.train is not None:
            raise ValueError("`name` loads a tokenizer and `train` makes one; give one of the two")
        if self.revision is not None and self.name is None:
            raise ValueError("`revision` is one of a hub repository; give its `name` too")
        if self.train is None:
            for key in ("vocab_size", "min_frequency", "lowercase"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(
                        f"`{key}` is for a tokenizer that is trained on the corpus; "
                        f"add `train: wordpiece`, bpe or unigram, or leave `{key}` out"
                    )
            return self
        if self.train == "unigram" and self.min_frequency != type(self).model_fields["min_frequency"].default:
            raise ValueError(
                "`min_frequency` has no meaning for unigram, which keeps pieces by likelihood; leave it out"
            )
        if self.vocab_size < _MIN_VOCAB_SIZE[self.train]:
            raise ValueError(
                f"`vocab_size` of {self.vocab_size} is too small for {self.train}; "
                f"give at least {_MIN_VOCAB_SIZE[self.train]}"
            )
        return self
