"""How many bytes of a text each token stands for, so that a loss can be told in bits per byte.

Perplexity per token cannot be compared between tokenizers; bits per byte of UTF-8 can (Gao et al. 2020, The Pile,
arXiv:2101.00027). A token stands for the text from its own start to the start of the next token: what the tokenizer
drops (blanks, accents, control characters) is counted too, and the sum over a document is exactly its length.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


def token_num_bytes(text: str, starts: Sequence[int] | IntArray) -> IntArray:
    """The bytes of UTF-8 that each token of a text stands for.

    Args:
        text: the text as it was given to the tokenizer.
        starts: first character of each token, in the tokenizer's order.

    Returns:
        [len(starts)] int64. The first token counts from the text's start, the last one to its end; of tokens that begin
        at the same character (the bytes of one, say) the last has it all. A text without tokens has no place for its
        bytes.
    """
    starts = np.asarray(starts, np.int64)
    return batch_num_bytes([text], starts, np.array([len(starts)]))


def batch_num_bytes(texts: Sequence[str], starts: IntArray, counts: IntArray) -> IntArray:
    """`token_num_bytes` of many texts at once.

    Args:
        texts: the texts.
        starts: [T] first character of each token in its own text, all texts one after the other.
        counts: [len(texts)] number of tokens of each text.

    Returns:
        [T] int64.
    """
    joined = "".join(texts)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    text_ends = np.cumsum(lengths)
    text_starts = text_ends - lengths
    firsts = np.cumsum(counts) - counts
    filled = counts > 0

    bounds = starts + np.repeat(text_starts, counts)
    bounds[firsts[filled]] = text_starts[filled]
    # A normaliser that puts characters in another order may give a start before the last one; no count is negative.
    bounds = np.maximum.accumulate(bounds)
    following = np.append(bounds[1:], 0)
    following[(firsts + counts - 1)[filled]] = text_ends[filled]
    if joined.isascii():
        return following - bounds
    places = _byte_places(joined)
    num_bytes: IntArray = places[following] - places[bounds]
    return num_bytes


def spread_bytes(num_bytes: int, num_tokens: int) -> IntArray:
    """`num_bytes` in `num_tokens` shares as equal as whole numbers can be: [num_tokens] int64."""
    places = np.arange(num_tokens + 1) * num_bytes // max(num_tokens, 1)
    return np.diff(places)


def _byte_places(text: str) -> IntArray:
    """[len(text) + 1] how many bytes stand before each character, and in all."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    sizes = 1 + (codes >= 0x80).astype(np.int8) + (codes >= 0x800) + (codes >= 0x10000)
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
