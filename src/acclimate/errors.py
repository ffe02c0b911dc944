"""What can go wrong for a user: one small tree of exceptions.

A message says what is wrong, where (dotted recipe path, file and line, record number) and how to mend it.
The command line prints an `AcclimateError` without a traceback and exits with 2; any other exception is a bug and
keeps its traceback.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class AcclimateError(Exception):
    """Base of every error that a user can mend."""

    exit_code = 2


class RecipeError(AcclimateError):
    """A recipe, a setting or a command line that cannot be carried out. `problems` lists every mistake found."""

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join([message, *(f"  - {problem}" for problem in self.problems)]))


class SourceError(AcclimateError):
    """A source of documents that is missing, unreachable or unreadable."""


class DataError(AcclimateError):
    """Data that cannot be used as asked: an empty corpus, a broken record under `strict`, a damaged token store."""


class ArtifactError(AcclimateError):
    """A folder that cannot be written, is not what it should be, or is damaged."""


class ModelError(AcclimateError):
    """A model or tokenizer that cannot be loaded, or does not fit what is asked of it."""


class CheckpointError(AcclimateError):
    """A checkpoint that cannot be written, resumed from or compared with."""


class Interrupted(AcclimateError):
    """A job was asked to stop (SIGINT, SIGTERM), saved its work and stopped; the same command goes on with it."""

    def __init__(self, message: str, signal_number: int) -> None:
        self.exit_code = 128 + signal_number
        super().__init__(message)


_DISK_ERRORS = {
    errno.ENOSPC: "the disk is full; free some space or choose another folder",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another folder",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EACCES: "permission denied; choose a folder that you may write to",
    errno.EPERM: "operation not permitted; choose a folder that you may write to",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder",
    errno.EEXIST: "a part of the path is a file, not a folder; choose another folder",
    errno.EISDIR: "a folder lies where a file should be written; choose another place or remove it",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.EFBIG: "the file is too large for this file system; choose another folder",
    errno.EIO: "the disk or network share reports an error; choose another folder",
    errno.ESTALE: "the network share has gone; mount it again or choose another folder",
}


@contextmanager
def writing_to(folder: str | Path) -> Iterator[None]:
    """Turn the operating system's refusals while writing to `folder` into an `ArtifactError` that says so.

    Libraries that write in native code (safetensors, pyarrow) wrap the system's error in their own; the error
    number is then looked for in the message.
    """
    try:
        yield
    except AcclimateError:
        raise
    except Exception as error:
        reason = _disk_reason(error)
        if reason is None:
            raise
        raise ArtifactError(f"cannot write to {folder}: {reason} ({error})") from error


def _disk_reason(error: Exception) -> str | None:
    if isinstance(error, OSError) and error.errno is not None:
        return _DISK_ERRORS.get(error.errno)
    numbers = re.findall(r"\b(?:os error|errno) (\d+)\b", str(error), flags=re.IGNORECASE)
    return next((_DISK_ERRORS[int(number)] for number in numbers if int(number) in _DISK_ERRORS), None)
