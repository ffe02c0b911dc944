"""Failures to load a model, tokenizer or data set, in plain words."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from acclimate.errors import DataError, ModelError, SourceError
from acclimate.hub import local_files_only, reaching_hub


def told(what: str, name: str, error: Exception) -> str:
    with pytest.raises(SourceError) as caught, reaching_hub(what, name, SourceError):
        raise error
    assert caught.value.__cause__ is error
    return str(caught.value)


def test_a_name_that_is_no_folder_is_looked_for_on_the_hub() -> None:
    text = told("model", "org/name", OSError("We couldn't connect to the hub.\nA page of advice."))
    assert text.startswith(
        "model 'org/name' is no folder here, and the Hugging Face hub did not give it: We couldn't connect to the hub."
    )
    assert "A page of advice" not in text
    assert "hf download" in text and "hf auth login" in text


@pytest.mark.parametrize("name", ["./models/x", "/models/x", "~/models/x", "a/b/c", "../x"])
def test_a_path_that_is_not_there_is_no_matter_for_the_hub(name: str) -> None:
    assert told("tokenizer", name, OSError("no")) == f"tokenizer {name} cannot be loaded: there is no such folder"


def test_a_folder_that_is_there_is_told_with_the_reason(tmp_path: Path) -> None:
    name = str(tmp_path / "two words 名")
    os.mkdir(name)
    assert told("model", name, ValueError("bad config\nmore")) == f"model {name} cannot be loaded: bad config"


@pytest.mark.parametrize("error", [OSError(), RuntimeError("  \n ")])
def test_an_error_without_words_gives_its_name(tmp_path: Path, error: Exception) -> None:
    assert told("model", str(tmp_path), error).endswith(f"cannot be loaded: {type(error).__name__}")


def test_errors_of_any_kind_are_told_with_their_kind(tmp_path: Path) -> None:
    class SafetensorError(Exception):
        pass

    text = told("model", str(tmp_path), SafetensorError("header too small"))
    assert text.endswith("cannot be loaded: SafetensorError: header too small")
    assert told("model", str(tmp_path), KeyError("bert")).endswith("cannot be loaded: KeyError: 'bert'")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", ""])
def test_names_that_no_file_can_have_are_told(name: str) -> None:
    assert told("model", name, OSError("no such repository")).startswith("model ")


def test_errors_of_ours_pass_through() -> None:
    error = DataError("as it is")
    with pytest.raises(DataError) as caught, reaching_hub("model", "x", ModelError):
        raise error
    assert caught.value is error


def test_a_request_to_stop_passes_through() -> None:
    with pytest.raises(KeyboardInterrupt), reaching_hub("model", "x", ModelError):
        raise KeyboardInterrupt


def test_a_hub_that_must_not_be_reached_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from acclimate.models.families import load_config

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="'org/no-such-model' is no folder here, and the Hugging Face hub did not"):
        load_config("org/no-such-model")


@pytest.mark.slow
def test_a_hub_that_is_not_reached_is_told_by_the_real_library(tmp_path: Path) -> None:
    """Slow, since the library tries five times. In a process of its own: it reads its settings on import."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and never listening: connections are refused at once
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
        code = (
            "from acclimate.errors import ModelError\n"
            "from acclimate.models.families import load_config\n"
            "try:\n    load_config('org/no-such-model')\nexcept ModelError as error:\n    print(error)\n"
        )
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
        unreached = {name: proxy for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
        result = subprocess.run(
            [sys.executable, "-c", code],
            env={**kept, **unreached, "NO_PROXY": "", "no_proxy": "", "HF_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
        )
    assert result.stdout.startswith("model 'org/no-such-model' is no folder here, and the Hugging Face hub did not")
    assert "Check the name and the connection" in result.stdout


# ---- where to look --------------------------------------------------------------------------------------------------


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A name service that knows `hub.example` only; gives the names that it was asked for."""
    asked: list[str] = []

    def look_up(host: str, *_: object) -> list[object]:
        asked.append(host)
        if host != "hub.example":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return []

    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def test_a_folder_is_looked_for_on_this_machine_only(tmp_path: Path, resolver: list[str]) -> None:
    assert local_files_only(tmp_path)
    assert resolver == []  # nobody was asked


def test_a_hub_without_an_address_is_not_waited_for(resolver: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert local_files_only("org/name")
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example/mirror")
    assert not local_files_only("org/name")
    assert resolver == ["huggingface.co", "hub.example"]


def test_a_proxy_is_left_to_resolve_names(resolver: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "http://proxy.example:3128"})
    assert not local_files_only("org/name")
    assert resolver == []
