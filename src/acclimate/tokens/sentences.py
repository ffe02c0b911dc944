"""Where sentences start, by one set of rules for English, Chinese and texts that mix them.

- **A blank line** ends a sentence. So does **a single line break**, since a line of Markdown, of a list, a table or
  code is a unit of its own, unless the next line goes on in lower case or the line breaks off at an abbreviation, as
  in text that was wrapped at some width.
- **Chinese marks** `。！？；｡` and runs of them end a sentence wherever they stand, `…` after a Chinese character too.
  Closing quotes and brackets behind them belong to it. None ends at a mark within a title (`《怎么办？》`), or where a
  comma follows the closing quote.
- **Other marks** `.`, `!`, `?`, `…` end a sentence, with the closing quotes, brackets and marks of emphasis behind
  them, where white space follows and the next word does not begin in lower case. A full stop does not end it after a
  title, an initial, an abbreviation or an item's number (`Dr.`, `J.`, `e.g.`, `1.`); after an abbreviation that often
  stands last (`U.S.`, `etc.`), an initial included, it does before a word that often stands first (`He`, `The`).

That is the scheme of Unicode's sentence boundaries (UAX #29, whose rule for lower case is kept) with lists of English
abbreviations. The library sentencex (1.0) was tried instead: it panics at a no-break space behind an initial, and gives
closing Chinese quotes to the next sentence.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

_CHINESE_MARKS = "。！？；｡"
_CJK = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
# A run of marks, or a line's end. A mark within a word (`Node.js`, `a?b=c`) is passed over here, where it is cheap.
_MARKS = re.compile(rf"[.!?…{_CHINESE_MARKS}]++(?:(?<=[…{_CHINESE_MARKS}])|(?![A-Za-z0-9/]))|\n\s*")
_VISIBLE = re.compile(r"\S")
_CHINESE_CLOSERS = re.compile("[」』”’）】〕］｣)\\]}]*")
_CLOSERS = re.compile("[\"'」』”’）)\\]}»*_`~]*")
_IS_CJK = re.compile(f"[{_CJK}]")
# What may stand between a mark and the word that tells whether a sentence begins; code in backticks begins one.
_NEXT_WORD = re.compile("[\"'“‘「『（(\\[{*_<«¿¡]*([^\\W_]*)")
_NO_START = f",;:!?…)]}}，、：）》〉{_CHINESE_MARKS}"
# An item's number at the head of a line: `1.`, `2.1.`, `- a.`, `iv.`
_ITEM_NUMBER = r"[\s>*+#(-]*(?:\d{1,3}(?:\.\d{1,3})*|[A-Za-z]|[ivxIVX]{1,4})"
_ITEM = re.compile(_ITEM_NUMBER)
_ITEM_AHEAD = re.compile(rf"{_ITEM_NUMBER}[.)]\s")


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Never at a sentence's end.
_INSIDE = _words(
    "mr mrs ms mx messrs dr prof rev hon gen col maj capt lt sgt cmdr gov sen rep pres mt ft vs viz cf e.g i.e eg ie "
    "approx ca resp incl excl esp"
)
# Not at its end where a number follows.
_BEFORE_NUMBERS = _words(
    "no nos nr fig figs eq eqs sec secs ch chap vol vols p pp art par ver v ed eds tab tbl app ref refs "
    "jan feb mar apr jun jul aug sep sept oct nov dec"
)
# At its end only where a word follows that often stands first, as for initials and whatever has stops within it.
_OFTEN_LAST = _words("inc ltd co corp bros jr sr esq etc al plc llc st ave blvd rd dept univ min hr hrs")
_OFTEN_FIRST = _words(
    "a an the this that these those it he she they we you i there here in on at for from with by to of as if when "
    "while where what who why how which after before since because although though however then thus so but and or "
    "not no its his her their our my your one two some many most all both each every other another once until unless "
    "instead please see note use click select"
)
_LONGEST = 24  # characters before a full stop that are looked at
_LONGEST_QUOTE = 2000


def sentence_starts(text: str) -> list[int]:
    """The first character of each sentence of `text`, in order.

    The first is the first character that is not white space; a text of white space alone has none.
    """
    first = _VISIBLE.search(text)
    if first is None:
        return []
    starts = [first.start()]
    for match in _MARKS.finditer(text, starts[0]):
        start = _next_start(text, *match.span(), starts[-1])
        if start is not None and start > starts[-1]:
            starts.append(start)
    return starts


def _next_start(text: str, begin: int, end: int, sentence: int) -> int | None:
    """Where the sentence starts that follows the marks from `begin` to `end`; None where they do not end one."""
    if text[begin] == "\n":
        return _after_line(text, begin, end, sentence)
    if text[end - 1] in _CHINESE_MARKS or (text[end - 1] == "…" and _is_cjk(text, begin - 1)):
        return _after_chinese(text, end)
    return _after_mark(text, begin, end, sentence)


def _after_line(text: str, begin: int, start: int, sentence: int) -> int | None:
    if start == len(text):
        return None
    if text.count("\n", begin, start) > 1:
        return start
    if _next_word(text, start)[:1].islower() and not _ITEM_AHEAD.match(text, start):
        return None
    if text[begin - 1] == "." and _goes_on(text, begin - 1, start, sentence, items=False):
        return None
    return start


def _after_chinese(text: str, end: int) -> int | None:
    after = _closed(_CHINESE_CLOSERS, text, end)
    following = text[after : after + 1]
    # A straight quote opens or closes; it closes where an odd number of them stands before it in the line.
    if following in ('"', "'"):
        line = text[max(0, after - _LONGEST_QUOTE) : after].rpartition("\n")[2]
        after += line.count(following) % 2
        following = text[after : after + 1]
    return None if following and following in _NO_START else _visible(text, after)


def _after_mark(text: str, begin: int, end: int, sentence: int) -> int | None:
    after = _closed(_CLOSERS, text, end)
    start = _visible(text, after)
    if start is None:
        return None
    if start == after and (text[end - 1] == "." or not _is_cjk(text, after)):
        return None
    if text[start] in _NO_START or text[start : start + 2] in (".", ". ", ".."):
        return None
    if _next_word(text, start)[:1].islower():
        return None
    if "\n" in text[after:start]:  # the line's end decides
        return None
    if text[begin:end] == "." and _goes_on(text, begin, start, sentence, items=True):
        return None
    return start


def _goes_on(text: str, stop: int, start: int, sentence: int, *, items: bool) -> bool:
    """Whether a sentence goes on at `start` though there is a full stop at `stop`: an abbreviation's, or with `items`
    that of an item's number."""
    before = text[max(sentence, stop - _LONGEST) : stop]
    if items and stop - sentence <= _LONGEST and _ITEM.fullmatch(before):
        return True
    words = before.split()
    word = words[-1].lstrip("\"'“‘([{*_`<") if words and not before[-1].isspace() else ""
    lowered = word.lower()
    if lowered in _INSIDE:
        return True
    following = _next_word(text, start)
    if lowered in _BEFORE_NUMBERS:
        return following[:1].isdigit()
    is_initials = "." in word and all(len(part) <= 2 and part.isalpha() for part in word.split("."))
    if is_initials or lowered in _OFTEN_LAST or (len(word) == 1 and word.isupper()):
        return following.lower() not in _OFTEN_FIRST
    return False


