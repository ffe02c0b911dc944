"""Tokenizers as this package uses them: loaded, fingerprinted, and asked how they frame and join texts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acclimate.artifacts import fingerprint
from acclimate.errors import ModelError
from acclimate.hub import local_files_only, reaching_hub

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Encoded for the fingerprint: between two versions of a library the same files may give other ids. It has cases,
# accents, digits, code, runs of blanks, Chinese, Japanese, Korean, Thai, Arabic, an emoji and a private-use character.
SAMPLE = (
    "It's Naïve: 3.14 Übergrößen,\tif (x_1 != 42) {\n    return 'e\u0301';  }  <br/> https://example.org/a-b?c=%20\n"
    "使用语言模型来预测下一个词。子曰：「學而時習之」 日本語のテキスト 한국어 ภาษาไทย العربية \U0001f600\ue000"
)

# How the names of files that hold a tokenizer begin; `*.model` are SentencePiece's.
_FILES = ("tokenizer", "vocab", "merges", "tekken", "bpe")


def load_tokenizer(name: str | Path, *, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Load a tokenizer from a hub id or a folder.

    Args:
        name: hub id, or folder with a tokenizer saved by `save_pretrained` (a model's or a run's folder serves too).
        revision: branch, tag or commit of the hub repository; default its main branch.

    Raises:
        ModelError: there is none, the hub is not reached, or a library to read it is missing.
    """
    from transformers import AutoTokenizer

    name = str(name)
    if Path(name).is_dir() and not any(
        path.name.startswith(_FILES) or path.suffix == ".model" for path in Path(name).iterdir()
    ):
        raise ModelError(
            f"{name} holds no tokenizer (no tokenizer.json, vocab.txt or the like); give a folder saved by "
            "`save_pretrained`, or a hub id"
        )
    with reaching_hub("tokenizer", name, ModelError):
        try:
            tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, local_files_only=local_files_only(name))
        except (ImportError, ValueError) as error:
            if not _lacks_sentencepiece(error):
                raise
            raise ModelError(
                f"tokenizer {name} is kept as a SentencePiece model, which needs libraries that are not installed; "
                'install them with `pip install "acclimate[sentencepiece]"`'
            ) from error
    # transformers takes a missing vocabulary file for an empty one; all text would be [UNK].
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        raise ModelError(
            f"tokenizer {name} has special tokens and no others: a file of its vocabulary (tokenizer.json, vocab.txt) "
            "is missing"
        )
    return tokenizer


def _lacks_sentencepiece(error: Exception) -> bool:
    # Where `sentencepiece` or `protobuf` is missing, transformers tries tiktoken last and complains of that.
    message = str(error).lower()
    named = any(word in message for word in ("sentencepiece", "protobuf", "tiktoken"))
    return named and not (_installed("sentencepiece") and _installed("google.protobuf"))


def _installed(module: str) -> bool:
    import importlib.util

    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """A digest of what decides a text's ids: vocabulary, merges, normaliser, added and special tokens, framing.

    Truncation and padding, which a tokenizer keeps from its last call, are not part of it. The ids of a fixed sample
    are, so that a change in the library that encodes is noticed too. The same in every process.
    """
    return fingerprint(
        {
            "backend": _backend_state(tokenizer),
            "special_tokens": {key: str(value) for key, value in tokenizer.special_tokens_map.items()},
            "special_ids": sorted(tokenizer.all_special_ids),
            "sample": encode_text(tokenizer, SAMPLE),
            "frame": list(tokenizer("a")["input_ids"]),
        }
    )


