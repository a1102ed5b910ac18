"""EMR Serverless with the states of the service, and job runs that execute their jobs.

moto's own backend answers every job run with SUCCESS and every application with STARTED. States, refusals and texts
are those of the API reference and the user guide (https://docs.aws.amazon.com/emr-serverless/latest/APIReference/).
The comment "own words" marks a text that AWS does not document.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.exceptions import ServiceException
from moto.emrserverless.utils import random_appplication_id, random_job_id

from aws_setup.local.emulator.emrserverless import submit_parameters
from aws_setup.local.emulator.emrserverless.job_run import JobRun, JobRunner, Pace, SparkJob
from aws_setup.local.emulator.emrserverless.usage import DEFAULT_EXECUTORS, Workers, workers

_AUTO_START = {"enabled": True}
_AUTO_STOP = {"enabled": True, "idleTimeoutMinutes": 15}
# Spark uses the largest of them: https://spark.apache.org/docs/latest/configuration.html#dynamic-allocation
_INITIAL_EXECUTORS = ("spark.dynamicAllocation.initialExecutors", "spark.executor.instances")
_RELEASE = re.compile(r"emr-(spark-)?\d+\.\d+\.\d+(-\d{8})?")
_Made = TypeVar("_Made")


class EmrServerlessError(ServiceException):
    """An error of the service: code and message."""


def invalid(message: str) -> EmrServerlessError:
    """AWS's ValidationException."""
    return EmrServerlessError("ValidationException", message)


def not_found(kind: str, name: str) -> EmrServerlessError:
    """AWS's ResourceNotFoundException."""
    return EmrServerlessError("ResourceNotFoundException", f"{kind} {name} does not exist")


class Application:
    """An application and its job runs. A change of state is due at an instant, and reading the state applies it."""

    def __init__(self, request: Mapping[str, Any], arn_prefix: str, pace: Pace) -> None:
        self.id = random_appplication_id()
        self.arn = f"{arn_prefix}:/applications/{self.id}"
        self.settings = {
            "architecture": "X86_64",
            "autoStartConfiguration": _AUTO_START,
            "schedulerConfiguration": {"queueTimeoutMinutes": 360, "maxConcurrentRuns": 15},
            **request,
            "autoStopConfiguration": _AUTO_STOP | request.get("autoStopConfiguration", {}),
            "type": request["type"].capitalize(),
        }
        self.job_runs: dict[str, JobRun] = {}
        self.state_details = ""
        self.created_at = self.updated_at = datetime.now(UTC)
        self._pace = pace
        self._idle_since = time.monotonic()
        self._state, self._next, self._due = "CREATING", "CREATED", time.monotonic() + pace.transition

    @property
    def state(self) -> str:
        """The current state."""
        now = time.monotonic()
        if self._state != self._next and now >= self._due:
            self._enter(self._next)
            self._idle_since = now
        if self._state == "STARTED" and self._idle_too_long(now):
            self.move("STOPPING", "STOPPED", "AUTO_STOPPING")
        return self._state

    def move(self, through: str, to: str, details: str = "") -> None:
        """Enter the state `through` now and `to` a little later."""
        self._enter(through, details)
        self._next, self._due = to, time.monotonic() + self._pace.transition

    def finish(self, state: str) -> None:
        """Enter a state that lasts until the next call."""
        self._enter(state)
        self._next = state

    def job_ended(self) -> None:
        """Restart the idle time."""
        self._idle_since = time.monotonic()

    @property
    def active_job_runs(self) -> list[JobRun]:
        """The job runs that have not ended."""
        return [job_run for job_run in self.job_runs.values() if job_run.active]

    def summary(self) -> dict[str, Any]:
        """The application's entry in ListApplications."""
        names = ("name", "releaseLabel", "type", "architecture")
        return {
            **{name: self.settings[name] for name in names if name in self.settings},
            "id": self.id,
            "arn": self.arn,
            "state": self.state,
            "stateDetails": self.state_details,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
        }

    def describe(self) -> dict[str, Any]:
        """The application of GetApplication."""
        return {**self.settings, **self.summary(), "applicationId": self.id}

    def _enter(self, state: str, details: str = "") -> None:
        self._state, self.state_details, self.updated_at = state, details, datetime.now(UTC)

    def _idle_too_long(self, now: float) -> bool:
        auto_stop = self.settings["autoStopConfiguration"]
        limit = auto_stop["idleTimeoutMinutes"] * self._pace.minute
        return bool(auto_stop["enabled"]) and not self.active_job_runs and now - self._idle_since >= limit


