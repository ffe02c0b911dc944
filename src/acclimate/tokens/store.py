"""The token store: a part of a corpus as ids in one memory-mapped stream.

A store is a folder:

| file | type | content |
| --- | --- | --- |
| `ids.bin` | uint16, or uint32 for vocabularies above 65,536 | [T] every document's ids, each followed by a joint |
| `flags.bin` | uint8 | [T] bit field: `WORD_START`, `JOINT`, `SENTENCE_START`, `SECOND_START`, `IS_RANDOM`, `BREAK` |
| `bytes.bin` | uint32 | [T] the bytes of UTF-8 that each token stands for; a joint for none. Only with that layer |
| `documents.bin` | int64 | [D, 2] first token and end of each document, without its joint |
| `document_groups.bin` | int64 | [D] the group of each document |
| `groups.bin` | int64 | [G, 2] first token and end of each group, without its last joint |
| `document_ids.jsonl` | JSON strings | [D] ids of the documents, a line each |
| `manifest.json` | | what made it, and the token ledger |

Words, sentences and bytes are *layers*: built only where they are asked for, since they take longer than all the rest.
Nothing else depends on which of them a store has.

All numbers are little-endian. No token is framed, cut or padded here; `packing.py` plans rows over the stream.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import unicodedata
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from acclimate.artifacts import find_manifest, fingerprint, read_manifest, staged_folder, write_manifest
from acclimate.errors import ArtifactError
from acclimate.tokens.encoding import (
    BREAK,
    IS_RANDOM,
    JOINT,
    LAYERS,
    SECOND_START,
    SENTENCE_START,
    WORD_START,
    Encoded,
    Layer,
    encode_documents,
    id_dtype,
)
from acclimate.tokens.tokenizers import tokenizer_fingerprint

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from acclimate.corpus import Corpus

__all__ = [
    "BREAK",
    "IS_RANDOM",
    "JOINT",
    "KIND",
    "LAYERS",
    "SECOND_START",
    "SENTENCE_START",
    "WORD_START",
    "Layer",
    "TokenStore",
    "build_token_store",
    "open_token_store",
]

KIND = "tokens"
# Also to be raised when a rule changes by which tokens are flagged or bytes counted.
FORMAT_VERSION = 4

Isolate = Literal["document", "group", "none"]
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, eq=False)
class TokenStore:
    """A token store, memory-mapped read-only. Made by `build_token_store` or `open_token_store`.

    Attributes:
        folder: where it is.
        manifest: what made it; `manifest["tokens"]` is the token ledger.
        ids: [T] uint16 or uint32 token ids.
        flags: [T] uint8 bit field of `BREAK`, `JOINT`, `WORD_START`, `SENTENCE_START`, `SECOND_START` and `IS_RANDOM`.
            `BREAK` is on tokens before which a row may break: the first one of a document, and those that by themselves
            tell that no word is cut there (`acclimate.tokens.breaks`); never on a joint. With the layer "words",
            `WORD_START` is on the first token of each word; with "sentences", `SENTENCE_START` on that of each
            sentence: the first token of a document always, a joint never. What starts a sentence starts a word. Of a
            labelled pair, the second text's first token has `SECOND_START`, and `IS_RANDOM` where the label says so;
            the line break before it, where it is a token, is a joint within the document.
        documents: [D, 2] int64 first token and end of each document.
        document_groups: [D] int64 number of the group that each document is in.
        groups: [G, 2] int64 first token and end of each group.
    """

    folder: Path
    manifest: dict[str, Any]
    ids: npt.NDArray[np.unsignedinteger[Any]]
    flags: npt.NDArray[np.uint8]
    documents: npt.NDArray[np.int64]
    document_groups: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64]

    def __reduce__(self) -> tuple[Callable[[Path], TokenStore], tuple[Path]]:
        # A worker process opens the files again; the arrays do not travel.
        return open_token_store, (self.folder,)

    def __len__(self) -> int:
        """The number of tokens in the stream, joints included."""
        return len(self.ids)

    @property
    def fingerprint(self) -> str:
        """Digest of everything that the store was made from."""
        return str(self.manifest["fingerprint"])

    @property
    def layers(self) -> frozenset[Layer]:
        """What it was built with of "words", "sentences" and "bytes"."""
        return frozenset(self.manifest["layers"])

    def require(self, layers: Iterable[Layer]) -> None:
        """Refuse to go on without layers.

        Raises:
            ArtifactError: the store was built without one of them.
        """
        missing = sorted(set(layers) - self.layers)
        if missing:
            raise ArtifactError(
                f"the token store in {self.folder} was built without {' and '.join(missing)}; build it again with "
                f"layers={sorted({*self.layers, *missing})}"
            )

    @property
    def has_words(self) -> bool:
        """Whether word starts are known; not so for slow tokenizers, which tell no offsets. Needs the layer."""
        self.require(["words"])
        return bool(self.manifest["offsets"])

    @property
    def has_sentences(self) -> bool:
        """Whether sentence starts are known; with slow tokenizers only the first token of each document is flagged.
        Needs the layer."""
        self.require(["sentences"])
        return bool(self.manifest["offsets"])

    @functools.cached_property
    def num_bytes(self) -> npt.NDArray[np.uint32]:
        """[T] the bytes of UTF-8 of the document's text that each token stands for. Needs the layer "bytes".

        Those of a document sum up to its length exactly, unless it has no tokens; a slow tokenizer's are an equal share
        each.
        """
        self.require(["bytes"])
        return _map(self.folder / "bytes.bin", "<u4")

    @property
    def has_pairs(self) -> bool:
        """Whether any document is a labelled pair."""
        return bool(self.manifest["num_pairs"])

    @functools.cached_property
    def document_ids(self) -> list[str]:
        """[D] the documents' ids, read when first asked for."""
        with open(self.folder / "document_ids.jsonl", encoding="ascii") as file:
            return [json.loads(line) for line in file]

    def spans(self, isolate: Isolate) -> npt.NDArray[np.int64]:
        """[n, 2] first token and end of the stretches that are to see nothing of each other.

        `document`: each document; `group`: each group, its documents joined; `none`: the whole stream.
        """
        match isolate:
            case "document":
                return np.asarray(self.documents)
            case "group":
                return np.asarray(self.groups)
            case "none":
                return np.array([[0, len(self)]] if len(self) else np.zeros((0, 2)), np.int64)
        raise ValueError(f"isolate must be document, group or none, not {isolate!r}")


