"""Real drivers to kill: spark-submit with the job's own main, stopped at a chosen request to S3."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import psutil
import pyspark

from aws_setup.job_bundle.java import java_home
from aws_setup.job_bundle.jdbc import driver_jar
from aws_setup.local.class_archive import java_options
from aws_setup.local.emulator.emrserverless.job_run import SparkJob
from aws_setup.local.emulator.spark.submit import JAVA_OPTIONS, SparkSubmit
from aws_setup.local.processes.child import Child
from tests.integration.conftest import ROOT, Account

_HOPS = {"connection", "expect", "transfer-encoding", "keep-alive"}


@dataclass
class Gatekeeper:
    """S3 behind a gate: a PUT of a key that ends with `key` waits before it is passed on, or, `after`, once it is."""

    behind: str
    key: str = "\0"
    after: bool = False
    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def stop_at(self, key: str, *, after: bool) -> None:
        self.key, self.after = key, after
        self.reached.clear()

    def pass_on(self, method: str, path: str, headers: dict[str, str], body: bytes) -> http.client.HTTPResponse | None:
        """S3's answer; None after the wait at the gate, when there is nobody left who wants it."""
        stop = method == "PUT" and urlsplit(path).path.endswith(self.key)
        if stop and not self.after:
            self._wait()
            return None
        connection = http.client.HTTPConnection(urlsplit(self.behind).netloc, timeout=30)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        if not stop:
            return response
        self._wait()
        return None

    def _wait(self) -> None:
        self.reached.set()
        self.opened.wait(60)


@contextmanager
def gatekeeper(behind: str) -> Iterator[Gatekeeper]:
    """A gate before the S3 endpoint `behind`."""
    gate = Gatekeeper(behind)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOPS}
            response = gate.pass_on(self.command, self.path, headers, body)
            if response is None:
                self.close_connection = True
                return
            content = response.read()
            self.send_response_only(response.status)
            for name, value in response.headers.items():
                if name.lower() not in _HOPS | {"content-length"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = handle_any  # noqa: N815 (http.server's names)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        gate.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield gate
        finally:
            gate.opened.set()
            server.shutdown()
            thread.join()


@dataclass
class Driver:
    """A spark-submit that runs."""

    child: Child
    log: Path

    def kill(self) -> None:
        """SIGKILL to the driver's JVM and Python at once."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):  # Python ends with its JVM
                process.kill()
        self.child.wait(20)

    def processes(self, word: str = "") -> list[psutil.Process]:
        """The driver and what it has started; those that have `word` in their command line."""
        started = psutil.Process(self.child.pid).children(recursive=True)
        alive = [process for process in started if process.status() != psutil.STATUS_ZOMBIE]
        return [process for process in alive if any(word in argument for argument in process.cmdline())]

    def told(self) -> str:
        """What it has written to standard output and error."""
        return self.log.read_text(errors="replace")

    def wait(self) -> int:
        """The exit code."""
        return self.child.wait(60)


@dataclass(frozen=True)
class Launcher:
    """Starts drivers of the account."""

    account: Account
    bucket: str
    database_secret: str
    folder: Path

    @contextmanager
    def started(
        self,
        execution: str,
        request: dict[str, Any],
        endpoint: str | None = None,
        master: str = "local[2]",
        heap: str = "512m",
        conf: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[Driver]:
        """The job, as EMR runs it, but with S3 at `endpoint` and `conf` of Spark besides; ended with the test."""
        home = Path(tempfile.mkdtemp(dir=self.folder))
        (home / "tmp").mkdir()
        argument = {"input": request, "execution": execution, "bucket": self.bucket}
        arguments = (json.dumps({**argument, "database_secret": self.database_secret}),)
        parameters = f"--jars {driver_jar()} --conf spark.driver.memory={heap}"
        job = SparkJob("crash", home.name, execution, str(ROOT / "spark_scripts" / "main.py"), arguments, parameters)
        runner = SparkSubmit(
            self.account.lake, java_home(), self.account.environment, self.folder, java_options=java_options()
        )
        environment = {**runner.driver_environment(job), "PYTHONPATH": str(ROOT), "SPARK_HOME": str(_own_spark(home))}
        if endpoint:
            environment["AWS_ENDPOINT_URL_S3"] = endpoint
        command = [word.replace("spark.master=local[*]", f"spark.master={master}") for word in runner.command(job)]
        options = f"{JAVA_OPTIONS} {java_options()} {os.environ.get('SPARK_SUBMIT_OPTS', '')}"
        command[1:1] = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
        command[1:1] = ["--conf", f"spark.executor.defaultJavaOptions={options}"]  # for a master local-cluster
        with (home / "log").open("wb") as log:
            child = Child(command, env=environment, cwd=home, stdout=log, stderr=log, grace=1)
        with child:
            yield Driver(child, home / "log")


def _own_spark(folder: Path) -> Path:
    """A SPARK_HOME whose folder `work`, where workers write, is the test's own."""
    home = folder / "spark"
    home.mkdir()
    for part in Path(pyspark.__file__).parent.iterdir():
        (home / part.name).symlink_to(part)
    return home


def until(condition: Callable[[], Any], driver: Driver | None = None, seconds: float = 60) -> Any:
    """The result of `condition` once it is true. Fails with the driver's log after `seconds`, or when it has ended."""
    give_up = time.monotonic() + seconds
    while not (found := condition()):
        told = driver.told()[-3000:] if driver else ""
        assert time.monotonic() < give_up, told
        assert driver is None or driver.child.poll() is None, told
        time.sleep(0.02)
    return found