class EmrServerlessBackend(BaseBackend):
    """The applications and job runs of one account in one region. Every method may be called from any thread."""

    runner: JobRunner
    pace: Pace

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.applications: dict[str, Application] = {}
        self._tokens: dict[tuple[str, str], tuple[Mapping[str, Any], Any]] = {}
        self._lock = threading.RLock()
        self._arn_prefix = f"arn:{self.partition}:emr-serverless:{region_name}:{account_id}"

    def create_application(self, request: Mapping[str, Any]) -> Application:
        """Create an application. The same client token returns the same application."""
        kind, release = request["type"], request["releaseLabel"]
        if kind.upper() not in ("SPARK", "HIVE"):
            raise invalid(f"Unsupported engine {kind}")
        if not _RELEASE.fullmatch(release):
            raise invalid(
                f"Type '{kind}' is not supported for release label '{release}' or release label does not exist"
            )
        return self._once("application", request, self._new_application)

    def _new_application(self, settings: Mapping[str, Any]) -> Application:
        application = Application(settings, self._arn_prefix, self.pace)
        self.applications[application.id] = application
        return application

    def get_application(self, application_id: str) -> Application:
        """The application with this id."""
        if application_id not in self.applications:
            raise not_found("Application", application_id)
        return self.applications[application_id]

    def list_applications(self, states: list[str]) -> list[dict[str, Any]]:
        """Summaries of the applications in one of these states, or of all."""
        with self._lock:
            summaries = [application.summary() for application in self.applications.values()]
        return [summary for summary in summaries if not states or summary["state"] in states]

    def start_application(self, application_id: str) -> None:
        """Start the application. Does nothing when it has started."""
        with self._lock:
            application = self._in_state(application_id, "CREATED", "STOPPED", "STARTING", "STARTED")
            if application.state in ("CREATED", "STOPPED"):
                application.move("STARTING", "STARTED")

    def stop_application(self, application_id: str) -> None:
        """Stop the application. Refused while a job run is active."""
        with self._lock:
            application = self.get_application(application_id)
            if application.state not in ("STARTING", "STARTED"):
                raise invalid(
                    "Application cannot be STOPPED. "
                    "Applications must be in one of the following statuses: [STARTING, STARTED]"
                )
            active = application.active_job_runs
            if active:  # own words
                names = ", ".join(job_run.job.job_run_id for job_run in active)
                raise invalid(f"Application {application_id} cannot be STOPPED while job runs are active: [{names}]")
            application.move("STOPPING", "STOPPED")

    def delete_application(self, application_id: str) -> None:
        """Delete the application. Refused unless it is stopped."""
        with self._lock:
            self._in_state(application_id, "CREATED", "STOPPED").finish("TERMINATED")

    def _in_state(self, application_id: str, *allowed: str) -> Application:
        application = self.get_application(application_id)
        if application.state not in allowed:
            raise invalid(
                f"Application {application_id} must be in one of the following statuses [{', '.join(allowed)}]. "
                f"Current status: {application.state}"
            )
        return application

    def start_job_run(self, application_id: str, request: Mapping[str, Any]) -> JobRun:
        """Start a job run, and the application if it may auto-start. The same client token returns the same run."""
        with self._lock:
            application = self.get_application(application_id)
            if request["executionRoleArn"].split(":")[4] != self.account_id:
                raise invalid("Cross-account pass role is not allowed.")
            return self._once(
                f"job run of {application_id}", request, lambda settings: self._new_job_run(application, settings)
            )

    def _new_job_run(self, application: Application, request: Mapping[str, Any]) -> JobRun:
        check_job(request)
        self._open_for_jobs(application)
        job = _spark_job(application, request)
        described = self._described(application, job, request)
        job_run = JobRun(job, request, described, _workers(job), self.pace)
        application.job_runs[job.job_run_id] = job_run
        job_run.start(self.runner, lambda: self._ready(application), application.job_ended)
        return job_run

    def _open_for_jobs(self, application: Application) -> None:
        if application.state == "TERMINATED":
            raise invalid(f"Application {application.id} is terminated. Cannot start job run.")
        starts = application.settings["autoStartConfiguration"].get("enabled", True)
        if not starts and application.state not in ("STARTING", "STARTED"):  # own words
            raise invalid(f"Application {application.id} must be STARTED. Current status: {application.state}")

    def _ready(self, application: Application) -> bool:
        with self._lock:
            if application.state in ("CREATED", "STOPPED"):
                application.move("STARTING", "STARTED")
            return application.state == "STARTED"

    def _described(self, application: Application, job: SparkJob, request: Mapping[str, Any]) -> dict[str, Any]:
        settings = application.settings
        return {
            **{name: request[name] for name in ("tags", "configurationOverrides", "retryPolicy") if name in request},
            **({"name": job.name} if job.name else {}),
            **({"networkConfiguration": network} if (network := settings.get("networkConfiguration")) else {}),
            "applicationId": application.id,
            "arn": f"{application.arn}/jobruns/{job.job_run_id}",
            "createdBy": f"arn:{self.partition}:iam::{self.account_id}:root",
            "executionRole": request["executionRoleArn"],
            "releaseLabel": settings["releaseLabel"],
            "jobDriver": request["jobDriver"],
            "executionTimeoutMinutes": request.get("executionTimeoutMinutes", 720),
            "mode": request.get("mode", "BATCH"),
            "attempt": 1,
        }

    def get_job_run(self, application_id: str, job_run_id: str) -> JobRun:
        """The job run with this id."""
        job_runs = self.get_application(application_id).job_runs
        if job_run_id not in job_runs:
            raise not_found("JobRun", job_run_id)
        return job_runs[job_run_id]

    def list_job_runs(self, application_id: str, states: list[str]) -> list[dict[str, Any]]:
        """Summaries of the application's job runs in one of these states, or of all, newest first."""
        job_runs = list(self.get_application(application_id).job_runs.values())
        return [run.summary() for run in reversed(job_runs) if not states or run.state in states]

    def cancel_job_run(self, application_id: str, job_run_id: str) -> None:
        """Cancel a job run. Refused when it has ended."""
        with self._lock:
            job_run = self.get_job_run(application_id, job_run_id)
            if not job_run.active:  # own words
                raise invalid(f"JobRun {job_run_id} cannot be CANCELLED. Current status: {job_run.state}")
            job_run.cancel("Job run was cancelled by the user")

    def shut_down(self, seconds: float) -> None:
        """Cancel all job runs and wait until their processes have ended."""
        deadline = time.monotonic() + seconds
        active = [job_run for application in self.applications.values() for job_run in application.active_job_runs]
        for job_run in active:
            job_run.cancel("The service is shutting down")
        for job_run in active:
            job_run.join(max(0.0, deadline - time.monotonic()))

    def _once(self, kind: str, request: Mapping[str, Any], make: Callable[[Mapping[str, Any]], _Made]) -> _Made:
        settings = {name: value for name, value in request.items() if name != "clientToken"}
        with self._lock:
            key = (kind, request["clientToken"])
            if key not in self._tokens:
                self._tokens[key] = (settings, make(settings))
            known, made = self._tokens[key]
        if known != settings:  # own words
            raise EmrServerlessError("ConflictException", f"Client token {key[1]} was used with other parameters")
        result: _Made = made
        return result


