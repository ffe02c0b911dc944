"""From documents to ids, flags and bytes, in parallel: the part of building a token store that takes time.

Documents come in chunks; a chunk is encoded, its words are found and its joints put in by one worker process. What
comes out depends on the documents and the tokenizer only, never on how many workers there were.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import signal
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError
from acclimate.tokens.breaks import BreakRule, break_rule
from acclimate.tokens.byte_counts import batch_num_bytes, spread_bytes
from acclimate.tokens.sentences import batch_sentence_starts
from acclimate.tokens.tokenizers import Joints, encode_text, plain_state, plain_tokenizer, text_joints
from acclimate.tokens.words import batch_word_starts, token_bounds

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from acclimate.corpus import Document, Pair

IntArray = npt.NDArray[np.int64]

WORD_START = 1
JOINT = 2
SENTENCE_START = 4
SECOND_START = 8
IS_RANDOM = 16
BREAK = 32

# What is known of tokens only if it is asked for, since it takes the tokenizer's offsets, and more.
Layer = Literal["words", "sentences", "bytes"]
LAYERS: tuple[Layer, ...] = ("words", "sentences", "bytes")

# A chunk is closed when it has this many characters or documents: enough to be worth sending, little to keep.
CHUNK_CHARACTERS = 1 << 19
CHUNK_DOCUMENTS = 1 << 14


@dataclass(frozen=True)
class Chunk:
    """Consecutive documents: their texts, what pairs they are, and whether each is the last of its group."""

    ids: list[str]
    texts: list[str]
    pairs: list[Pair | None]
    ends_group: list[bool]


@dataclass(frozen=True)
class Encoded:
    """A chunk as it goes into the store.

    `ids` [t], `flags` [t] uint8 and `num_bytes` [t] uint32 (None where not asked for) hold the documents, each followed
    by its joint; `bounds` [d, 2] are the first token and the end of each document within them. `text_bytes` is the
    length of all texts, those without a token included.
    """

    document_ids: list[str]
    ends_group: list[bool]
    ids: npt.NDArray[np.integer[Any]]
    flags: npt.NDArray[np.uint8]
    num_bytes: npt.NDArray[np.uint32] | None
    bounds: npt.NDArray[np.int64]
    num_characters: int
    text_bytes: int
    num_unknown: int


@dataclass(frozen=True)
class _Settings:
    """What a worker needs: the `plain_backend` of a fast tokenizer, and what the tokenizer says around it."""

    backend: Any
    layers: frozenset[Layer]
    breaks: BreakRule | None
    joints: Joints
    unk_token_id: int | None
    dtype: str


def id_dtype(num_ids: int) -> np.dtype[Any]:
    """The type of stored ids for a vocabulary of `num_ids` (`len(tokenizer)`): 16 bits where they fit, else 32."""
    return np.dtype("<u2") if num_ids <= 1 << 16 else np.dtype("<u4")


def make_chunks(documents: Iterable[Document]) -> Iterator[Chunk]:
    """Put documents together into chunks of about `CHUNK_CHARACTERS`, in order."""
    chunk = Chunk([], [], [], [])
    size = 0
    group: str | None = None
    for document in documents:
        if chunk.ids:
            chunk.ends_group.append(document.group != group)
            if size >= CHUNK_CHARACTERS or len(chunk.ids) >= CHUNK_DOCUMENTS:
                yield chunk
                chunk, size = Chunk([], [], [], []), 0
        chunk.ids.append(document.id)
        chunk.texts.append(document.text)
        chunk.pairs.append(document.pair)
        size += len(document.text)
        group = document.group
    if chunk.ids:
        chunk.ends_group.append(True)
        yield chunk


def encode_documents(
    documents: Iterable[Document],
    tokenizer: PreTrainedTokenizerBase,
    num_workers: int | None = None,
    *,
    layers: Collection[Layer] = LAYERS,
) -> Iterator[Encoded]:
    """Encode documents chunk by chunk, in order.

    Args:
        documents: consecutive ones with an equal `group` belong together.
        tokenizer: a fast one works in `num_workers` processes; a slow (Python) one in this process, and has neither
            words nor sentences.
        layers: what to find out beside ids, joints, pairs and breaks: "words" (`WORD_START`), "sentences"
            (`SENTENCE_START`, and words with them), "bytes". Ids are the same with any.
        num_workers: processes; default one per available CPU, at most 8. A corpus of one chunk needs none.

    Raises:
        DataError: a worker process died.
    """
    chunks = make_chunks(documents)
    state = plain_state(tokenizer) if tokenizer.is_fast else None
    backend = None if state is None else plain_tokenizer(state)
    settings = _Settings(
        backend,
        frozenset(layers),
        None if state is None else break_rule(json.loads(state)),
        text_joints(tokenizer, backend),
        tokenizer.unk_token_id,
        id_dtype(len(tokenizer)).str,
    )
    if not tokenizer.is_fast:
        yield from map(_slow_encoder(tokenizer, settings), chunks)
        return
    first = [chunk for _, chunk in zip(range(2), chunks, strict=False)]
    workers = num_workers if num_workers is not None else min(_available_cpus(), 8)
    if len(first) < 2 or workers < 2:
        encode = _fast_encoder(settings)
        for chunk in _chain(first, chunks):
            # In one thread: after others were started, this process should not fork.
            with _serial_tokenizers():
                encoded = encode(chunk)
            yield encoded
        return
    yield from _encode_in_processes(_chain(first, chunks), settings, workers)


def _chain(first: list[Chunk], rest: Iterator[Chunk]) -> Iterator[Chunk]:
    while first:
        yield first.pop(0)
    yield from rest


def _available_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _encode_in_processes(chunks: Iterator[Chunk], settings: _Settings, workers: int) -> Iterator[Encoded]:
    """Encode in worker processes, results in order; at most two chunks a worker are under way."""
    # fork, where there is one, needs no guard in the caller's script and shares what is loaded already.
    context = get_context("fork" if "fork" in get_all_start_methods() else "spawn")
    pending: deque[Future[Encoded]] = deque()
    with _serial_tokenizers():
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(settings,))
        try:
            for chunk in chunks:
                pending.append(pool.submit(_encode_in_worker, chunk))
                if len(pending) >= 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool as error:
            raise DataError(
                "a process that encoded documents died, most likely for want of memory; "
                "try again with fewer of them (num_workers=1)"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _serial_tokenizers() -> Iterator[None]:
    """One thread a process: we make the processes, and threads do not survive the fork."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


