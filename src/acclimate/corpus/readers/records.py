"""Records: mappings, strings or lists of tokens, wherever they come from, and the text that is in them."""

from __future__ import annotations

import base64
import datetime
import math
from collections.abc import Iterable, Mapping
from typing import Any

from acclimate.corpus.pieces import Piece, failed
from acclimate.corpus.readers.pairs import PairReader
from acclimate.corpus.settings import SourceSettings
from acclimate.errors import DataError

TEXT_FIELDS = ("text", "content", "tokens")
TITLE_FIELD = "title"
ID_FIELD = "id"
TITLE_SEPARATOR = "\n"
PATIENCE = 100


class RecordReader:
    """Turns the records of one file into pieces, and finds out when the text is looked for in the wrong field.

    Args:
        settings: says which fields hold the text, the title and the id.
        where: names the file or data set in errors.
        patience: how many records without a text, from the first on, are enough to give up; None reads on.
    """

    def __init__(self, settings: SourceSettings, where: str, patience: int | None = PATIENCE) -> None:
        self._settings = settings
        self._where = where
        self._patience = patience
        self._texts = 0
        self._without = 0
        self._last_problem = ""
        self._fields: dict[str, None] = {}
        self._pairs = None if settings.pair is None else PairReader(settings.pair, where)

    def expect(self, fields: Iterable[str]) -> None:
        """Complain where none of the records can have a text, since these are all the fields that there are.

        Raises:
            DataError: the field with the text, or one of a pair's, is not among them.
        """
        self._fields = dict.fromkeys(fields)
        if self._pairs is not None:
            enough = all(name in self._fields for name in self._pairs.fields)
        elif self._settings.text_field is not None:
            enough = self._settings.text_field in self._fields
        else:
            enough = any(name in self._fields for name in TEXT_FIELDS)
        if not enough:
            self.finish()

    def read(self, record: Any, anchor: str) -> Piece:
        """The piece of one record: its text, with the other fields as metadata.

        Raises:
            DataError: none of the first records has a text, or labels of pairs mix conventions.
            RecipeError: labels of pairs do not say what they mean.
        """
        if self._pairs is not None and not isinstance(record, Mapping):
            piece = failed("pair_text", f"{type(record).__name__} instead of a record", anchor=anchor)
        elif isinstance(record, str):
            piece = Piece(record, len(record), anchor=anchor)
        elif isinstance(record, list):
            piece = self._joined(record, anchor)
        elif isinstance(record, Mapping):
            piece = self._mapping(record, anchor)
        else:
            piece = failed("no_text", f"{type(record).__name__} instead of a record", anchor=anchor)
        if piece.dropped is None:
            self._texts += 1
        else:
            self._without += 1
            self._last_problem = piece.detail
            if self._patience is not None and self._without >= self._patience:
                self.finish()
        # A pair is clean; to mend it as a whole could move its second text.
        return piece if self._pairs is not None else piece.clean()

    def finish(self) -> None:
        """Complain where records came by, and none of them had a text."""
        if self._texts or not self._fields:
            return
        there = ", ".join(f"`{name}`" for name in self._fields)
        if self._pairs is not None:
            looked = ", ".join(f"`{name}`" for name in self._pairs.fields)
            problem = f" ({self._last_problem})" if self._last_problem else ""
            raise DataError(
                f"{self._where}: no record is a pair with {looked}{problem}; the fields there are {there}. Name those "
                "to read with `pair: {first: …, second: …, label: …}`"
            )
        wanted = self._settings.text_field
        looked = f"`{wanted}`" if wanted else ", ".join(f"`{name}`" for name in TEXT_FIELDS)
        raise DataError(
            f"{self._where}: no record has a text in {looked}; the fields there are {there}. Name the one to read with "
            "text_field"
        )

    def _mapping(self, record: Mapping[str, Any], anchor: str) -> Piece:
        if len(self._fields) < 50:
            self._fields.update(dict.fromkeys(map(str, record)))
        anchor = self._own_id(record) or anchor
        if self._pairs is not None:
            piece = self._pairs.read(record, anchor)
            used = self._pairs.fields
            others = {str(key): plain(item) for key, item in record.items() if key not in used}
            piece.metadata = {**others, **piece.metadata}
            return piece
        field = self._text_field(record)
        value = None if field is None else record[field]
        if isinstance(value, list):
            piece = self._joined(value, anchor)
        elif isinstance(value, str):
            piece = Piece(value, len(value), anchor=anchor)
        else:
            piece = failed("no_text", f"no text in {field or 'its fields'}", anchor=anchor)
        if piece.dropped is None:
            piece.metadata = {str(key): plain(item) for key, item in record.items() if key != field}
            self._prefix_title(piece, record)
        return piece

    def _text_field(self, record: Mapping[str, Any]) -> str | None:
        if self._settings.text_field is not None:
            return self._settings.text_field if self._settings.text_field in record else None
        return next((name for name in TEXT_FIELDS if isinstance(record.get(name), (str, list))), None)

    def _own_id(self, record: Mapping[str, Any]) -> str:
        value = record.get(self._settings.id_field or ID_FIELD)
        return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""

    def _prefix_title(self, piece: Piece, record: Mapping[str, Any]) -> None:
        title = record.get(self._settings.title_field or TITLE_FIELD)
        if self._settings.title == "prefix" and isinstance(title, str) and title.strip():
            piece.text = f"{title}{TITLE_SEPARATOR}{piece.text}"
            piece.characters += len(title)
            piece.added += len(TITLE_SEPARATOR)

    def _joined(self, tokens: list[Any], anchor: str) -> Piece:
        if not all(isinstance(token, str) for token in tokens):
            return failed("no_text", "a list of something else than words", anchor=anchor)
        text = join_tokens(tokens)
        characters = sum(map(len, tokens))
        return Piece(text, characters, anchor=anchor, added=len(text) - characters)


def join_tokens(tokens: Iterable[str]) -> str:
    """Put tokens together with a blank between them, without one where Chinese or Japanese characters meet."""
    parts: list[str] = []
    previous = ""
    for token in tokens:
        if not token:
            continue
        if previous and not (_is_cjk(previous[-1]) and _is_cjk(token[0])):
            parts.append(" ")
        parts.append(token)
        previous = token
    return "".join(parts)


# Ideographs, kana, and the punctuation and full-width forms written with them; not Hangul, which has blanks.
_CJK = (
    (0x2E80, 0x30FF),
    (0x31C0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xE000, 0xF8FF),  # private use: rare characters of Chinese fonts
    (0xF900, 0xFAFF),
    (0xFE30, 0xFE4F),
    (0xFF00, 0xFFEF),
    (0x20000, 0x3FFFF),
)


def _is_cjk(character: str) -> bool:
    code = ord(character)
    return any(first <= code <= last for first, last in _CJK)


def plain(value: Any) -> Any:
    """The value as plain data that JSON can hold."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return str(value)
