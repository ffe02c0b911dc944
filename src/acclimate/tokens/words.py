"""Where words start, told by the text rather than by one tokenizer's prefixes.

A tokenizer's own `word_ids()` depend on its pre-tokenizer: they miss 3 % of the word starts under byte-level BPE, a
fifth to almost all of them under SentencePiece models, and take a whole run of Chinese characters for one word. So the
text itself is cut into words, its characters are labelled, and each token gets the word of its first character that is
not a space, found by its offsets into the text.

A word is

- a run of letters, digits and the marks on them (`naïve`, `v1`, `한국어`), of one script class;
- in a run of Chinese characters, what the segmenter (jieba) makes of it;
- a run of hiragana, or of katakana; Kanji beside them are segmented like Chinese;
- one character with its marks where a script writes no spaces and no segmenter is at hand (Thai, Lao, Khmer,
  Myanmar, Tibetan);
- any other visible character by itself: punctuation, symbols, private use.
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections.abc import Sequence
from operator import itemgetter

import numpy as np
import numpy.typing as npt

Offsets = Sequence[tuple[int, int]]

# Classes of characters. From SINGLE on, each character is a word by itself.
_SPACE, _MARK, _LETTER, _HIRAGANA, _KATAKANA, _HAN, _SINGLE = range(7)

_CLASS_RANGES = (
    (_HAN, ((0x3005, 0x3005), (0x3007, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF))),
    (_HAN, ((0x20000, 0x3FFFD),)),
    (_HIRAGANA, ((0x3041, 0x3096), (0x309D, 0x309F))),
    (_KATAKANA, ((0x30A1, 0x30FA), (0x30FC, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D))),
)
# Scripts without spaces between words: Thai, Lao, Tibetan, Myanmar, Khmer. Only their letters; marks stay marks.
_SPACELESS_RANGES = ((0x0E00, 0x0EFF), (0x0F00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF))
# Categories are looked up below and within these bounds; whatever lies beyond is a symbol.
_LOOKED_UP = ((0x0, 0x20000), (0xE0000, 0xE01F0))
_JOINERS = (0x200C, 0x200D)


@functools.cache
def _class_table() -> npt.NDArray[np.uint8]:
    """The class of every code point, [0x110000] uint8."""
    table = np.full(0x110000, _SINGLE, np.uint8)
    for first, end in _LOOKED_UP:
        for code in range(first, end):
            category = unicodedata.category(chr(code))
            if category[0] == "L" or category[0] == "N":
                table[code] = _LETTER
            elif category[0] == "M":
                table[code] = _MARK
            elif category[0] == "Z" or category == "Cc":
                table[code] = _SPACE
    for first, last in _SPACELESS_RANGES:
        block = table[first : last + 1]
        block[block == _LETTER] = _SINGLE
    for kind, ranges in _CLASS_RANGES:
        for first, last in ranges:
            table[first : last + 1] = kind
    # Zero-width joiners hold a word (Persian, Indic scripts, emoji) together as marks do.
    table[list(_JOINERS)] = _MARK
    return table


def is_within_word(character: str) -> bool:
    """Whether a character may go on with the word before it: a letter, a digit, a mark."""
    return bool(_class_table()[ord(character)] in (_LETTER, _MARK))


def word_spans(text: str) -> npt.NDArray[np.int64]:
    """[W, 2] the first character and the end of each word of a text, in order."""
    words = _character_words(text)
    begins = np.flatnonzero(np.diff(words, prepend=-1) != 0)
    ends = np.append(begins[1:], len(words))
    inside = words[begins] >= 0
    return np.stack([begins[inside], ends[inside]], axis=1).astype(np.int64)


def word_starts(text: str, offsets: Offsets) -> npt.NDArray[np.bool_]:
    """Which tokens start a word of `text`.

    Args:
        text: the text as it was given to the tokenizer.
        offsets: first character and end of each token in `text`, in its order; trimmed or not. A token without a
            visible character (a lone `▁`, a newline) belongs to the word after it.

    Returns:
        [len(offsets)] bool; the first token always starts a word.
    """
    starts = np.fromiter(map(itemgetter(0), offsets), np.int64, len(offsets))
    ends = np.fromiter(map(itemgetter(1), offsets), np.int64, len(offsets))
    return batch_word_starts([text], starts, ends, np.array([len(offsets)]))


def batch_word_starts(
    texts: Sequence[str], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """`word_starts` of many texts at once.

    Args:
        texts: the texts.
        starts: [T] first character of each token in its own text, all texts one after the other.
        ends: [T] end of each token.
        counts: [len(texts)] number of tokens of each text.

    Returns:
        [T] bool.
    """
    if len(starts) == 0:
        return np.zeros(0, np.bool_)
    # The texts are looked at as one, a line break between them, so that no word reaches over two.
    joined = "\n".join([*texts, ""])
    words = _character_words(joined)
    visible = _next_visible(words)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts)) + 1
    bases = np.repeat(np.cumsum(lengths) - lengths, counts)
    first = visible[starts + bases]
    has_word = first < ends + bases
    token_words = np.where(has_word, words[np.minimum(first, len(words) - 1)], -1)

    text_starts = np.zeros(len(starts), np.bool_)
    firsts = np.cumsum(counts) - counts
    text_starts[firsts[counts > 0]] = True
    return _changes(token_words, text_starts)


def _changes(token_words: npt.NDArray[np.int64], text_starts: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Where the word changes from one token to the next; tokens without a word (-1) take the next one's."""
    wordless = np.flatnonzero(token_words < 0)
    if len(wordless):
        token_words = token_words.copy()
        # The next token with a word, unless a text ends before it: then these tokens are a word of their own.
        index = np.arange(len(token_words) + 1)
        index[wordless] = len(token_words)
        following = np.minimum.accumulate(index[::-1])[::-1][wordless]
        text_of = np.cumsum(text_starts)
        inside = following < len(token_words)
        inside[inside] = text_of[following[inside]] == text_of[wordless[inside]]
        token_words[wordless[inside]] = token_words[following[inside]]
    changes = np.ones(len(token_words), np.bool_)
    np.not_equal(token_words[1:], token_words[:-1], out=changes[1:])
    return changes | text_starts


