"""What `import acclimate` offers."""

from __future__ import annotations

import importlib

import pytest

import acclimate


def test_every_name_is_there_and_comes_from_its_home() -> None:
    assert set(acclimate._HOMES) | {"__version__"} == set(acclimate.__all__)
    for name, home in acclimate._HOMES.items():
        assert getattr(acclimate, name) is getattr(importlib.import_module(home), name)
        assert getattr(acclimate, name).__doc__, f"{name} has no docstring"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'pretrian'"):
        acclimate.pretrian  # noqa: B018


def test_verbs_are_functions_whose_arguments_are_the_options() -> None:
    import inspect

    from acclimate.cli import evaluate, fill, pretrain

    renamed = {"settings", "json", "file"}  # of the command line alone
    for command, function in (
        (pretrain.pretrain, acclimate.pretrain),
        (evaluate.evaluate, acclimate.evaluate),
        (fill.fill, acclimate.fill),
    ):
        options = set(inspect.signature(command).parameters) - renamed - {"max_tokens"}
        assert options <= set(inspect.signature(function).parameters)
