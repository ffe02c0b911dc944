"""Sources: one file per kind, and the table that knows them all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from acclimate.corpus.settings import Kind, SourceSettings
from acclimate.corpus.sources.base import Source
from acclimate.corpus.sources.dataset import DatasetSource
from acclimate.corpus.sources.files import FilesSource
from acclimate.corpus.sources.git import GitSource

SOURCES: dict[Kind, Callable[[SourceSettings, Path | None], Source]] = {
    "files": FilesSource,
    "git": GitSource,
    "dataset": DatasetSource,
}


def open_source(settings: SourceSettings, exclude: Path | None = None) -> Source:
    """Find a source; `exclude` is a folder that is not part of it, since the corpus is going to be there.

    Raises:
        SourceError: it is missing or cannot be reached.
    """
    return SOURCES[settings.kind](settings, exclude)


def name_sources(sources: Sequence[Source]) -> list[str]:
    """A unique name for each source; "" where there is only one, whose files need none before theirs."""
    if len(sources) == 1:
        return [""]
    used: Counter[str] = Counter()
    taken = {source.label for source in sources}
    names = []
    for source in sources:
        used[source.label] += 1
        name = source.label
        while used[source.label] > 1 and name in taken:
            name = f"{source.label}-{used[source.label]}"
            used[source.label] += name in taken
        taken.add(name)
        names.append(name)
    return names


def source_name(source: Source, name: str, file: str) -> str:
    """What a file of a source is called in the corpus, given the name of the source there."""
    if not name:
        return file
    return name if source.single else f"{name}/{file}"
