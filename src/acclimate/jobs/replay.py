"""Replay: general text between the documents, so that less of it is forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from acclimate.corpus import Corpus, CorpusSettings
from acclimate.evaluation.general import general_corpus
from acclimate.evaluation.settings import GeneralSettings
from acclimate.progress import Listener


class ReplaySettings(CorpusSettings):
    """`replay:` of a recipe; a bare number is `share`.

    Without a text of its own it is the training half of `evaluation.general`; the half that is scored is never trained
    on. With one (a corpus folder, or anything that `corpus build` takes) all of that text is replayed but for what a
    corpus folder holds out.

    Attributes:
        share: of the examples in the training stream that are general text. Epochs count the documents alone.
    """

    SHORTHAND: ClassVar[str | None] = "share"

    share: float = Field(0.1, gt=0, lt=1)
    held_out: float = Field(0.0, ge=0, lt=1)

    @property
    def has_text(self) -> bool:
        """Whether it names a text of its own."""
        return bool(self.path or self.sources)


def replayed_corpus(
    settings: ReplaySettings, general: GeneralSettings | None, run_folder: Path, listener: Listener
) -> Corpus:
    """The corpus whose training part is replayed."""
    if settings.has_text:
        own = GeneralSettings.model_construct(**{name: getattr(settings, name) for name in CorpusSettings.model_fields})
        return general_corpus(own, run_folder / "replay-corpus", listener)
    assert general is not None, "a recipe with `replay` and no text for it is refused"
    return general_corpus(general, run_folder / "evaluation" / "general-corpus", listener)


def problems(settings: ReplaySettings, general: GeneralSettings | None) -> list[str]:
    """Why a recipe's replay makes no sense."""
    if not settings.has_text:
        if general is not None:
            return []
        return [
            "`replay` needs a text: give it a `path` or `sources`, or give `evaluation.general`, whose half is replayed"
        ]
    if general is None or not _same_text(settings, general):
        return []
    return [
        "`replay` names the text of `evaluation.general`, so that what is scored would be trained on; write "
        f"`replay: {settings.share:g}`, which takes the half that is not scored"
    ]


def _same_text(one: CorpusSettings, other: CorpusSettings) -> bool:
    # A corpus folder says itself what is held out; a text read twice would be split twice.
    return (one.path, one.sources) == (other.path, other.sources) and not (
        one.path and (Path(one.path) / "manifest.json").is_file()
    )