Backends = BackendDict[EmrServerlessBackend]


def backends(runner: JobRunner, pace: Pace) -> Backends:
    """A backend per account and region that runs its jobs with `runner`."""
    backend = type("EmrServerlessBackend", (EmrServerlessBackend,), {"runner": runner, "pace": pace})
    return BackendDict(backend, "emr-serverless")


def check_job(request: Mapping[str, Any]) -> None:
    """Raise a ValidationException for what EMR Serverless refuses in StartJobRun."""
    if request.get("executionTimeoutMinutes", 720) < 5:
        raise invalid("RunTimeout must be at least 5 minutes.")
    spark_submit = request.get("jobDriver", {}).get("sparkSubmit")
    if spark_submit is None:
        raise invalid("Unsupported job driver: only sparkSubmit is emulated")
    try:
        options = submit_parameters.parse(spark_submit.get("sparkSubmitParameters", ""))
    except ValueError as error:  # own words
        raise invalid(f"Invalid sparkSubmitParameters: {error}") from error
    conf = submit_parameters.properties(options, _configuration(request))
    unsupported = submit_parameters.unsupported_property(conf)
    if unsupported:
        raise invalid(f"Option '{unsupported}' is not supported")
    _check_executors(conf)


def _check_executors(conf: Mapping[str, str]) -> None:
    """The message is from https://github.com/aws-samples/aws-emr-utilities/pull/175; the condition is inferred."""
    few, many = (conf.get(f"spark.dynamicAllocation.{name}Executors") for name in ("min", "max"))
    try:
        initial = max(int(conf.get(name, DEFAULT_EXECUTORS)) for name in _INITIAL_EXECUTORS)
        fits = many is None or initial <= int(many)
    except ValueError as error:  # own words
        raise invalid(f"Invalid number of executors: {error}") from error
    if conf.get("spark.dynamicAllocation.enabled", "true") == "true" and not fits:
        raise invalid(
            f"Maximum value of spark.dynamicAllocation.initialExecutors: {initial} must be between"
            f" spark.dynamicAllocation.minExecutor {few or 1} and spark.dynamicAllocation.maxExecutors {many}."
        )


