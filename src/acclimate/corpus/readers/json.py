"""JSON and JSON Lines: lists of strings, records, lists of tokens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from acclimate.corpus.pieces import BYTE_ORDER_MARK, Piece, failed
from acclimate.corpus.readers.base import UNDECODED, SourceFile
from acclimate.corpus.readers.records import PATIENCE, TEXT_FIELDS, RecordReader
from acclimate.corpus.settings import SourceSettings
from acclimate.errors import DataError


def read_jsonl(file: SourceFile, settings: SourceSettings) -> Iterator[Piece]:
    """One JSON value a line; a broken line is passed over, with its number."""
    with file.open_text(settings.encoding, "\n", "surrogateescape") as lines:
        yield from _read_lines(lines, settings, file)


def read_json(file: SourceFile, settings: SourceSettings) -> Iterator[Piece]:
    """A list of strings, records or token lists; a single record; or an object that holds one list of those.

    A file that has one JSON value a line, though its name says JSON, is read as such.
    """
    text = file.read_text(settings.encoding)
    try:
        data = json.loads(text.removeprefix(BYTE_ORDER_MARK))
    except (ValueError, RecursionError) as error:
        if _looks_like_lines(text):
            yield from _read_lines(text.split("\n"), settings, file)
        else:
            yield failed("broken_json", _explain(error), text=text).clean()
        return
    reader = _record_reader(settings, file)
    if _is_record(data, settings):
        yield reader.read(data, "")
    else:
        for number, record in enumerate(_only_list(data, file.name), start=1):
            yield reader.read(record, str(number))
    reader.finish()


def _record_reader(settings: SourceSettings, file: SourceFile) -> RecordReader:
    return RecordReader(settings, file.name, PATIENCE if file.named else None)


def _read_lines(lines: Iterable[str], settings: SourceSettings, file: SourceFile) -> Iterator[Piece]:
    reader = _record_reader(settings, file)
    for number, line in enumerate(lines, start=1):
        if number == 1:
            line = line.removeprefix(BYTE_ORDER_MARK)
        if not line.strip():
            continue
        anchor = f"L{number}"
        if UNDECODED.search(line):
            yield failed("undecodable_line", f"line {number} is not {settings.encoding}", anchor=anchor)
            continue
        line = line.rstrip("\r\n")
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            detail = f"line {number}: {_explain(error, by_column=True)}"
            yield failed("broken_json", detail, anchor=anchor, text=line).clean()
            continue
        yield reader.read(record, anchor)
    reader.finish()


def _looks_like_lines(text: str) -> bool:
    lines = (line for line in text.split("\n") if line.strip())
    first, second = next(lines, ""), next(lines, None)
    if second is None:
        return False
    try:
        json.loads(first.removeprefix(BYTE_ORDER_MARK))
    except (ValueError, RecursionError):
        return False
    return True


def _is_record(data: Any, settings: SourceSettings) -> bool:
    if isinstance(data, str):
        return True
    if not isinstance(data, dict):
        return False
    if settings.pair is not None:
        return settings.pair.first in data or not _lists(data)
    fields = (settings.text_field,) if settings.text_field else TEXT_FIELDS
    return any(isinstance(data.get(name), str) for name in fields) or not _lists(data)


def _lists(data: dict[str, Any]) -> list[str]:
    return [key for key, value in data.items() if isinstance(value, list)]


def _only_list(data: Any, where: str) -> list[Any]:
    if isinstance(data, list):
        return data
    if not isinstance(data, dict):
        raise DataError(
            f"{where} holds neither a list, nor a record, nor a text; expected a JSON list of strings or records"
        )
    names = _lists(data)
    if len(names) != 1:
        raise DataError(
            f"{where} holds several lists ({', '.join(f'`{name}`' for name in names)}), and which of them are the "
            "documents cannot be known; write one list, or one record a line"
        )
    records: list[Any] = data[names[0]]
    return records


def _explain(error: Exception, *, by_column: bool = False) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if by_column and isinstance(error, json.JSONDecodeError):
        return f"{error.msg.removesuffix(' at')} at column {error.colno}"
    return str(error)
