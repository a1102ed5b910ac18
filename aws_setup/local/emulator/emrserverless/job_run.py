"""A job run of EMR Serverless: its states, and the process that does its work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from aws_setup.local.emulator.emrserverless.usage import Workers, utilization

# https://docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/job-states.html
TERMINAL_STATES = frozenset({"SUCCESS", "FAILED", "CANCELLED"})
STATE_DETAILS_LENGTH = 256  # shape String256 of botocore's model
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Pace:
    """How long the steps of EMR Serverless take, in seconds.

    `transition` is a step of an application, such as STARTING to STARTED. `minute` is the length of a minute of
    executionTimeoutMinutes and idleTimeoutMinutes: 60, and less in tests.
    """

    transition: float = 0.2
    minute: float = 60.0


@dataclass(frozen=True)
class SparkJob:
    """What a job run executes, as given in the request."""

    application_id: str
    job_run_id: str
    name: str
    entry_point: str
    arguments: tuple[str, ...] = ()
    parameters: str = ""
    configuration: Mapping[str, str] = field(default_factory=dict)
    log_uri: str | None = None
    execution_role: str = ""


class JobProcess(Protocol):
    """The process of a running job."""

    def wait(self, seconds: float) -> int | None:
        """The exit code, or None if the job still runs after `seconds`."""

    def stop(self) -> None:
        """End the process and all its children."""

    def close(self) -> None:
        """Complete the logs. Called once, after the end of the process."""

    def last_exceptions(self) -> str:
        """The last lines that name an error, newest first."""


class JobRunner(Protocol):
    """Executes job runs."""

    def start(self, job: SparkJob) -> JobProcess:
        """Start the job. Raises OSError when this machine cannot."""

    def dashboard(self, job: SparkJob) -> str:
        """The URL at which a person can watch the job."""


class JobRun:
    """A job run. Its thread starts in `start` and ends with the run."""

    def __init__(
        self, job: SparkJob, request: Mapping[str, Any], described: Mapping[str, Any], workers: Workers, pace: Pace
    ) -> None:
        self.job = job
        self.request = request
        self._described = dict(described)
        self._workers = workers
        self._deadline_seconds = request.get("executionTimeoutMinutes", 720) * pace.minute
        self._cancelled = threading.Event()
        self._cancel_reason = ""
        self.state = "SUBMITTED"
        self.state_details = ""
        self.created_at = self.updated_at = _now()
        self.started_at: datetime | None = None
        self.ended_at: datetime | None = None
        self._thread: threading.Thread | None = None

    @property
    def active(self) -> bool:
        """Whether the job run has not ended yet."""
        return self.state not in TERMINAL_STATES

    def start(self, runner: JobRunner, application_ready: Callable[[], bool], ended: Callable[[], None]) -> None:
        """Run the job in its own thread as soon as the application is ready, and call `ended` at the end."""

        def work() -> None:
            try:
                self._run(runner, application_ready)
            finally:
                ended()

        # The thread that starts a process must outlive it, because Linux ties the parent-death signal to the thread.
        self._thread = threading.Thread(target=work, name=f"job-run-{self.job.job_run_id}", daemon=True)
        self._thread.start()

    def cancel(self, reason: str) -> None:
        """Request the end of the run. The state is CANCELLING until the process has ended."""
        self._cancel_reason = reason
        self._move("CANCELLING", reason)
        self._cancelled.set()

    def join(self, seconds: float) -> bool:
        """Wait for the end of its thread; returns whether it ended in time."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()

    def describe(self) -> dict[str, Any]:
        """The jobRun of GetJobRun."""
        job_run = {**self._described, **self._common(), "jobRunId": self.job.job_run_id}
        if self.started_at is not None:
            job_run["startedAt"] = self.started_at
        if self.ended_at is not None:
            seconds = (self.ended_at - (self.started_at or self.ended_at)).total_seconds()
            total, billed = utilization(self._workers, seconds)
            job_run |= {
                "endedAt": self.ended_at,
                "totalExecutionDurationSeconds": round(seconds),
                "totalResourceUtilization": total,
                "billedResourceUtilization": billed,
            }
        return job_run

    def summary(self) -> dict[str, Any]:
        """The job run's entry in ListJobRuns."""
        names = ("applicationId", "name", "arn", "createdBy", "executionRole", "releaseLabel", "mode", "attempt")
        return {
            **{name: self._described[name] for name in names if name in self._described},
            **self._common(),
            "id": self.job.job_run_id,
            "type": "Spark",
        }

    def _common(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "stateDetails": self.state_details,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "attemptCreatedAt": self.created_at,
            "attemptUpdatedAt": self.updated_at,
        }

    def _move(self, state: str, details: str = "") -> None:
        self.state_details = shortened(details)
        self.updated_at = _now()
        self.state = state

    def _run(self, runner: JobRunner, application_ready: Callable[[], bool]) -> None:
        self._advance("PENDING")
        while not application_ready():
            if self._cancelled.wait(_POLL_SECONDS):
                return self._end("CANCELLED", self._cancel_reason)
        self._advance("SCHEDULED")
        try:
            process = runner.start(self.job)
        except OSError as error:
            return self._end("FAILED", f"Job failed, the driver could not be started: {error}")
        return self._follow(process)

    def _follow(self, process: JobProcess) -> None:
        self.started_at = _now()
        self._advance("RUNNING")
        code = self._wait(process)
        if code is None:
            process.stop()
        process.close()
        if code is None:
            self._end("CANCELLED", self._cancel_reason)
        elif code == 0:
            self._end("SUCCESS")
        else:
            self._end("FAILED", failure_details(code, process.last_exceptions()))

    def _wait(self, process: JobProcess) -> int | None:
        """The exit code, or None when the run must be cancelled."""
        deadline = time.monotonic() + self._deadline_seconds
        while (code := process.wait(_POLL_SECONDS)) is None:
            if self._cancelled.is_set():
                return None
            if time.monotonic() > deadline:
                minutes = self.request.get("executionTimeoutMinutes", 720)
                self.cancel(f"Job run exceeded its execution timeout of {minutes} minutes")
                return None
        return code

    def _advance(self, state: str) -> None:
        if not self._cancelled.is_set():  # CANCELLING stays until the process has ended
            self._move(state)

    def _end(self, state: str, details: str = "") -> None:
        self.ended_at = _now()
        self._move(state, details)


def _now() -> datetime:
    """The current time in the API's precision of a millisecond, so that times read by a client compare equal."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def failure_details(exit_code: int, last_exceptions: str) -> str:
    """The stateDetails of a failed run, in EMR Serverless's words."""
    return (
        "Job failed, please check complete logs in configured logging destination. "
        f"ExitCode: {exit_code}. Last few exceptions: {last_exceptions}"
    )


def shortened(details: str) -> str:
    """`details` cut to the length of stateDetails."""
    if len(details) <= STATE_DETAILS_LENGTH:
        return details
    return details[: STATE_DETAILS_LENGTH - 3] + "..."