def open_token_store(folder: str | Path) -> TokenStore:
    """Open the token store in `folder`.

    Raises:
        ArtifactError: there is none, or it is damaged.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, KIND)
    if manifest["format_version"] != FORMAT_VERSION:
        raise ArtifactError(
            f"the token store in {folder} has format {manifest['format_version']}, this version reads "
            f"{FORMAT_VERSION}; build it again"
        )
    return TokenStore(
        folder,
        manifest,
        ids=_map(folder / "ids.bin", manifest["dtype"]),
        flags=_map(folder / "flags.bin", "|u1"),
        documents=_map(folder / "documents.bin", "<i8").reshape(-1, 2),
        document_groups=_map(folder / "document_groups.bin", "<i8"),
        groups=_map(folder / "groups.bin", "<i8").reshape(-1, 2),
    )


def _map(path: Path, dtype: str) -> npt.NDArray[Any]:
    if path.stat().st_size == 0:  # an empty file cannot be mapped
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, mode="r")


def build_token_store(
    corpus: Corpus,
    split: Literal["train", "held_out"],
    tokenizer: PreTrainedTokenizerBase,
    folder: str | Path,
    *,
    layers: Collection[Layer] = LAYERS,
    num_workers: int | None = None,
    progress: Progress | None = None,
) -> TokenStore:
    """Encode a part of a corpus into a token store; one that was built from the same is opened as it is.

    Args:
        corpus: the corpus.
        split: which part of it; an empty part makes a store of no tokens.
        tokenizer: any; a slow one has neither word nor sentence starts.
        folder: where to put it. A token store made from something else is replaced there.
        layers: what it is to tell beside ids, joints and breaks, of "words", "sentences" (with words) and "bytes";
            default all. A store that has fewer is built again, with what it has and what is asked for; its ids and
            fingerprint stay the same.
        num_workers: processes that encode; default one per CPU, at most 8. The result does not depend on it.
        progress: called with ("encoding", documents done, documents in all).

    Raises:
        ArtifactError: the folder holds something else, or cannot be written.
        DataError: a worker process died.
    """
    folder = Path(folder)
    made_from = _made_from(corpus, split, tokenizer)
    digest = fingerprint(made_from)
    existing = find_manifest(folder, KIND)
    wanted = _whole_layers(layers)
    if existing is not None and existing.get("fingerprint") == digest:
        try:
            store = open_token_store(folder)
        except ArtifactError:  # damaged: build it again
            pass
        else:
            if wanted <= store.layers:
                return store
            wanted |= store.layers
    elif existing is None and folder.exists() and any(folder.iterdir()):
        raise ArtifactError(f"{folder} is not empty and holds no token store; choose another folder or remove it")

    with staged_folder(folder, replace=True) as staging:
        encoded = encode_documents(corpus.documents(split), tokenizer, num_workers, layers=wanted)
        names = [name for name in _FILES if name != "bytes.bin" or "bytes" in wanted]
        ledger = _write_stream(staging, names, encoded, corpus.num_documents(split), progress)
        write_manifest(
            staging,
            KIND,
            {
                "fingerprint": digest,
                "made_from": made_from,
                "format_version": FORMAT_VERSION,
                "split": split,
                "layers": sorted(wanted),
                "offsets": bool(tokenizer.is_fast),
                "dtype": id_dtype(len(tokenizer)).str,
                **ledger,
            },
        )
    return open_token_store(folder)


def _whole_layers(layers: Collection[Layer]) -> frozenset[Layer]:
    """The layers that are built for those asked for: a sentence starts with a word."""
    unknown = set(layers) - set(LAYERS)
    if unknown:
        raise ValueError(f"there is no layer {sorted(unknown)[0]!r}; there are {', '.join(LAYERS)}")
    return frozenset([*layers, "words"] if "sentences" in layers else layers)


def _made_from(corpus: Corpus, split: str, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    return {
        "corpus": corpus.fingerprint,
        "split": split,
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "format_version": FORMAT_VERSION,
        # What decides where words start.
        "unicode": unicodedata.unidata_version,
        "rjieba": importlib.metadata.version("rjieba"),
    }


_FILES = (
    "ids.bin",
    "flags.bin",
    "bytes.bin",
    "documents.bin",
    "document_groups.bin",
    "groups.bin",
    "document_ids.jsonl",
)


def _write_stream(
    staging: Path, names: Iterable[str], chunks: Iterable[Encoded], total: int, progress: Progress | None
) -> dict[str, Any]:
    """Write the store's files chunk by chunk; returns the counts for the manifest."""
    counts = dict.fromkeys(("stream", "text", "joints", "unknown"), 0)
    num_documents = num_groups = num_characters = num_bytes = num_pairs = group_start = 0
    files: dict[str, BinaryIO] = {}
    try:
        for name in names:
            files[name] = open(staging / name, "wb")  # noqa: SIM115 - closed below, all of them
        for encoded in chunks:
            ends_group = np.array(encoded.ends_group)
            bounds = encoded.bounds + counts["stream"]
            group_ends = bounds[ends_group, 1]
            # A group starts at the document after the last one of the group before it.
            group_starts = np.append(group_start, bounds[1:, 0][ends_group[:-1]])[: len(group_ends)]
            _append(files, encoded, bounds, num_groups + np.cumsum(ends_group) - ends_group)
            _write(files["groups.bin"], np.stack([group_starts, group_ends], axis=1), "<i8")
            counts["stream"] += len(encoded.ids)
            counts["joints"] += int((encoded.flags & JOINT > 0).sum())
            counts["unknown"] += encoded.num_unknown
            num_documents += len(bounds)
            num_groups += len(group_ends)
            num_characters += encoded.num_characters
            num_bytes += encoded.text_bytes
            num_pairs += int((encoded.flags & SECOND_START > 0).sum())
            group_start = _next_group_start(group_start, bounds, ends_group, counts["stream"])
            if progress is not None:
                progress("encoding", num_documents, total)
    finally:
        for file in files.values():
            file.close()
    counts["text"] = counts["stream"] - counts["joints"]
    return {
        "tokens": counts,
        "num_documents": num_documents,
        "num_groups": num_groups,
        "num_characters": num_characters,
        "num_bytes": num_bytes,
        "num_pairs": num_pairs,
    }


