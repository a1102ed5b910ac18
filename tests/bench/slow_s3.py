"""An S3 endpoint as far away as the real one: a proxy that holds back each request for a while, and counts it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_CHUNK = 1 << 16
_METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
_GO_ON = b"HTTP/1.1 100"


@dataclass
class SlowS3:
    """The endpoint `url`, which passes requests on to `host`:`port`, each `delay` seconds after it has come.

    `requests` counts them by method. Bytes pass as they are, so that signatures stay valid. A request begins with the
    first bytes after an answer; the body that follows `100 Continue` is no request of its own.
    """

    host: str
    port: int
    delay: float
    url: str = ""
    requests: Counter[str] = field(default_factory=Counter)

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of a client until one of the two ends it."""
        behind, to_behind = await asyncio.open_connection(self.host, self.port)
        answered = asyncio.Event()
        answered.set()
        with contextlib.closing(writer), contextlib.closing(to_behind):
            ways = [self._forth(reader, to_behind, answered), self._back(behind, writer, answered)]
            _, pending = await asyncio.wait(map(asyncio.ensure_future, ways), return_when=asyncio.FIRST_COMPLETED)
            for way in pending:
                way.cancel()

    async def _forth(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answered: asyncio.Event) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                if answered.is_set():
                    answered.clear()
                    self.requests[_method(data)] += 1
                    await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answered: asyncio.Event) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                if not data.startswith(_GO_ON):
                    answered.set()
                writer.write(data)
                await writer.drain()


def _method(data: bytes) -> str:
    method = data.partition(b" ")[0].decode("ascii", "replace")
    return method if method in _METHODS else "other"


@contextmanager
def slow_s3(behind: str, delay: float) -> Iterator[SlowS3]:
    """A slow endpoint on a free port, before the S3 endpoint `behind`; `delay` is in seconds."""
    address = urlsplit(behind)
    slow = SlowS3(address.hostname or "127.0.0.1", address.port or 80, delay)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="slow S3")
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(slow.pass_on, "127.0.0.1", 0), loop).result()
        slow.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield slow
        asyncio.run_coroutine_threadsafe(_close(server), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _close(server: asyncio.Server) -> None:
    server.close()
    connections = asyncio.all_tasks() - {asyncio.current_task()}
    for connection in connections:
        connection.cancel()
    await asyncio.gather(*connections, return_exceptions=True)
