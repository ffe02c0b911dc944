"""General text: what a model should not forget while it learns the documents."""

from __future__ import annotations

from pathlib import Path

from acclimate.artifacts import find_manifest
from acclimate.corpus import Corpus, SourceSettings, build_corpus, open_corpus
from acclimate.errors import RecipeError
from acclimate.evaluation.settings import GeneralSettings
from acclimate.progress import Listener

_TEXT_SUFFIXES = (".txt", ".text", ".txt.gz", ".txt.zst")


def general_corpus(settings: GeneralSettings, folder: Path, listener: Listener) -> Corpus:
    """The corpus of general text: the folder named where it is a corpus, otherwise built into `folder`.

    A single text file is read by line, since one document alone could not be split.
    """
    if not settings.sources:
        if not settings.path:
            raise RecipeError("`evaluation.general` needs a `path` or `sources`")
        if find_manifest(settings.path, "corpus") is not None:
            return open_corpus(settings.path)
        source = SourceSettings(path=settings.path)
        if settings.path.endswith(_TEXT_SUFFIXES):
            source = source.model_copy(update={"unit": "line"})
        settings = settings.model_copy(update={"sources": [source], "path": None})
    return build_corpus(settings, settings.path or folder, on_message=listener.message)
