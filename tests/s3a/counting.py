"""The requests that reach the S3 of the local account, by kind."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = "S3_REQUESTS_FILE"
"""The variable that names the file in which the account writes a line per request."""

# https://aws.amazon.com/s3/pricing/, S3 Standard, us-east-1. DELETE is free; whatever is not named here is as GET.
_DOLLARS_PER_1000 = {"PUT": 0.005, "COPY": 0.005, "POST": 0.005, "LIST": 0.005, "DELETE": 0.0}
_OTHERS_PER_1000 = 0.0004


def kind(environ: Mapping[str, Any]) -> str | None:
    """What a request is called in S3's price list; None for one to another service."""
    if "/s3/aws4_request" not in environ.get("HTTP_AUTHORIZATION", ""):
        return None
    method, query = str(environ["REQUEST_METHOD"]), str(environ.get("QUERY_STRING", ""))
    if method == "PUT" and "HTTP_X_AMZ_COPY_SOURCE" in environ:
        return "COPY"
    if method == "GET" and ("list-type=" in query or "prefix=" in query):
        return "LIST"
    if method == "POST" and query.startswith("delete"):
        return "DELETE"
    return method


def install() -> None:
    """Let moto's server of this process write each request to S3 into the file that FILE names."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication  # noqa: PLC0415 (seconds to import)

    answer = DomainDispatcherApplication.__call__
    lines = os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def counted(self: Any, environ: dict[str, Any], start_response: Any) -> Any:
        found = kind(environ)
        if found is not None:
            os.write(lines, f"{found} {environ['PATH_INFO']}\n".encode())
        return answer(self, environ, start_response)

    DomainDispatcherApplication.__call__ = counted  # type: ignore[method-assign]


@dataclass
class Count:
    """The requests of a piece of work, by kind."""

    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def dollars(self) -> float:
        """What they cost at S3's list prices."""
        return sum(number * _DOLLARS_PER_1000.get(kind, _OTHERS_PER_1000) / 1000 for kind, number in self.kinds.items())

    def __str__(self) -> str:
        """All on one line, most first."""
        each = ", ".join(f"{kind} {number:,}" for kind, number in self.kinds.most_common())
        return f"{self.kinds.total():,} requests ({each}), ${self.dollars:.4f}"


@dataclass(frozen=True)
class Requests:
    """The requests that an account writes into `file`."""

    file: Path

    @contextmanager
    def counted(self) -> Iterator[Count]:
        """Those of the block; the count is complete at its end."""
        start, count = self.file.stat().st_size, Count()
        yield count
        with self.file.open("rb") as lines:
            lines.seek(start)
            count.kinds.update(line.split()[0].decode() for line in lines)