_encode: Callable[[Chunk], Encoded] | None = None


def _start_worker(settings: _Settings) -> None:
    global _encode
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C too, and ends the workers
    gc.disable()  # millions of offsets and no cycles: looking for those would take a tenth of the time
    _encode = _fast_encoder(settings)


def _encode_in_worker(chunk: Chunk) -> Encoded:
    assert _encode is not None, "the pool's initializer runs first"
    return _encode(chunk)


def _fast_encoder(settings: _Settings) -> Callable[[Chunk], Encoded]:
    assert settings.backend is not None and settings.breaks is not None, "slow tokenizers have their own encoder"
    backend, breaks = settings.backend, settings.breaks
    backend.encode_special_tokens = True  # which does not travel to a process that is spawned

    def encode(chunk: Chunk) -> Encoded:
        # Pairs need offsets to tell which token begins the second text.
        if settings.layers or any(pair is not None for pair in chunk.pairs):
            encodings = backend.encode_batch(chunk.texts, add_special_tokens=False)
            bounds = token_bounds([encoding.offsets for encoding in encodings])
        else:
            encodings, bounds = backend.encode_batch_fast(chunk.texts, add_special_tokens=False), None
        ids, lengths = _flat([encoding.ids for encoding in encodings])
        del encodings
        flags = breaks.breaks(ids) * np.uint8(BREAK)
        flags[_first_tokens(lengths)] |= BREAK
        num_bytes = None
        if bounds is not None:
            num_bytes = _tell_from_text(chunk, *bounds, lengths, flags, settings.layers)
        return _join(chunk, _Tokens(ids, lengths, flags, num_bytes), settings)

    return encode


def _tell_from_text(
    chunk: Chunk,
    starts: IntArray,
    ends: IntArray,
    lengths: IntArray,
    flags: npt.NDArray[np.uint8],
    layers: Collection[Layer],
) -> IntArray | None:
    """Put what the offsets of tokens tell into their `flags` [t]; returns their bytes [t], if those are asked for."""
    if "words" in layers or "sentences" in layers:
        words = batch_word_starts(chunk.texts, starts, ends, lengths)
        flags |= words * np.uint8(WORD_START)
        if "sentences" in layers:
            sentences = batch_sentence_starts(chunk.texts, starts, ends, lengths, words)
            flags |= sentences * np.uint8(SENTENCE_START)
    _flag_pairs(chunk.pairs, starts, ends, lengths, flags)
    return batch_num_bytes(chunk.texts, starts, lengths) if "bytes" in layers else None


def _first_tokens(lengths: IntArray) -> IntArray:
    """Where the first tokens stand of the documents that have any."""
    return (np.cumsum(lengths) - lengths)[lengths > 0]


