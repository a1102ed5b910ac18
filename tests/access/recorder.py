"""Records the AWS calls of a process, one line of JSON for each, by botocore's own hooks.

What is recorded is the key that signed the call, the operation and its parameters, without those that carry content.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from botocore import handlers

FILE = "RECORD_AWS_CALLS"
"""The variable that names the file to which calls are appended."""

PROCESS = "RECORD_AWS_CALLS_AS"
"""The variable that names the process in each line."""

_CONTENT = frozenset({"Body", "SecretString", "Message", "MessageBody", "TemplateBody", "input", "Entries"})
_PARAMETERS = "recorded_parameters"


def install() -> None:
    """Record the calls of every client made from now on in this process."""
    # botocore's sessions begin with these handlers; moto puts its own in in the same way.
    handlers.BUILTIN_HANDLERS.append(("before-parameter-build.*.*", _remember))
    handlers.BUILTIN_HANDLERS.append(("before-call.*.*", _record))


def _remember(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
    context[_PARAMETERS] = {name: value for name, value in params.items() if name not in _CONTENT}


def _record(model: Any, request_signer: Any, context: dict[str, Any], **_: object) -> None:
    line = {
        "process": os.environ.get(PROCESS, ""),
        "access_key": request_signer._credentials.access_key,
        "service": model.service_model.service_name,
        "operation": model.name,
        "parameters": context.get(_PARAMETERS, {}),
    }
    # One write of less than a page to a file opened for appending: the lines of several processes do not mix.
    with Path(os.environ[FILE]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, default=str) + "\n")
