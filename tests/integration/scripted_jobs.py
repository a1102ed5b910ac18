"""Job runs of EMR Serverless that do what a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from aws_setup.local.emulator.emrserverless.job_run import SparkJob


@dataclass
class ScriptedJob:
    """A job that ends with a code, or goes on until it is stopped when that is None, and for `lingers` seconds more."""

    code: int | None
    lingers: float = 0.0
    _stopped: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float) -> int | None:
        if self.code is not None:
            return self.code
        return 143 if self._stopped.wait(seconds) else None

    def stop(self) -> None:
        if self.lingers:
            threading.Timer(self.lingers, self._stopped.set).start()
        else:
            self._stopped.set()

    def close(self) -> None:
        pass

    def last_exceptions(self) -> str:
        return "IngestionError: no table public.nothing"


@dataclass
class ScriptedJobs:
    """The next jobs end with these codes (0 after the last); what was started is kept."""

    codes: list[int | None] = field(default_factory=list)
    started: list[SparkJob] = field(default_factory=list)
    on_start: Callable[[SparkJob], None] = lambda _: None
    lingers: float = 0.0

    def start(self, job: SparkJob) -> ScriptedJob:
        self.started.append(job)
        code = self.codes.pop(0) if self.codes else 0
        self.on_start(job)
        return ScriptedJob(code, self.lingers)

    def dashboard(self, job: SparkJob) -> str:
        return f"http://127.0.0.1/{job.job_run_id}"
