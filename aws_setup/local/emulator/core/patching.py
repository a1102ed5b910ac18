"""Replaces parts of moto while a `LocalAws` runs, and restores them afterwards."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any


def replace_attribute(stack: ExitStack, owner: object, name: str, value: Any) -> None:
    """Set `owner.name` until `stack` closes.

    Raises AttributeError when moto no longer has the attribute, because the replacement would have no effect.
    """
    # vars() keeps staticmethod and classmethod objects as they are; getattr would unwrap them.
    original = vars(owner)[name] if name in vars(owner) else getattr(owner, name)
    setattr(owner, name, value)
    stack.callback(setattr, owner, name, original)


def replace_item(stack: ExitStack, mapping: dict[Any, Any], key: object, value: object) -> None:
    """Set `mapping[key]` until `stack` closes."""
    if key in mapping:
        stack.callback(mapping.__setitem__, key, mapping[key])
    else:
        stack.callback(mapping.pop, key, None)
    mapping[key] = value


def replace_environment(stack: ExitStack, values: Mapping[str, str | None]) -> None:
    """Set (or, for None, remove) variables of this process's environment until `stack` closes."""
    for name, value in values.items():
        original = os.environ.get(name)
        stack.callback(_set_variable, name, original)
        _set_variable(name, value)


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
