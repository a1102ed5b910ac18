"""The pages that stand in for the AWS console behind Dagster's links: folders of the lake, logs, executions.

Their paths are those of the console. A request needs the token in the address. Port and token stay the same over
restarts if the port is free, so that links in Dagster's history keep working.
"""

from __future__ import annotations

import contextlib
import html
import json
import mimetypes
import os
import secrets
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

import boto3
from botocore.exceptions import ClientError

from ingest_assets.aws.executions import describe, state_changes

_TEXT = "text/plain; charset=utf-8"
_HTML = "text/html; charset=utf-8"
# The console puts the ARN after the # of the address, which browsers do not send to the server.
_TO_EXECUTION = "<script>location.replace('../executions/' + location.hash.split('/').pop())</script>"


class Console(contextlib.AbstractContextManager["Console"]):
    """A running server on the loopback address over the folder `lake`. The file `memory` stores its port and token."""

    url: str

    def __init__(self, lake: Path, memory: Path) -> None:
        self._lake, self._memory = lake.resolve(), memory

    def __enter__(self) -> Self:
        port, token = self._remembered()
        try:
            self._server = _Server(port, self._lake, token)
        except OSError:  # another program has taken the port
            self._server = _Server(0, self._lake, token)
        self.url = f"http://127.0.0.1:{self._server.server_port}/{token}"
        self._memory.unlink(missing_ok=True)
        with open(os.open(self._memory, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123
            json.dump([self._server.server_port, token], file)
        self._thread = threading.Thread(target=self._server.serve_forever, name="console", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _remembered(self) -> tuple[int, str]:
        try:
            port, token = json.loads(self._memory.read_text())
            return int(port), str(token)
        except (OSError, ValueError):
            return 0, secrets.token_urlsafe(16)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, lake: Path, token: str) -> None:
        self.lake, self.token = lake, token
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        _, token, *path = address.path.split("/")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            self._answer(HTTPStatus.NOT_FOUND, _TEXT, b"There is no such page.")
            return
        match path:
            case ["states", "home"]:
                self._answer(HTTPStatus.OK, _HTML, _TO_EXECUTION.encode())
            case ["executions", arn]:
                self._execution(unquote(arn))
            case ["s3", "buckets", bucket]:
                [prefix] = parse_qs(address.query).get("prefix", [""])
                self._object(f"{unquote(bucket)}/{prefix}")
            case _:
                self._answer(HTTPStatus.NOT_FOUND, _TEXT, b"There is no such page.")

    def log_message(self, *_: object) -> None:
        """Write no log."""

    def _execution(self, arn: str) -> None:
        client = boto3.session.Session().client("stepfunctions")
        try:
            execution = describe(client, arn)
            lines = [f"{change.at:%Y-%m-%d %H:%M:%S} {change.text}" for change in state_changes(client, arn)]
        except ClientError as error:
            text = (
                f"{error}\nExecutions are lost when the local account stops; Dagster's history has what they ingested."
            )
            self._answer(HTTPStatus.NOT_FOUND, _TEXT, text.encode())
            return
        shown = [execution.name, execution.status, execution.error or "", execution.cause or "", "", *lines]
        self._answer(HTTPStatus.OK, _TEXT, "\n".join(shown).encode())

    def _object(self, name: str) -> None:
        path = (self.server.lake / name).resolve()
        if path.is_relative_to(self.server.lake) and path.is_dir():
            self._answer(HTTPStatus.OK, _HTML, _listing(self.server.lake, path).encode())
        elif path.is_relative_to(self.server.lake) and path.is_file():
            self._file(path)
        else:
            text = f"{self.server.lake / name} does not exist (any more)."
            self._answer(HTTPStatus.NOT_FOUND, _TEXT, text.encode())

    def _file(self, path: Path) -> None:
        kind, encoding = mimetypes.guess_type(path.name)
        binary = path.suffix == ".parquet" or encoding not in (None, "gzip")
        headers = {"Content-Encoding": encoding} if encoding == "gzip" else {}
        # Text is sent as plain text, because an HTML file of the lake could run scripts.
        self._answer(HTTPStatus.OK, kind or "application/octet-stream" if binary else _TEXT, path.read_bytes(), headers)

    def _answer(self, status: HTTPStatus, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        others = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", **(headers or {})}
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **others}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _listing(lake: Path, folder: Path) -> str:
    """The page of a folder."""
    bucket, *parts = folder.relative_to(lake).parts or ("",)
    rows = [f"<h3>{html.escape(str(folder))}</h3>"]
    for entry in sorted(folder.iterdir(), key=lambda entry: (entry.is_file(), entry.name)):
        end = "/" if entry.is_dir() else ""
        prefix = quote("/".join([*parts, entry.name])) + end
        size = "" if entry.is_dir() else f"&emsp;{entry.stat().st_size:,} bytes"
        rows.append(f'<div><a href="{bucket}?prefix={prefix}">{html.escape(entry.name)}{end}</a>{size}</div>')
    return f'<!doctype html><meta charset="utf-8"><body style="font-family: sans-serif">{"".join(rows)}'
