"""Special tokens that an architecture or objective needs and a tokenizer lacks.

Decoders often come without a padding token, encoders without an end token, and only T5's family has sentinels. What is
lacking is added on a copy: an existing token that is evidently meant for it is named, else a new one gets the next id.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from acclimate.errors import ModelError
from acclimate.tokens.tokenizers import SAMPLE, encode_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# What each named need is called in vocabularies that do not declare it; the first of the list is added where none is.
_NAMES: dict[str, tuple[str, ...]] = {
    "pad": (
        "<pad>",
        "[PAD]",
        "<|pad|>",
        "<|PAD|>",
        "<|padding|>",
        "<|finetune_right_pad_id|>",
        "<PAD>",
        "<|pad_token|>",
    ),
    "eos": ("</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>", "<|eos|>", "[EOS]", "<EOS>", "<|end▁of▁sentence|>"),
    "mask": ("<mask>", "[MASK]", "<|mask|>", "<|MASK|>", "<MASK>", "<|mdm_mask|>"),
}
SENTINELS = "sentinels"
# What begins and ends a blank that is filled in: GLM's own names, and those that are added.
_BLANKS = (("<sop>", "<eop>"), ("<|startofpiece|>", "<|endofpiece|>"))
# UL2's denoisers: regular, sequential, extreme.
_MODES = {"R": "[R]", "S": "[S]", "X": "[X]"}
NEEDS = (*_NAMES, SENTINELS, "blanks", "modes")
NUM_SENTINELS = 100
# T5's, UL2's and umT5's name; mT5's vocabulary has it as a piece behind a blank.
_SENTINEL = re.compile("(▁?)<extra_id_(\\d+)>")


def add_missing_tokens(
    tokenizer: PreTrainedTokenizerBase, needs: Sequence[str]
) -> tuple[PreTrainedTokenizerBase, tuple[str, ...]]:
    """A copy of a tokenizer with the special tokens that are needed.

    The ids of ordinary text stay as they are. What the tokenizer has already is left alone.

    Args:
        tokenizer: is not changed.
        needs: of "pad", "eos", "mask", "sentinels", "blanks" (`<|startofpiece|>`, `<|endofpiece|>` where there are no
            `<sop>` and `<eop>`) and "modes" (UL2's `[R]`, `[S]`, `[X]`). Where a tokenizer declares none, a token of
            its vocabulary with a usual name is declared, for "eos" also its `sep_token`; else `<pad>`, `</s>`,
            `<mask>`, or 100 sentinels `<extra_id_0>` … `<extra_id_99>` are added.

    Returns:
        the copy, and the tokens that are new in it, in the order of their ids: the rows that a model's embeddings lack.

    Raises:
        ModelError: the tokenizer takes no tokens.
        ValueError: a need that does not exist.
    """
    unknown = set(needs) - set(NEEDS)
    if unknown:
        raise ValueError(f"there is no need {sorted(unknown)[0]!r}; there are {', '.join(NEEDS)}")
    extended = copy.deepcopy(tokenizer)
    for need in _NAMES:
        if need in needs and getattr(extended, f"{need}_token_id") is None:
            _declare(extended, f"{need}_token", _token_for(extended, need))
    if SENTINELS in needs and not sentinel_ids(extended):
        _add(extended, [f"<extra_id_{number}>" for number in range(NUM_SENTINELS)])
    if "blanks" in needs and blank_ids(extended) is None:
        _add(extended, list(_BLANKS[-1]))
    if "modes" in needs and not mode_ids(extended):
        _add(extended, list(_MODES.values()))
    known = tokenizer.get_vocab()
    new = sorted((index, token) for token, index in extended.get_vocab().items() if token not in known)
    if new:
        _check(tokenizer, extended, new)
    return extended, tuple(token for _, token in new)


def declare_tokens(tokenizer: PreTrainedTokenizerBase, roles: Mapping[str, str | None]) -> PreTrainedTokenizerBase:
    """A copy of a tokenizer in which tokens of its vocabulary have the roles that are named.

    Args:
        roles: by attribute, such as {"mask_token": "<|dummy_0|>"}; None leaves a role as it is.

    Raises:
        ModelError: a token is not in the vocabulary.
    """
    wanted = {attribute: token for attribute, token in roles.items() if token is not None}
    vocabulary = tokenizer.get_vocab()
    for attribute, token in wanted.items():
        if token not in vocabulary:
            raise ModelError(
                f"`tokenizer.{attribute}`: {_name(tokenizer)} has no token {token!r}; name one of its vocabulary, or "
                "leave it out, so that one is added where it is needed"
            )
    declared = copy.deepcopy(tokenizer) if wanted else tokenizer
    for attribute, token in wanted.items():
        _declare(declared, attribute, token)
    return declared


def sentinel_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The ids of T5's sentinels, that of `<extra_id_0>` first; empty where there are none.

    In T5's own vocabulary the first one has the highest id, and they count down.
    """
    found: dict[int, tuple[str, int]] = {}
    for token, index in tokenizer.get_vocab().items():
        match = _SENTINEL.fullmatch(token)
        if match is not None:  # a name without a blank, which sorts first, is preferred
            number = int(match[2])
            found[number] = min(found.get(number, (match[1], index)), (match[1], index))
    return tuple(found[number][1] for number in sorted(found))


def blank_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int] | None:
    """The ids of the tokens that begin and end a blank (GLM); None where there are none."""
    vocabulary = tokenizer.get_vocab()
    return next(((vocabulary[a], vocabulary[b]) for a, b in _BLANKS if a in vocabulary and b in vocabulary), None)


