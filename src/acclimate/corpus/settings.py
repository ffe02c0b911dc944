"""Settings of a corpus: its sources, and what of them is kept. Reading them needs no heavy library."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from acclimate.corpus.slices import parse_split
from acclimate.recipe import Section

Kind = Literal["files", "git", "dataset"]
HUB = "hf://datasets/"
_GIT_URL = re.compile(r"git\+|git@|ssh://|git://|file://|https?://.*\.git/?$|[\w.-]+@[\w.-]+:.+\.git$")


class PairSettings(Section):
    """Labelled pairs: which fields of a record hold them, and what the labels mean.

    Attributes:
        first: the field of the first text.
        second: the field of the second text.
        label: the field that says whether the second text follows the first or was chosen at random: `next`,
            `is_next`, `consecutive` against `random`, `not_next`, or numbers or truth values.
        one_means: what a label of 1 (of 0 and 1, or of 1 and 2) or true means. Must be given where labels are such,
            since data sets differ in it.
        labelled: false for pairs without a label, such as a prompt and its completion; they count as consecutive.
    """

    first: str = "sentence_a"
    second: str = "sentence_b"
    label: str = "label"
    one_means: Literal["random", "consecutive"] | None = None
    labelled: bool = True

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if len({self.first, self.second, self.label}) < 3:
            raise ValueError("first, second and label of a pair must be three different fields")
        return self


class SourceSettings(Section):
    """One source of documents: files, a git repository or a Hugging Face data set.

    Attributes:
        path: a file, a folder or a glob; also a git URL, or `hf://datasets/ORG/NAME`.
        git: URL or local folder of a git repository; only the wanted files of one commit travel.
        dataset: hub id of a data set, or a folder made by `save_to_disk`.
        revision: branch, tag or commit of a repository; revision of a hub data set.
        subset: configuration of a hub data set that has several.
        glob: which files of a folder or repository, as in .gitignore: a pattern without a slash matches the name at any
            depth. Default: every file that a reader exists for.
        recursive: whether folders below the top level are read, too.
        format: how to read the files; `auto` goes by the suffix. `dataset` reads `path` as a data set.
        unit: what one document is. `auto`: a file of text or Markdown, a record otherwise.
        text_field: the field of a record that holds its text. Default: `text`, `content` or `tokens`.
        title_field: the field of a record that holds its title. Default: `title`.
        id_field: the field of a record that names it. Default: `id`.
        pair: read each record as a labelled pair of texts.
        title: `prefix` puts a record's title before its text, `metadata` keeps it beside the text.
        markdown: `text` reads Markdown into plain text, `source` keeps it as it is.
        encoding: encoding of the files.
        limit: at most so many units.
        split: a part of the source, such as `train[:100]` or `train[:10%]`; files have one part, `train`.
    """

    SHORTHAND: ClassVar[str | None] = "path"
    RENAMED: ClassVar[Mapping[str, str]] = {
        "url": "write `git:` for a repository or `path:` for files",
        "name": "write `dataset:` for the data set's id and `subset:` for its configuration",
        "text_column": "it is called `text_field`",
        "max_samples": "it is called `limit`",
        "max_train_samples": "it is called `limit`",
    }

    path: str | None = None
    git: str | None = None
    dataset: str | None = None
    revision: str | None = None
    subset: str | None = None
    glob: str | list[str] | None = None
    recursive: bool = True
    format: Literal["auto", "text", "markdown", "json", "jsonl", "csv", "tsv", "dataset"] = "auto"
    unit: Literal["auto", "file", "line", "paragraph"] = "auto"
    text_field: str | None = None
    title_field: str | None = None
    id_field: str | None = None
    pair: PairSettings | None = None
    title: Literal["metadata", "prefix"] = "metadata"
    markdown: Literal["text", "source"] = "text"
    encoding: str = "utf-8"
    limit: int | None = Field(None, ge=1)
    split: str | None = None

    @field_validator("path", "git", "dataset", mode="before")
    @classmethod
    def _paths_are_text(cls, value: Any) -> Any:
        return os.fspath(value) if isinstance(value, PurePath) else value

    @field_validator("encoding")
    @classmethod
    def _encoding_exists(cls, value: str) -> str:
        try:
            "".encode(value)
            codecs.lookup(value)
        except LookupError as error:
            raise ValueError(
                f"{value!r} is no text encoding that Python knows, such as utf-8, cp1252 or gb18030"
            ) from error
        return value

    @field_validator("split")
    @classmethod
    def _split_is_readable(cls, value: str | None) -> str | None:
        if value is not None:
            parse_split(value)
        return value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        given = [name for name in ("path", "git", "dataset") if getattr(self, name)]
        if len(given) != 1:
            found = f"found {' and '.join(given)}" if given else "found none of them"
            raise ValueError(f"a source needs exactly one of path, git and dataset; {found}")
        for name in ("glob", "revision", "subset"):
            if getattr(self, name) is not None and self.kind not in _KINDS_WITH[name]:
                raise ValueError(
                    f"{name} has no meaning for {self.location}, which is read as {_DESCRIPTION[self.kind]}"
                )
        if self.pair is not None:
            self._agrees_with_pairs()
        return self

    def _agrees_with_pairs(self) -> None:
        for name in ("text_field", "title_field", "title", "unit", "markdown"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no meaning for pairs; leave it out, or leave out `pair`")
        if self.format in ("text", "markdown"):
            raise ValueError(f"pairs are read from records, not from {self.format}; give csv, tsv, json or jsonl")

    @property
    def kind(self) -> Kind:
        """What sort of source this is."""
        if self.git:
            return "git"
        path = self.path or ""
        if self.dataset or self.format == "dataset" or path.startswith(HUB) or is_saved_dataset(path):
            return "dataset"
        return "git" if _GIT_URL.match(path) else "files"

    @property
    def location(self) -> str:
        """The path, URL or data set's name, whichever was given."""
        return (self.git or self.dataset or self.path or "").removeprefix(HUB).removeprefix("git+")

    @property
    def globs(self) -> list[str]:
        """`glob` as a list; empty where it was not given."""
        if self.glob is None:
            return []
        return [self.glob] if isinstance(self.glob, str) else list(self.glob)


