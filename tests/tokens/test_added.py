"""Special tokens added to real tokenizers and to small ones: what is named, what is new, and what stays as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acclimate.errors import ModelError
from acclimate.tokens import add_missing_tokens, load_tokenizer, sentinel_ids, tokenizer_fingerprint
from acclimate.tokens.added import NEEDS, blank_ids, declare_tokens, mode_ids
from acclimate.tokens.tokenizers import encode_text, text_frame

from .helpers import byte_bpe, word_piece

SENTINELS = tuple(f"<extra_id_{number}>" for number in range(100))
OTHERS = ("<|startofpiece|>", "<|endofpiece|>", "[R]", "[S]", "[X]")
TEXT = "An ordinary text, naïve: 使用语言模型 <pad> </s> [MASK] <mask> <extra_id_0>\n"

# What each tokenizer of the test data gets, and how large its vocabulary was: the ids of new tokens follow.
NEW = {
    "bert-base-uncased": (SENTINELS, 30522),  # [SEP] serves as end
    "bert-base-chinese": (SENTINELS, 21128),
    "bert-classical-chinese": (SENTINELS, 25370),
    "gpt2": (("<pad>", "<mask>", *SENTINELS), 50257),
    "albert-base": (SENTINELS, 30000),
    "t5-base-japanese": (("<mask>",), 32100),
    "stories260K": (("<pad>", "<mask>", *SENTINELS), 512),
}


def test_every_need_of_real_tokenizers(real_tokenizer: tuple[str, Any], tmp_path: Path) -> None:
    name, tokenizer = real_tokenizer
    tokens, size = NEW[name]
    before = tokenizer_fingerprint(tokenizer)
    extended, new = add_missing_tokens(tokenizer, NEEDS)
    assert new == (*tokens, *OTHERS)
    assert extended.convert_tokens_to_ids(list(new)) == list(range(size, size + len(new)))
    assert None not in (extended.pad_token_id, extended.eos_token_id, extended.mask_token_id)
    assert len(sentinel_ids(extended)) == 100
    assert blank_ids(extended) == tuple(extended.convert_tokens_to_ids(list(OTHERS[:2])))
    assert list(mode_ids(extended).values()) == extended.convert_tokens_to_ids(["[R]", "[S]", "[X]"])
    assert set(sentinel_ids(extended)) | {extended.pad_token_id, extended.mask_token_id} <= set(
        extended.all_special_ids
    )

    # Text has the ids that it had, and so has what frames it; the original is as it was.
    assert encode_text(extended, TEXT) == encode_text(tokenizer, TEXT)
    assert text_frame(extended) == text_frame(tokenizer)
    after = tokenizer_fingerprint(extended)
    assert tokenizer_fingerprint(tokenizer) == before != after
    assert len(tokenizer) == size

    extended.save_pretrained(tmp_path)
    saved = load_tokenizer(tmp_path)
    assert tokenizer_fingerprint(saved) == after
    assert sentinel_ids(saved) == sentinel_ids(extended)
    ids = saved.convert_tokens_to_ids(list(new))
    assert saved.decode(ids, skip_special_tokens=True) == ""
    # What is there is not added again.
    assert add_missing_tokens(saved, NEEDS)[1] == ()


def test_no_needs_no_change() -> None:
    tokenizer = byte_bpe()
    extended, new = add_missing_tokens(tokenizer, ())
    assert new == ()
    assert extended is not tokenizer
    assert tokenizer_fingerprint(extended) == tokenizer_fingerprint(tokenizer)


@pytest.mark.parametrize(
    ("need", "token"),
    [
        ("pad", "<|finetune_right_pad_id|>"),
        ("pad", "[PAD]"),
        ("pad", "<|PAD|>"),
        ("eos", "<|end_of_text|>"),
        ("eos", "<eos>"),
        ("mask", "[MASK]"),
        ("mask", "<|mask|>"),
    ],
)
@pytest.mark.parametrize("kind", ["special", "ordinary"])
def test_a_token_with_a_usual_name_is_declared(need: str, token: str, kind: str) -> None:
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", "a", "b", *([token] if kind == "ordinary" else [])]
    backend = Tokenizer(models.WordLevel({piece: index for index, piece in enumerate(pieces)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    if kind == "special":
        backend.add_special_tokens([AddedToken(token, special=True)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    extended, new = add_missing_tokens(tokenizer, (need,))
    assert new == ()
    assert getattr(extended, f"{need}_token") == token
    assert getattr(extended, f"{need}_token_id") == 3
    assert encode_text(extended, "a b") == [1, 2]
    assert getattr(tokenizer, f"{need}_token") is None


def test_what_is_declared_stays() -> None:
    # The end token of this one is also a usual name for padding to others; it declares both as it likes.
    tokenizer = byte_bpe()
    tokenizer.pad_token = "<eos>"
    extended, new = add_missing_tokens(tokenizer, ("pad", "eos"))
    assert (new, extended.pad_token_id, extended.eos_token_id) == ((), 256, 256)


def test_a_separator_is_the_end_of_a_tokenizer_without_one() -> None:
    extended, new = add_missing_tokens(word_piece("a"), ("eos",))
    assert (new, extended.eos_token_id, extended.sep_token_id) == ((), 3, 3)


def test_without_a_separator_an_end_is_added() -> None:
    extended, new = add_missing_tokens(word_piece("a", special=False), ("eos", "pad", "mask"))
    # [PAD] and [MASK] are in its vocabulary, though not declared; it has no usual name of an end.
    assert new == ("</s>",)
    assert (extended.pad_token, extended.mask_token, extended.eos_token_id) == ("[PAD]", "[MASK]", 6)
    assert extended.bos_token is None


def test_special_tokens_that_are_there_stay_special() -> None:
    tokenizer = byte_bpe()
    tokenizer.add_special_tokens({"extra_special_tokens": ["<title>"]})
    extended, new = add_missing_tokens(tokenizer, ("sentinels",))
    assert new == SENTINELS
    assert "<title>" in extended.all_special_tokens


def test_sentinels_count_down_in_the_vocabulary_of_t5(real_tokenizer: tuple[str, Any]) -> None:
    name, tokenizer = real_tokenizer
    expected = tuple(range(32099, 31999, -1)) if name == "t5-base-japanese" else ()
    assert sentinel_ids(tokenizer) == expected


def test_sentinels_are_ordered_by_number_whatever_their_ids() -> None:
    tokenizer = word_piece(
        "<extra_id_10>", "▁<extra_id_2>", "<extra_id_1>", "<extra_id_2>", "<extra_id_x>", "<extra_id_0>"
    )
    assert sentinel_ids(tokenizer) == (10, 7, 8, 5)  # 0, 1, 2 without the blank, 10
    assert add_missing_tokens(tokenizer, ("sentinels",))[1] == ()


def test_tokens_get_the_roles_that_are_named() -> None:
    tokenizer = byte_bpe()
    token = sorted(tokenizer.get_vocab())[-1]
    declared = declare_tokens(tokenizer, {"mask_token": token, "pad_token": None})
    assert declared.mask_token == token
    assert len(declared) == len(tokenizer)
    assert declare_tokens(tokenizer, {"mask_token": None}) is tokenizer
    with pytest.raises(ModelError, match="`tokenizer.mask_token`: .* has no token '<nowhere>'"):
        declare_tokens(tokenizer, {"mask_token": "<nowhere>"})


def test_the_role_that_a_token_has_is_not_changed_elsewhere() -> None:
    # A copy is declared; several at once; a token that is special already may have another role as well.
    tokenizer = word_piece("<|dummy_0|>", "<|dummy_1|>", special=False)
    declared = declare_tokens(
        tokenizer, {"mask_token": "<|dummy_0|>", "pad_token": "<|dummy_1|>", "eos_token": "[UNK]"}
    )
    assert (declared.mask_token_id, declared.pad_token_id, declared.eos_token_id) == (5, 6, 1)
    assert tokenizer.mask_token is None and tokenizer.pad_token is None
    assert {5, 6} <= set(declared.all_special_ids)
    assert add_missing_tokens(declared, ("mask", "pad", "eos"))[1] == ()


def test_blanks_of_glm_are_used_where_both_are_there() -> None:
    tokenizer = byte_bpe()
    tokenizer.add_special_tokens({"extra_special_tokens": ["<sop>", "<eop>"]})
    assert blank_ids(tokenizer) == (257, 258)
    extended, new = add_missing_tokens(tokenizer, ("blanks",))
    assert (new, blank_ids(extended)) == ((), (257, 258))


def test_one_end_of_a_blank_is_not_enough() -> None:
    tokenizer = byte_bpe()
    tokenizer.add_special_tokens({"extra_special_tokens": ["<sop>"]})
    assert blank_ids(tokenizer) is None
    extended, new = add_missing_tokens(tokenizer, ("blanks",))
    assert new == ("<|startofpiece|>", "<|endofpiece|>")
    assert blank_ids(extended) == (258, 259)
    assert {257, 258, 259} <= set(extended.all_special_ids)


def test_modes_are_special_tokens() -> None:
    tokenizer = byte_bpe()
    extended, new = add_missing_tokens(tokenizer, ("modes",))
    assert (new, mode_ids(extended)) == (("[R]", "[S]", "[X]"), {"R": 257, "S": 258, "X": 259})
    assert mode_ids(tokenizer) == {}
    # "[R]" in a text stays text.
    assert encode_text(extended, "as [R] and [X]") == encode_text(tokenizer, "as [R] and [X]")


def test_modes_that_are_words_of_the_vocabulary_become_special() -> None:
    tokenizer = word_piece("[R]", "[S]", "[X]")
    assert mode_ids(tokenizer) == {}
    extended, new = add_missing_tokens(tokenizer, ("modes",))
    assert (new, mode_ids(extended)) == ((), {"R": 5, "S": 6, "X": 7})


def test_a_slow_tokenizer() -> None:
    from transformers import ByT5Tokenizer

    tokenizer = ByT5Tokenizer(extra_ids=0)
    extended, new = add_missing_tokens(tokenizer, NEEDS)
    assert new == ("<mask>", *SENTINELS, *OTHERS)
    assert encode_text(extended, TEXT) == encode_text(tokenizer, TEXT)
    assert sentinel_ids(ByT5Tokenizer()) == tuple(range(259, 259 + 125))


def test_a_tokenizer_that_takes_no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = byte_bpe()

    def refuse(*args: object, **kwargs: object) -> None:
        raise NotImplementedError("this backend is fixed")

    monkeypatch.setattr(type(tokenizer), "add_special_tokens", refuse)
    for need, token in (("mask", "<mask>"), ("sentinels", "<extra_id_0>")):
        with pytest.raises(ModelError, match=f"takes no special tokens?.* '{token}': this backend is fixed"):
            add_missing_tokens(tokenizer, (need,))


def test_a_tokenizer_that_takes_them_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = byte_bpe()

    def add(self: Any, tokens: dict[str, str]) -> None:
        self.add_tokens(list(tokens.values()))  # as words of the text

    monkeypatch.setattr(type(tokenizer), "add_special_tokens", add)
    with pytest.raises(ModelError, match="did not take '<mask>'"):
        add_missing_tokens(tokenizer, ("mask",))


def test_a_need_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="no need 'bos'; there are pad, eos, mask, sentinels"):
        add_missing_tokens(byte_bpe(), ("bos",))
