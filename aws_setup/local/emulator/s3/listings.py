"""Corrects how moto's S3 differs from AWS in a bucket with versioning.

moto 5.2.5 has the folders of deleted objects among CommonPrefixes: it counts delete markers as keys. S3A then finds
folders that are not there. Drop this when `S3Backend.list_objects` leaves delete markers out from the start.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from moto.s3.models import FakeBucket, FakeDeleteMarker, S3Backend
from moto.s3.utils import _VersionedKeyStore

from aws_setup.local.emulator.core.patching import replace_attribute

_List = Callable[..., Any]


def install(stack: ExitStack) -> None:
    """Put the change in until `stack` closes."""
    replace_attribute(stack, S3Backend, "list_objects", _of_what_is_there(S3Backend.list_objects))


def _of_what_is_there(list_objects: _List) -> _List:
    def listed(self: S3Backend, bucket: FakeBucket, *arguments: Any, **named: Any) -> Any:
        there = copy.copy(bucket)
        names: list[str] = list(dict.keys(bucket.keys))  # at once: other requests change it meanwhile
        keys = ((name, bucket.keys.get(name)) for name in names)
        there.keys = _VersionedKeyStore()
        for name, key in keys:
            if key is not None and not isinstance(key, FakeDeleteMarker):
                there.keys[name] = key
        return list_objects(self, there, *arguments, **named)

    return listed
