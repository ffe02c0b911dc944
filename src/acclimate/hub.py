"""What the Hugging Face libraries say when a hub cannot be reached or does not have a name, in plain words."""

from __future__ import annotations

import os
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from acclimate.errors import AcclimateError


def local_files_only(name: str | os.PathLike[str]) -> bool:
    """Whether to look for `name` on this machine only: it is a folder, or the hub has no address here.

    The hub's client tries six times in all to reach a host that does not exist, which takes half a minute for each
    file; asking the name service first takes no time, and what is in the hub's cache then loads at once.
    """
    if os.path.exists(name):
        return True
    host = urllib.parse.urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname or ""
    if urllib.request.getproxies():
        return False  # a proxy resolves names for us
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return True
    return False


@contextmanager
def reaching_hub(what: str, name: str, error_type: type[AcclimateError]) -> Iterator[None]:
    """Turn a library's failure to load `what` ("model", "tokenizer", "data set") `name` into an `error_type`.

    Any failure: what the libraries raise on a damaged file or a strange setting has no base in common
    (SafetensorError, KeyError, TypeError, …). So keep nothing else within this context than the call that loads.
    """
    try:
        yield
    except AcclimateError:
        raise
    except Exception as error:
        raise error_type(_explain(what, name, error)) from error


def _explain(what: str, name: str, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if not isinstance(error, (OSError, ValueError, RuntimeError, ImportError)):
        reason = f"{type(error).__name__}: {reason}"  # a bare `KeyError: 'x'` says little without its name
    if os.path.exists(name):
        return f"{what} {name} cannot be loaded: {reason}"
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        return f"{what} {name} cannot be loaded: there is no such folder"
    return (
        f"{what} {name!r} is no folder here, and the Hugging Face hub did not give it: {reason}\n"
        "  Check the name and the connection; without one, give a folder saved by `save_pretrained`, or fill the hub's "
        "cache beforehand with `hf download`. A private or gated repository needs `hf auth login`."
    )
