"""Replaced parts of moto are restored."""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest

from aws_setup.local.emulator.core.patching import replace_attribute, replace_environment, replace_item


class Owner:
    """Something with attributes to replace."""

    @staticmethod
    def answer() -> str:
        return "theirs"


def test_attributes_are_restored() -> None:
    with ExitStack() as stack:
        replace_attribute(stack, Owner, "answer", staticmethod(lambda: "ours"))
        assert Owner.answer() == "ours"

    assert Owner.answer() == "theirs"
    assert Owner().answer() == "theirs"  # a static method again


def test_replacing_a_missing_attribute_is_an_error() -> None:
    with ExitStack() as stack, pytest.raises(AttributeError, match="renamed"):
        replace_attribute(stack, Owner, "renamed", None)


def test_items_are_restored_or_removed() -> None:
    mapping = {"known": 1}
    with ExitStack() as stack:
        replace_item(stack, mapping, "known", 2)
        replace_item(stack, mapping, "new", 3)
        assert mapping == {"known": 2, "new": 3}

    assert mapping == {"known": 1}


def test_the_environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SET", "theirs")
    monkeypatch.delenv("UNSET", raising=False)
    with ExitStack() as stack:
        replace_environment(stack, {"SET": None, "UNSET": "ours"})
        assert ("SET" in os.environ, os.environ["UNSET"]) == (False, "ours")

    assert (os.environ["SET"], "UNSET" in os.environ) == ("theirs", False)