def _spark_job(application: Application, request: Mapping[str, Any]) -> SparkJob:
    spark_submit = request["jobDriver"]["sparkSubmit"]
    monitoring = request.get("configurationOverrides", {}).get("monitoringConfiguration")
    monitoring = monitoring or application.settings.get("monitoringConfiguration", {})
    return SparkJob(
        application_id=application.id,
        job_run_id=random_job_id(),
        name=request.get("name", ""),
        entry_point=spark_submit["entryPoint"],
        arguments=tuple(spark_submit.get("entryPointArguments", ())),
        parameters=spark_submit.get("sparkSubmitParameters", ""),
        configuration=_spark_defaults(application.settings.get("runtimeConfiguration", [])) | _configuration(request),
        log_uri=monitoring.get("s3MonitoringConfiguration", {}).get("logUri"),
        execution_role=request["executionRoleArn"],
    )


def _configuration(request: Mapping[str, Any]) -> dict[str, str]:
    return _spark_defaults(request.get("configurationOverrides", {}).get("applicationConfiguration", []))


def _spark_defaults(configurations: list[dict[str, Any]]) -> dict[str, str]:
    """The Spark properties in these classifications."""
    found: dict[str, str] = {}
    for configuration in configurations:
        if configuration["classification"] == "spark-defaults":
            found.update(configuration.get("properties", {}))
    return found


def _workers(job: SparkJob) -> Workers:
    conf = submit_parameters.properties(submit_parameters.parse(job.parameters), job.configuration)
    try:
        return workers(conf)
    except ValueError as error:  # own words
        raise invalid(f"Invalid worker size: {error}") from error
