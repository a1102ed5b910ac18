"""Reading the job's JSON documents, which have a version."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from spark_scripts.contract.errors import DocumentError

T = TypeVar("T")


def read_document(text: str, name: str, version: int, build: Callable[[dict[str, Any]], T]) -> T:
    """What `build` makes of the document's fields, which it may take out of the dict.

    Raises DocumentError, with the document's `name`, when it has another version or `build` finds another form.
    """
    try:
        document = json.loads(text)
        found = document.pop("version", None)
        if found == version:
            return build(document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DocumentError(f"{name} is not of the agreed form: {error}") from error
    raise DocumentError(f"{name} has version {found!r}, this release reads {version}: upgrade")