def _next_visible(words: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each character the first one from it on that is in a word; one past the end where there is none."""
    index = np.where(words >= 0, np.arange(len(words)), len(words))
    return np.append(np.minimum.accumulate(index[::-1])[::-1], len(words))


def _character_words(text: str) -> npt.NDArray[np.int64]:
    """The number of the word that each character is in, -1 for spaces and control characters."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    classes = _class_table()[codes]
    begins = np.ones(len(classes), np.bool_)
    marks = classes == _MARK
    if marks.any():
        classes = _without_marks(classes, marks)
    np.not_equal(classes[1:], classes[:-1], out=begins[1:])
    begins |= classes == _SINGLE
    _segment_han(text, classes == _HAN, begins)
    if marks.any():
        # A mark goes with the character before it, whatever that is; after a space it begins a word.
        begins[1:] &= ~marks[1:] | (classes[:-1] == _SPACE)
    spaces = classes == _SPACE
    begins &= ~spaces
    return np.where(spaces, -1, np.cumsum(begins))


def _without_marks(classes: npt.NDArray[np.uint8], marks: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Give each mark the class of the character that it stands on, a letter's where there is none."""
    owner = np.maximum.accumulate(np.where(marks, -1, np.arange(len(classes))))
    owned = classes[np.maximum(owner, 0)]
    return np.where(marks, np.where((owner < 0) | (owned == _SPACE), _LETTER, owned), classes).astype(np.uint8)


def _segment_han(text: str, han: npt.NDArray[np.bool_], begins: npt.NDArray[np.bool_]) -> None:
    """Mark in `begins` where the segmenter's words start within runs of Chinese characters."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], han, [False])).astype(np.int8)))
    if len(edges) == 0:
        return
    import rjieba

    runs = edges.reshape(-1, 2)
    # One call for all runs: a line break keeps them apart, and comes back as a piece by itself.
    pieces = rjieba.cut("\n".join([text[first:end] for first, end in runs.tolist()]))
    lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
    places = np.cumsum(lengths) - lengths
    run_lengths = runs[:, 1] - runs[:, 0]
    run_places = np.cumsum(run_lengths + 1) - (run_lengths + 1)
    run = np.searchsorted(run_places, places, side="right") - 1
    inside = places - run_places[run]
    kept = inside < run_lengths[run]
    begins[runs[run[kept], 0] + inside[kept]] = True


def token_bounds(offsets: Sequence[Offsets]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The starts and ends of the tokens of many texts, each [T], from their offsets."""
    total = sum(map(len, offsets))
    flat = itertools.chain.from_iterable(itertools.chain.from_iterable(offsets))
    bounds = np.fromiter(flat, np.int64, 2 * total).reshape(-1, 2)
    return bounds[:, 0], bounds[:, 1]