def _next_group_start(
    group_start: int, bounds: npt.NDArray[np.int64], ends_group: npt.NDArray[np.bool_], stream: int
) -> int:
    """Where the group begins that is open after a chunk: at the document after the last group's end."""
    closed = np.flatnonzero(ends_group)
    if len(closed) == 0:
        return group_start
    return int(bounds[closed[-1] + 1, 0]) if closed[-1] + 1 < len(bounds) else stream


def _append(
    files: dict[str, BinaryIO],
    encoded: Encoded,
    bounds: npt.NDArray[np.int64],
    document_groups: npt.NDArray[np.int64],
) -> None:
    _write(files["ids.bin"], encoded.ids, encoded.ids.dtype.str)
    _write(files["flags.bin"], encoded.flags, "|u1")
    if encoded.num_bytes is not None:
        _write(files["bytes.bin"], encoded.num_bytes, "<u4")
    _write(files["documents.bin"], bounds, "<i8")
    _write(files["document_groups.bin"], document_groups, "<i8")
    # One call for all: a list with line breaks for commas.
    lines = json.dumps(encoded.document_ids, separators=("\n", ":"))[1:-1]
    files["document_ids.jsonl"].write(lines.encode("ascii") + b"\n")


def _write(file: BinaryIO, array: npt.NDArray[Any], dtype: str) -> None:
    file.write(np.ascontiguousarray(array, dtype).tobytes())
