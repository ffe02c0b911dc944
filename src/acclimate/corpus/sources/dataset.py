"""A Hugging Face data set as a source: one on the hub, or a folder made by `save_to_disk`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acclimate.corpus.pieces import Piece
from acclimate.corpus.readers.records import RecordReader
from acclimate.corpus.settings import SourceSettings, is_saved_dataset
from acclimate.corpus.slices import Part, parse_split
from acclimate.corpus.sources.base import Notes
from acclimate.errors import SourceError
from acclimate.hub import reaching_hub

# Columns that hold no text, and need libraries of their own to be decoded.
_MEDIA = frozenset({"Audio", "Image", "Video", "Pdf", "Nifti"})


class DatasetSource:
    """The rows of one split, or of parts of several.

    Raises:
        SourceError: `datasets` is not installed, the data set cannot be loaded, or has no such split.
    """

    single = False

    def __init__(self, settings: SourceSettings, exclude: Path | None = None) -> None:
        try:
            import datasets
        except ImportError as error:
            raise SourceError(
                f'data set {settings.location} needs the library datasets: pip install "acclimate[datasets]"'
            ) from error
        self._settings = settings
        self.label = os.path.basename(os.path.abspath(settings.location))
        self.notes = Notes()
        with reaching_hub("data set", settings.location, SourceError):
            try:
                self._parts = _load(settings)
            except datasets.exceptions.DatasetsError as error:
                raise OSError(str(error)) from error

    def fingerprint(self) -> Any:
        """The fingerprints that `datasets` gives to the parts."""
        return [[name, first, part._fingerprint] for name, first, part in self._parts]

    def pieces(self, scratch: Path, num_workers: int) -> Iterator[tuple[str, Piece]]:
        """The rows in order; the split's name stands for the file's."""
        left = self._settings.limit
        reader = RecordReader(self._settings, f"data set {self._settings.location}")
        for name, first, part in self._parts:
            count = len(part) if left is None else min(left, len(part))
            left = None if left is None else left - count
            media = [column for column, feature in part.features.items() if type(feature).__name__ in _MEDIA]
            rows = part.remove_columns(media).select(range(count))
            for number, row in enumerate(rows, start=first + 1):
                yield name, reader.read(row, str(number))
        reader.finish()


def _load(settings: SourceSettings) -> list[tuple[str, int, Any]]:
    """The parts asked for: the split's name, the number of the part's first row in it, and the rows."""
    import datasets

    wanted = None if settings.split is None else parse_split(settings.split)
    if is_saved_dataset(settings.location):
        loaded = datasets.load_from_disk(settings.location)
        splits = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {str(loaded.split or "train"): loaded}
    else:
        names = None if wanted is None else [part.name or "train" for part in wanted]
        loaded = datasets.load_dataset(
            settings.location,
            settings.subset,
            split=None if names is None else list(dict.fromkeys(names)),
            revision=settings.revision,
        )
        splits = dict(loaded) if names is None else dict(zip(dict.fromkeys(names), loaded, strict=True))
    return [_cut(splits, part, settings) for part in wanted or [Part(_default_split(splits, settings))]]


def _default_split(splits: dict[str, Any], settings: SourceSettings) -> str:
    if len(splits) == 1:
        return next(iter(splits))
    if "train" in splits:
        return "train"
    raise SourceError(
        f"data set {settings.location} has the splits {', '.join(splits)}; say which with split, such as "
        f"split={next(iter(splits))}"
    )


def _cut(splits: dict[str, Any], part: Part, settings: SourceSettings) -> tuple[str, int, Any]:
    name = part.name or _default_split(splits, settings)
    if name not in splits:
        raise SourceError(f"data set {settings.location} has no split {name!r}; it has {', '.join(splits)}")
    rows = splits[name]
    start, stop = part.bounds(len(rows))
    return name, start, rows.select(range(start, len(rows) if stop is None else stop))