def _closed(closers: re.Pattern[str], text: str, place: int) -> int:
    match = closers.match(text, place)
    assert match is not None, "the expression matches the empty string"
    return match.end()


def _next_word(text: str, place: int) -> str:
    match = _NEXT_WORD.match(text, place)
    assert match is not None, "the expression matches the empty string"
    return match[1]


def _visible(text: str, place: int) -> int | None:
    match = _VISIBLE.search(text, place)
    return None if match is None else match.start()


def _is_cjk(text: str, place: int) -> bool:
    return 0 <= place < len(text) and _IS_CJK.match(text, place) is not None


def batch_sentence_starts(
    texts: Sequence[str], starts: IntArray, ends: IntArray, counts: IntArray, words: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Which tokens start a sentence.

    A sentence starts with the word that its first character is in, blanks and line breaks that are tokens of their own
    included, so that every token that starts a sentence starts a word.

    Args:
        texts: the texts.
        starts: [T] first character of each token in its own text, all texts one after the other.
        ends: [T] end of each token.
        counts: [len(texts)] number of tokens of each text.
        words: [T] which tokens start a word.

    Returns:
        [T] bool; true for the first token of each text.
    """
    flags = np.zeros(len(starts), np.bool_)
    if len(flags) == 0:
        return flags
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    bases = np.cumsum(lengths) - lengths
    found = [sentence_starts(text) for text in texts]
    numbers = np.fromiter(map(len, found), np.int64, len(found))
    places = np.fromiter(itertools.chain.from_iterable(found), np.int64, int(numbers.sum())) + np.repeat(bases, numbers)
    # The first token that reaches beyond the place. Where a text has none left it is the first of a later one, which
    # starts a sentence anyway.
    token_ends = np.maximum.accumulate(ends + np.repeat(bases, counts))
    tokens = np.searchsorted(token_ends, places, side="right")
    tokens = tokens[tokens < len(flags)]
    word_of = np.maximum.accumulate(np.where(words, np.arange(len(words)), 0))
    flags[word_of[tokens]] = True
    flags[(np.cumsum(counts) - counts)[counts > 0]] = True
    return flags
