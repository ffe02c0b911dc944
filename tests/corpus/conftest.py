"""What the tests of corpora share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acclimate.corpus import Corpus, CorpusSettings, build_corpus
from acclimate.corpus.pieces import Piece
from acclimate.corpus.readers import read_file
from acclimate.corpus.readers.base import SourceFile
from acclimate.corpus.settings import SourceSettings

Write = Callable[[str, str | bytes], Path]
Read = Callable[..., list[Piece]]
Build = Callable[..., Corpus]


@pytest.fixture(scope="session")
def oddities() -> Path:
    """Small files, each with one oddity of real text."""
    return Path(__file__).resolve().parent.parent / "fixtures" / "oddities"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file below `docs/`, bytes as they are and text as UTF-8 without any change of line ends."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def read(write: Write) -> Read:
    """The pieces that a file with this content is read into; none of them loses a character."""

    def read(name: str, content: str | bytes, *, named: bool = True, **settings: Any) -> list[Piece]:
        file = SourceFile(write(name, content), name, named)
        pieces = list(read_file(file, SourceSettings(path=name, **settings)))
        for piece in pieces:
            assert piece.characters + piece.added == len(piece.text) + sum(piece.removed.values())
        return pieces

    return read


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Builds a corpus of sources in a folder of its own, in one process."""

    def build(*sources: Any, output: str = "corpus", num_workers: int = 1, **settings: Any) -> Corpus:
        listed = [{"path": str(source)} if isinstance(source, Path) else source for source in sources]
        return build_corpus(CorpusSettings(sources=listed, **settings), tmp_path / output, num_workers=num_workers)

    return build
