"""Plain text: a file, a line or a passage (lines up to a blank one) a document."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from acclimate.corpus.pieces import BYTE_ORDER_MARK, Piece, failed
from acclimate.corpus.readers.base import SourceFile
from acclimate.corpus.settings import SourceSettings

_CHUNK = 1 << 20
_LFS_POINTER = "version https://git-lfs.github.com/spec/v1\n"


def read_text(file: SourceFile, settings: SourceSettings) -> Iterator[Piece]:
    """The pieces of a text file."""
    if settings.unit in ("auto", "file"):
        yield whole_file(file, settings)
    else:
        # The digest needs a pass of its own; it also finds out beforehand that a file cannot be decoded.
        digest = _digest(file, settings.encoding)
        with file.open_text(settings.encoding, "") as lines:
            yield from split_units(lines, settings.unit, digest)


def whole_file(file: SourceFile, settings: SourceSettings) -> Piece:
    """A file as one piece, cleaned; a pointer to git's large-file storage is passed over."""
    text = file.read_text(settings.encoding)
    if text.startswith(_LFS_POINTER):
        return failed("git_lfs_pointer", "a pointer to large-file storage, not the file itself", text=text).clean()
    return Piece(text, len(text)).clean()


def split_units(lines: Iterable[str], unit: str, digest: bytes) -> Iterator[Piece]:
    """Cut running text into lines or passages.

    `lines` end in LF, CRLF or CR; they are not split at anything else (`str.splitlines` would also split at form
    feeds, U+0085 and U+2028, which occur within lines of real text).
    """
    pieces = _lines(lines) if unit == "line" else _passages(lines)
    for piece in pieces:
        piece.running = digest
        yield piece


def _digest(file: SourceFile, encoding: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    with file.open_text(encoding, "") as text:
        while chunk := text.read(_CHUNK):
            # A byte order mark and kinds of line ends do not make two files different.
            digest.update(chunk.replace("\ufeff", "").replace("\r", "").encode("utf-8", "surrogatepass"))
    return digest.digest()


def _lines(lines: Iterable[str]) -> Iterator[Piece]:
    for number, line in enumerate(lines, start=1):
        anchor = f"L{number}"
        if not line.removeprefix(BYTE_ORDER_MARK if number == 1 else "").strip():
            yield _blank(Piece(line, len(line), anchor=anchor).clean())
            continue
        text, end = _cut_line_end(line)
        piece = Piece(text, len(text), anchor=anchor)
        if number == 1:
            piece.clean()
        _remove_line_end(piece, end)
        yield piece


def _passages(lines: Iterable[str]) -> Iterator[Piece]:
    passage: list[str] = []
    first = 1
    for number, line in enumerate(lines, start=1):
        if line.removeprefix(BYTE_ORDER_MARK if number == 1 else "").strip():
            if not passage:
                first = number
            passage.append(line)
        else:
            if passage:
                yield _passage(passage, first)
                passage = []
            yield _blank(Piece(line, len(line), anchor=f"L{number}").clean())
    if passage:
        yield _passage(passage, first)


def _passage(lines: list[str], first: int) -> Piece:
    last, end = _cut_line_end(lines[-1])
    text = "".join(lines[:-1]) + last
    piece = Piece(text, len(text), anchor=f"L{first}").clean()
    _remove_line_end(piece, end)
    return piece


def _cut_line_end(line: str) -> tuple[str, str]:
    for end in ("\r\n", "\n", "\r"):
        if line.endswith(end):
            return line[: -len(end)], end
    return line, ""


def _remove_line_end(piece: Piece, end: str) -> None:
    piece.characters += len(end)
    for character, reason in (("\r", "carriage_return"), ("\n", "line_break")):
        if character in end:
            piece.removed[reason] = piece.removed.get(reason, 0) + 1


def _blank(piece: Piece) -> Piece:
    piece.documents = 0
    piece.dropped = "blank_line"
    return piece