def without_secrets(url: str) -> str:
    """The URL without a password or token in it, as it may be shown and written down."""
    return re.sub(r"^((?:git\+)?https?://)[^/@]*@", r"\1", url)


def is_saved_dataset(path: str) -> bool:
    """Whether a folder was made by `save_to_disk` of a data set, or of several splits together."""
    folder = Path(path)
    return (folder / "dataset_dict.json").is_file() or (
        (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    )


_KINDS_WITH: dict[str, tuple[Kind, ...]] = {
    "glob": ("files", "git"),
    "revision": ("git", "dataset"),
    "subset": ("dataset",),
}
_DESCRIPTION: dict[Kind, str] = {"files": "files", "git": "a git repository's files", "dataset": "a data set"}


class CorpusSettings(Section):
    """A corpus: where it lies, what it is made of, and what is kept.

    Attributes:
        path: folder of the corpus: one built before, or where to build it.
        sources: what to build it from; none where `path` is a corpus already.
        min_chars: shortest document kept, in characters. Default: more than 200 for files read as one document, no
            minimum for records, lines and passages.
        held_out: share of documents, or of blocks of lines, kept apart for evaluation.
        deduplicate: whether exact duplicates of whole files and records are dropped.
        strict: whether a broken file or record is an error, instead of being counted and passed over.
    """

    SHORTHAND: ClassVar[str | None] = "path"
    RENAMED: ClassVar[Mapping[str, str]] = {
        "source": "it is called `sources`",
        "min_length": "it is called `min_chars`",
        "validation_split_percentage": "write `held_out` as a share, such as 0.05",
        "dataset_name": "write `sources: [{dataset: …}]`",
        "train_file": "write `sources: […]`",
    }

    path: str | None = None
    sources: list[SourceSettings] = []
    min_chars: int | None = Field(None, ge=0)
    held_out: float = Field(0.05, ge=0, lt=1)
    deduplicate: bool = True
    strict: bool = False

    @field_validator("path", mode="before")
    @classmethod
    def _path_is_text(cls, value: Any) -> Any:
        return os.fspath(value) if isinstance(value, PurePath) else value

    @field_validator("sources", mode="before")
    @classmethod
    def _sources_are_a_list(cls, value: Any) -> Any:
        if isinstance(value, (str, PurePath, Mapping, SourceSettings)):
            value = [value]
        if not isinstance(value, (list, tuple)):
            return value
        return [{"path": item} if isinstance(item, (str, PurePath)) else item for item in value]
