"""An AWS account on localhost: a moto server in a thread of this process, with the additions of this folder."""

from __future__ import annotations

import logging
import threading
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Self

import boto3
from moto.core.config import default_user_config
from moto.emrserverless import urls as emr_urls
from moto.moto_api._internal.models import moto_api_backend
from moto.server import ThreadedMotoServer
from moto.stepfunctions.parser.asl.utils.boto_client import boto_client_for

from aws_setup.local.emulator.cloudformation import engine
from aws_setup.local.emulator.core import roles
from aws_setup.local.emulator.core.patching import replace_attribute, replace_environment, replace_item
from aws_setup.local.emulator.emrserverless import models, responses
from aws_setup.local.emulator.emrserverless.job_run import JobRunner, Pace
from aws_setup.local.emulator.events import targets
from aws_setup.local.emulator.s3 import listings
from aws_setup.local.emulator.stepfunctions import executions, task_services

_STOP_SECONDS = 10.0
_SOME_REGION = "us-east-1"
_ONE_PER_PROCESS = threading.Lock()


class LocalAws(AbstractContextManager["LocalAws"]):
    """moto's server on a free port of 127.0.0.1, which executes state machines and Spark jobs.

    `spark` runs the job runs of EMR Serverless. `pace` sets the speed of the steps of EMR Serverless. A process can
    have one at a time, because moto keeps its state in module globals, which `__exit__` resets. While it runs, this
    process ignores AWS configuration files and profiles, because moto's own clients would read them. With `s3_keys` the
    state machine reads the S3 server of AWS_ENDPOINT_URL_S3, which accepts these keys.
    """

    url: str

    def __init__(self, spark: JobRunner, *, pace: Pace | None = None, s3_keys: roles.Keys | None = None) -> None:
        self._spark = spark
        self._s3_keys = s3_keys
        self._pace = pace or Pace()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start the server. Raises RuntimeError when another one runs in this process."""
        with ExitStack() as stack:
            if not _ONE_PER_PROCESS.acquire(blocking=False):
                raise RuntimeError("this process already runs a LocalAws")
            stack.callback(_ONE_PER_PROCESS.release)
            self._install(stack)
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _install(self, stack: ExitStack) -> None:
        moto_api_backend.reset()
        stack.callback(moto_api_backend.reset)
        backends = models.backends(self._spark, self._pace)
        replace_attribute(stack, emr_urls, "url_paths", responses.url_paths(backends, self._spark))
        replace_item(stack, default_user_config["stepfunctions"], "execute_state_machine", True)  # type: ignore[arg-type]
        task_services.install(stack)
        roles.install(stack, self._s3_keys)
        executions.install(stack)
        targets.install(stack)
        listings.install(stack)
        engine.install(stack)
        stack.callback(_shut_down, backends)

    def _start(self, stack: ExitStack) -> None:
        _silence(stack, "werkzeug", logging.ERROR)
        # moto logs every failing state with the whole parse tree; the history of the execution has the error too.
        _silence(stack, "moto.stepfunctions", logging.CRITICAL + 1)
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        stack.callback(_stop, server)
        host, port = server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        replace_environment(stack, _client_environment(port))
        replace_attribute(stack, boto3, "DEFAULT_SESSION", None)
        # The first client creates parts of the session, and executions that start together would race for them.
        boto_client_for(_SOME_REGION, "sts")
        # Executions stop before the server, because their tasks cancel job runs through it.
        stack.callback(executions.stop_all, _STOP_SECONDS)


def _client_environment(port: int) -> dict[str, str | None]:
    """The variables that moto's own clients need in this process."""
    return {
        "MOTO_PORT": str(port),
        "AWS_PROFILE": None,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def _stop(server: ThreadedMotoServer) -> None:
    server.stop()
    if server._server is not None:
        server._server.server_close()  # stop() leaves the listening socket open


def _shut_down(backends: models.Backends) -> None:
    for account in backends.values():
        for backend in account.values():
            backend.shut_down(_STOP_SECONDS)


def _silence(stack: ExitStack, name: str, level: int) -> None:
    """Raise the level of a logger, so that a line per request does not hide the output of the user's command."""
    logger = logging.getLogger(name)
    stack.callback(logger.setLevel, logger.level)
    logger.setLevel(level)