def _flag_pairs(
    pairs: Sequence[Pair | None], starts: IntArray, ends: IntArray, lengths: IntArray, flags: npt.NDArray[np.uint8]
) -> None:
    """Flag in `flags` [t] where the second texts of pairs begin; the line break before one is a joint."""
    stops = np.cumsum(lengths)
    for pair, first, stop in zip(pairs, (stops - lengths).tolist(), stops.tolist(), strict=True):
        if pair is None:
            continue
        in_second = ends[first:stop] > pair.second
        second = first + int(in_second.argmax()) if in_second.any() else stop
        joint = first + np.flatnonzero(starts[first:second] >= pair.second - 1)
        flags[joint] = WORD_START | JOINT
        flags[second : min(second + 1, stop)] |= _second_flags(pair)


def _second_flags(pair: Pair) -> int:
    return BREAK | WORD_START | SENTENCE_START | SECOND_START | (IS_RANDOM if pair.is_random else 0)


def _slow_encoder(tokenizer: PreTrainedTokenizerBase, settings: _Settings) -> Callable[[Chunk], Encoded]:
    joints = settings.joints
    line_break = joints.within if joints.within != joints.after else ()

    def encode_document(text: str, pair: Pair | None) -> tuple[list[int], npt.NDArray[np.uint8]]:
        """Ids and flags. Without offsets, the two texts of a pair are encoded one by one to know where each begins."""
        ids = encode_text(tokenizer, text if pair is None else text[: pair.second - 1])
        flags = np.full(len(ids), WORD_START | BREAK, np.uint8)
        flags[:1] |= SENTENCE_START
        if pair is None:
            return ids, flags
        second = encode_text(tokenizer, text[pair.second :])
        second_flags = np.full(len(second), WORD_START | BREAK, np.uint8)
        second_flags[:1] |= _second_flags(pair)
        joint = np.full(len(line_break), WORD_START | JOINT, np.uint8)
        return [*ids, *line_break, *second], np.concatenate([flags, joint, second_flags])

    def encode(chunk: Chunk) -> Encoded:
        documents = [encode_document(*document) for document in zip(chunk.texts, chunk.pairs, strict=True)]
        ids, lengths = _flat([document_ids for document_ids, _ in documents])
        flags = np.concatenate([document_flags for _, document_flags in documents])
        num_bytes = None
        if "bytes" in settings.layers:
            # Nor are the bytes of single tokens known: they are spread, so that at least the sums are right.
            sizes = [len(text.encode("utf-8", "surrogatepass")) for text in chunk.texts]
            num_bytes = np.concatenate([spread_bytes(*pair) for pair in zip(sizes, lengths.tolist(), strict=True)])
        return _join(chunk, _Tokens(ids, lengths, flags, num_bytes), settings)

    return encode


def _flat(ids: Sequence[Sequence[int]]) -> tuple[IntArray, IntArray]:
    """The ids of all documents one after the other, and how many each has."""
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    return np.fromiter(itertools.chain.from_iterable(ids), np.int64, int(lengths.sum())), lengths


@dataclass(frozen=True)
class _Tokens:
    """The tokens of a chunk's documents one after the other, [t] each, and how many each document has, [d]."""

    ids: IntArray
    lengths: IntArray
    flags: npt.NDArray[np.uint8]
    num_bytes: IntArray | None


def _join(chunk: Chunk, tokens: _Tokens, settings: _Settings) -> Encoded:
    """Put each document's joint behind it."""
    joints, lengths = settings.joints, tokens.lengths
    ends_group = np.array(chunk.ends_group)
    joint_lengths = np.where(ends_group, len(joints.after), len(joints.within))
    ends = np.cumsum(lengths + joint_lengths) - joint_lengths
    places = np.arange(len(tokens.ids)) + np.repeat(np.cumsum(joint_lengths) - joint_lengths, lengths)

    stream = np.empty(len(tokens.ids) + int(joint_lengths.sum()), settings.dtype)
    flags = np.full(len(stream), JOINT, np.uint8)
    num_bytes = None
    stream[places] = tokens.ids
    flags[places] = tokens.flags
    if tokens.num_bytes is not None:
        num_bytes = np.zeros(len(stream), np.uint32)
        num_bytes[places] = tokens.num_bytes
    for joint, chosen in ((joints.after, ends_group), (joints.within, ~ends_group)):
        for number, token in enumerate(joint):
            stream[ends[chosen] + number] = token
    # A joint is a word by itself: it never belongs to the word before it.
    flags[ends[joint_lengths > 0]] |= WORD_START
    unknown = settings.unk_token_id
    return Encoded(
        chunk.ids,
        chunk.ends_group,
        stream,
        flags,
        num_bytes,
        np.stack([ends - lengths, ends], axis=1),
        num_characters=sum(map(len, chunk.texts)),
        text_bytes=len("".join(chunk.texts).encode("utf-8", "surrogatepass")),
        num_unknown=0 if unknown is None else int((tokens.ids == unknown).sum()),
    )
