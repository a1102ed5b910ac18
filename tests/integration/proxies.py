"""A TCP proxy before a PostgreSQL server, which does what routers, load balancers and endpoints do."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Route = Callable[[int], int]
"""The server's port for the connection of this number, from 0 on."""


@dataclass
class Proxy:
    """Listens on `port`. A connection in which nothing passes for `patience` seconds is cut, without a word."""

    route: Route
    patience: float
    port: int = 0
    cut: int = 0
    _threads: list[threading.Thread] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def serve(self, listener: socket.socket) -> None:
        number = 0
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self.route(number)))
                number += 1
                thread = threading.Thread(target=self._pass_on, args=(client, server))
                thread.start()
                self._threads.append(thread)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        other = {client: server, server: client}
        last = time.monotonic()
        with client, server:
            while not self._ended.is_set():
                ready, _, _ = select.select([client, server], [], [], 0.1)
                for end in ready:
                    try:
                        data = end.recv(1 << 16)
                        other[end].sendall(data)
                    except OSError:
                        return
                    if not data:
                        return
                    last = time.monotonic()
                if time.monotonic() - last > self.patience:
                    self.cut += 1
                    return

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def proxy(route: Route, patience: float = float("inf")) -> Iterator[Proxy]:
    """A proxy on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        running = Proxy(route, patience, listener.getsockname()[1])
        thread = threading.Thread(target=running.serve, args=(listener,))
        thread.start()
        try:
            yield running
        finally:
            running.end()
            thread.join()