def mode_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """The ids of UL2's mode tokens by letter; empty where they are not all special tokens of the tokenizer."""
    special = {str(token): index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    found = {letter: special[token] for letter, token in _MODES.items() if token in special}
    return found if len(found) == len(_MODES) else {}


def _token_for(tokenizer: PreTrainedTokenizerBase, need: str) -> str:
    """The token to declare: one that is there, or the one to add."""
    if need == "eos" and tokenizer.sep_token is not None:
        # Decoders and encoder-decoders with BERT's tokenizer (Chinese GPT-2, BART) end texts with [SEP].
        return str(tokenizer.sep_token)
    vocabulary = tokenizer.get_vocab()
    return next((name for name in _NAMES[need] if name in vocabulary), _NAMES[need][0])


def _declare(tokenizer: PreTrainedTokenizerBase, attribute: str, token: str) -> None:
    try:
        tokenizer.add_special_tokens({attribute: token})
    except (NotImplementedError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{_name(tokenizer)} takes no special token {token!r}: {error}; use another one") from error


def _add(tokenizer: PreTrainedTokenizerBase, tokens: list[str]) -> None:
    try:
        # Without `replace…`, those that are there would no longer be special.
        tokenizer.add_special_tokens({"extra_special_tokens": tokens}, replace_extra_special_tokens=False)
    except (NotImplementedError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{_name(tokenizer)} takes no special tokens such as {tokens[0]!r}: {error}; use another one"
        ) from error


def _check(before: PreTrainedTokenizerBase, after: PreTrainedTokenizerBase, new: list[tuple[int, str]]) -> None:
    """That new tokens have new ids, special ones, and that ordinary text has its old ones."""
    taken = set(before.get_vocab().values())
    special = {index for index, token in after.added_tokens_decoder.items() if token.special}
    wrong = [token for index, token in new if index in taken or index not in special]
    if wrong:
        raise ModelError(f"{_name(before)} did not take {wrong[0]!r} as a new special token; use another one")
    if encode_text(before, SAMPLE) != encode_text(after, SAMPLE):
        raise ModelError(f"{_name(before)} gives text other ids once it has new special tokens; use another one")


def _name(tokenizer: PreTrainedTokenizerBase) -> str:
    return f"the tokenizer {tokenizer.name_or_path or type(tokenizer).__name__}"
