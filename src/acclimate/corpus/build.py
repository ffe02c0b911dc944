"""Build a corpus: read every source, keep or drop each document with its reason, hold a part out, write it down."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from acclimate.artifacts import MANIFEST, find_manifest, fingerprint, staged_folder, write_manifest
from acclimate.corpus.digests import DigestSet
from acclimate.corpus.filters import ExactDuplicates, too_short
from acclimate.corpus.folder import DROPPED_FILE, FORMAT_VERSION, HELD_OUT, KIND, TRAIN, Corpus, open_corpus
from acclimate.corpus.ledger import BROKEN, REASONS, Ledger
from acclimate.corpus.parallel import default_workers
from acclimate.corpus.pieces import Piece
from acclimate.corpus.settings import CorpusSettings, without_secrets
from acclimate.corpus.sources import name_sources, open_source, source_name
from acclimate.corpus.sources.base import Source
from acclimate.corpus.split import NAME_BYTES, Blocks, Split, name_hash
from acclimate.corpus.storage import DOCUMENTS, DROPPED, TableWriter, dump_metadata, read_rows
from acclimate.errors import ArtifactError, DataError, RecipeError

_KEPT = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("metadata", pa.string()),
        ("unit", pa.string()),
        ("hash", pa.uint64()),
        ("file", pa.string()),
    ]
)
_TOLD = 20  # broken files and records that the manifest names; all of them are in dropped.parquet


def build_corpus(
    settings: CorpusSettings,
    output_dir: str | Path,
    *,
    num_workers: int | None = None,
    on_message: Callable[[str], None] | None = None,
) -> Corpus:
    """Build the corpus of `settings.sources` in a folder, or take the one that is there if nothing has changed.

    Args:
        settings: sources, and what of them is kept.
        output_dir: the corpus's folder; an older corpus in it is replaced.
        num_workers: processes that read files; default: one a core, at most 8. The result does not depend on it.
        on_message: is told what the user should know on the way.

    Raises:
        RecipeError: there are no sources.
        SourceError: a source is missing or cannot be reached.
        DataError: nothing is left after filtering; or something is broken, under `strict`. Nothing is written then.
        ArtifactError: the folder holds something else, or cannot be written.
    """
    folder = Path(output_dir)
    _check_target(folder)
    if not settings.sources:
        raise RecipeError("a corpus needs sources: files, folders, repositories or data sets")
    sources = [open_source(source, Path(os.path.realpath(folder))) for source in settings.sources]
    inputs = _inputs(settings, sources)
    key = fingerprint({"inputs": inputs, "settings": _choices(settings), "version": FORMAT_VERSION})
    manifest = find_manifest(folder, KIND)
    tell = on_message or (lambda message: None)
    if manifest is not None and manifest.get("fingerprint") == key and not _is_refused(manifest, settings):
        try:
            corpus = open_corpus(folder)
        except ArtifactError as error:
            tell(f"{error}; building it again")
        else:
            tell(f"{folder} is up to date: neither its sources nor its settings have changed")
            return corpus
    _check_nothing_else(folder, manifest)
    with staged_folder(folder, replace=True) as staging:
        build = _Build(settings, staging, num_workers if num_workers is not None else default_workers())
        content = build.run(sources, tell)
        write_manifest(
            staging,
            KIND,
            {"fingerprint": key, "inputs": inputs, "settings": _shown(settings), **content},
        )
    return open_corpus(folder)


def _check_target(folder: Path) -> None:
    if folder.is_file():
        raise ArtifactError(f"{folder} is a file; choose a folder for the corpus")
    if folder.is_dir() and any(folder.iterdir()) and find_manifest(folder, KIND) is None:
        raise ArtifactError(f"{folder} is not empty and holds no corpus; choose another folder or remove it")


def _check_nothing_else(folder: Path, manifest: dict[str, Any] | None) -> None:
    """A rebuilt corpus replaces its folder: refuse where somebody has put something else there."""
    if manifest is None:
        return
    own = {MANIFEST, "tokens", *(name.split("/")[0] for name in manifest.get("files", {}))}
    others = sorted(entry.name for entry in folder.iterdir() if entry.name not in own)
    if others:
        raise ArtifactError(
            f"{folder} would be built anew, which removes what else is in it ({', '.join(others[:5])}); move that away "
            "or choose another folder"
        )


def _inputs(settings: CorpusSettings, sources: Sequence[Source]) -> list[dict[str, Any]]:
    return [
        {"name": name, "kind": chosen.kind, "fingerprint": fingerprint(source.fingerprint())}
        for name, chosen, source in zip(name_sources(sources), settings.sources, sources, strict=True)
    ]


def _choices(settings: CorpusSettings) -> dict[str, Any]:
    """The settings that shape the documents; where a source lies does not."""
    choices = settings.model_dump(exclude={"path", "strict"})
    for source in choices["sources"]:
        for place in ("path", "git", "dataset"):
            del source[place]
    return choices


def _is_refused(manifest: dict[str, Any], settings: CorpusSettings) -> bool:
    """Whether the corpus was built leniently, and passed over what is now an error."""
    return settings.strict and manifest["broken"]["total"] > 0


def _shown(settings: CorpusSettings) -> dict[str, Any]:
    """The settings as they may be written down."""
    shown = settings.model_dump(exclude={"path"})
    for source in shown["sources"]:
        source.update({name: without_secrets(source[name]) for name in ("path", "git") if source[name]})
    return shown


class _Build:
    """One build, and what is counted on the way."""

    def __init__(self, settings: CorpusSettings, staging: Path, num_workers: int) -> None:
        self.settings = settings
        self.staging = staging
        self.num_workers = num_workers
        self.ledger = Ledger()
        # The same, source by source, under their names in `inputs`.
        self.ledgers: dict[str, Ledger] = {}
        self.split = Split(settings.held_out)
        self.duplicates = ExactDuplicates()
        self.broken: list[str] = []
        self.num_broken = 0
        self.ids = DigestSet(NAME_BYTES)

    def run(self, sources: Sequence[Source], tell: Callable[[str], None]) -> dict[str, Any]:
        """Write the files of the corpus and return what the manifest says of them."""
        kept_path = self.staging / "kept.parquet"
        with TableWriter(kept_path, _KEPT) as kept, TableWriter(self.staging / DROPPED_FILE, DROPPED) as dropped:
            for source, label in zip(sources, name_sources(sources), strict=True):
                self._read(source, label, kept, dropped)
                for message in source.notes.messages:
                    tell(message)
        self.ledger.check()
        if not self.ledger.documents_kept:
            raise DataError(self._nothing_kept())
        splits = self._divide(kept_path)
        kept_path.unlink()
        skipped = sum((source.notes.skipped for source in sources), Counter[str]())
        return {
            "ledger": self.ledger.as_dict(),
            "ledger_by_source": {name: ledger.as_dict() for name, ledger in self.ledgers.items()},
            "splits": splits,
            "skipped_files": dict(sorted(skipped.items())),
            "broken": {"total": self.num_broken, "first": self.broken},
            "messages": [message for source in sources for message in source.notes.messages],
        }

    def _read(self, source: Source, label: str, kept: TableWriter, dropped: TableWriter) -> None:
        """Phase 1: decide on every piece of a source, in order; the held-out share is known only at the end."""
        scratch = self.staging / "scratch"
        scratch.mkdir()
        ledger = self.ledgers.setdefault(label, Ledger())
        place = None
        for name, piece in source.pieces(scratch, self.num_workers):
            if place is None or place.name != name:
                place = _Place(
                    name, full=source_name(source, label, name), key=label if label and source.single else name
                )
            self._note_broken(place, piece)
            reason = piece.dropped or too_short(piece, self.settings)
            if reason is None and self.settings.deduplicate:
                reason = self.duplicates.reason(piece, place.full)
            self.ledger.enter(piece, reason)
            ledger.enter(piece, reason)
            document = self._document_id(place, piece)
            if reason is not None and (piece.documents or piece.detail):
                dropped.write(document, reason, piece.detail, len(piece.text), piece.text)
            elif reason is None:
                kept.write(document, piece.text, dump_metadata(piece.metadata), *self._unit(place, piece, document))
        shutil.rmtree(scratch)

    def _unit(self, place: _Place, piece: Piece, document: str) -> tuple[str, int, str | None]:
        """What is held out together with the piece: its name, its hash, and the file if that is running text."""
        if piece.running is None:
            key = f"{place.key}#{piece.anchor}" if piece.anchor else place.key
            unit, hashed, file = document, name_hash(key), None
        else:
            block = place.blocks.next(len(piece.text))
            unit, hashed, file = f"{place.full}#{block}", name_hash(f"{place.key}#{block}"), place.full
        if unit != place.last_unit:
            self.split.show(hashed, unit)
            place.last_unit = unit
        return unit, hashed, file

    def _document_id(self, place: _Place, piece: Piece) -> str:
        document = f"{place.full}#{piece.anchor}" if piece.anchor else place.full
        if piece.running is not None or not piece.documents:
            return document
        # Records name themselves, and not always uniquely.
        candidate, number = document, 1
        while not self.ids.add(name_hash(candidate).to_bytes(NAME_BYTES, "big")):
            number += 1
            candidate = f"{document}~{number}"
        return candidate

    def _note_broken(self, place: _Place, piece: Piece) -> None:
        if not piece.detail:
            return
        message = f"{place.full}: {piece.detail}"
        if piece.dropped in BROKEN:
            self.num_broken += 1
            if self.settings.strict:
                raise DataError(f"{message} ({REASONS[piece.dropped]}). Mend it, or pass it over with strict=false")
        if len(self.broken) < _TOLD:
            self.broken.append(message)

    def _divide(self, kept_path: Path) -> dict[str, dict[str, int]]:
        """Phase 2: write each kept document to its side, and name the groups."""
        counts: dict[str, dict[str, int]] = {name: {"documents": 0, "characters": 0} for name in (TRAIN, HELD_OUT)}
        groups = _Groups()
        with (
            TableWriter(self.staging / f"{TRAIN}.parquet", DOCUMENTS) as train,
            TableWriter(self.staging / f"{HELD_OUT}.parquet", DOCUMENTS) as held_out,
        ):
            rows = read_rows(kept_path, _KEPT.names)
            for index, (document, text, metadata, unit, hashed, file) in enumerate(rows):
                is_held_out = self.split.is_held_out(hashed, unit)
                group = document if file is None else groups.name(file, is_held_out)
                (held_out if is_held_out else train).write(document, text, group, metadata, index)
                count = counts[HELD_OUT if is_held_out else TRAIN]
                count["documents"] += 1
                count["characters"] += len(text)
        return counts

    def _nothing_kept(self) -> str:
        counts = self.ledger.as_dict()
        lines = [
            f"nothing is left of {counts['documents']['in']} documents with {counts['characters']['in']} characters:"
        ]
        for name, dropped in counts["reasons"].items():
            lines.append(
                f"  {dropped['documents']:>8} documents, {dropped['characters']:>10} characters: {REASONS[name]}"
            )
        lines += [f"  {message}" for message in self.broken[:5]]
        lines.append("Give other sources, or change what is kept (min_chars, unit, text_field).")
        return "\n".join(lines)


@dataclass(slots=True)
class _Place:
    """The file that is being read."""

    name: str
    full: str  # its name in the corpus
    key: str  # its name in its source, for the choice of what is held out
    blocks: Blocks = field(default_factory=Blocks)
    last_unit: str | None = None


class _Groups:
    """Names groups of lines: neighbours in a file share one until a held-out block cuts the file."""

    def __init__(self) -> None:
        self._file: str | None = None
        self._side = False
        self._number = 0

    def name(self, file: str, side: bool) -> str:
        if file != self._file:
            self._file, self._number = file, 1
        elif side != self._side:
            self._number += 1
        self._side = side
        return f"{file}#{self._number}"