def _backend_state(tokenizer: PreTrainedTokenizerBase) -> Any:
    if not tokenizer.is_fast:
        return [type(tokenizer).__name__, tokenizer.get_vocab()]
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    return {**state, "truncation": None, "padding": None}


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The ids of `text` alone: whole, without special tokens, and with `[MASK]` and the like in it as ordinary text."""
    if tokenizer.is_fast:
        return list(plain_backend(tokenizer).encode(text, add_special_tokens=False).ids)
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"])


def plain_backend(tokenizer: PreTrainedTokenizerBase) -> Any:
    """A fast tokenizer's `tokenizers.Tokenizer`, copied, so that it neither cuts nor pads, nor sees special tokens in a
    text: a page that speaks of `[MASK]` gets the pieces of that word, not the mask token."""
    return plain_tokenizer(plain_state(tokenizer))


def plain_state(tokenizer: PreTrainedTokenizerBase) -> str:
    """The JSON that `plain_tokenizer` makes a `plain_backend` from, in this or another process."""
    state = _backend_state(tokenizer)
    # `encode_special_tokens` alone is not enough: models that look up whole words, and Unigram, have special tokens
    # among their pieces and find them there. They keep their ids, under names that no text has.
    hidden = {
        token["content"]: f"\x00{number}\x00" for number, token in enumerate(state["added_tokens"]) if token["special"]
    }
    for token in state["added_tokens"]:
        if token["special"]:
            token["content"] = hidden[token["content"]]
    model = state["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {hidden.get(piece, piece): index for piece, index in model["vocab"].items()}
    else:
        model["vocab"] = [[hidden.get(piece, piece), score] for piece, score in model["vocab"]]
    if model.get("unk_token") is not None:
        model["unk_token"] = hidden.get(model["unk_token"], model["unk_token"])
    return json.dumps(state)


def plain_tokenizer(state: str) -> Any:
    """The `plain_backend` of a `plain_state`."""
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(state)
    backend.encode_special_tokens = True
    return backend


@dataclass(frozen=True)
class Frame:
    """What a tokenizer puts around one text: `[CLS] … [SEP]`, `<s> … </s>`, `… </s>`, or nothing."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]

    def __len__(self) -> int:
        """The number of tokens that it adds."""
        return len(self.prefix) + len(self.suffix)


def text_frame(tokenizer: PreTrainedTokenizerBase) -> Frame:
    """How the tokenizer frames one text, found by encoding one with and without special tokens.

    Raises:
        ModelError: the tokenizer does not leave the text's own tokens together.
    """
    text = "a"
    plain = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    framed = list(tokenizer(text)["input_ids"])
    for first in range(len(framed) - len(plain) + 1):
        if plain and framed[first : first + len(plain)] == plain:
            return Frame(tuple(framed[:first]), tuple(framed[first + len(plain) :]))
    raise ModelError(
        f"the tokenizer {tokenizer.name_or_path or type(tokenizer).__name__} frames the text {text!r} as ids {framed}, "
        f"in which its own ids {plain} do not occur; such a tokenizer cannot be used for pretraining"
    )


@dataclass(frozen=True)
class Joints:
    """What stands between texts in a token store.

    `within` is put after a document whose successor belongs to the same group, `after` after a group's last one.
    """

    within: tuple[int, ...]
    after: tuple[int, ...]


def text_joints(tokenizer: PreTrainedTokenizerBase, backend: Any = None) -> Joints:
    """The tokenizer's newline between texts of one group where it has one, else its separator, which also ends groups.

    The separator is `sep_token` where the tokenizer frames texts with it (BERT), else `eos_token` (decoders and
    encoder-decoders, which learn to end a text with it), else whichever there is, else nothing.

    Args:
        backend: the `plain_backend` of a fast tokenizer, if there is one at hand.
    """
    sep, eos = tokenizer.sep_token_id, tokenizer.eos_token_id
    separator = sep if eos is None or (sep is not None and sep in tokenizer("a")["input_ids"]) else eos
    after = () if separator is None else (separator,)
    return Joints(within=_newline(tokenizer, backend) or after, after=after)


def _newline(tokenizer: PreTrainedTokenizerBase, backend: Any) -> tuple[int, ...]:
    """The ids that a newline between two words gets, empty where the tokenizer drops it or turns it into a blank."""
    if tokenizer.is_fast:
        encoding = (backend or plain_backend(tokenizer)).encode("a\na", add_special_tokens=False)
        ids = [token for token, bounds in zip(encoding.ids, encoding.offsets, strict=True) if tuple(bounds) == (1, 2)]
    else:
        word, line = encode_text(tokenizer, "a"), encode_text(tokenizer, "a\na")
        between = slice(len(word), len(line) - len(word))
        ids = line[between] if line[: len(word)] == word == line[between.stop :] else []
    if not ids or tokenizer.unk_token_id in ids or "\n" not in tokenizer.decode(ids):
        return ()
    return tuple(ids)
