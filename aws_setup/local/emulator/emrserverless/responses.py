"""The HTTP side of EMR Serverless: parses and checks requests, and answers in the shapes of the service model."""

from __future__ import annotations

from typing import Any, cast

from moto.core.base_backend import BackendDict
from moto.core.responses import ActionResult, BaseResponse, EmptyResult, PaginatedResult
from moto.core.utils import get_service_model

from aws_setup.local.emulator.core.constraints import validation_message, violations
from aws_setup.local.emulator.emrserverless.job_run import JobRun, JobRunner
from aws_setup.local.emulator.emrserverless.models import EmrServerlessBackend, invalid

_APPLICATION = "{0}/applications/(?P<applicationId>[^/]+)"
_PATHS = (
    "{0}/applications$",
    f"{_APPLICATION}$",
    f"{_APPLICATION}/start$",
    f"{_APPLICATION}/stop$",
    f"{_APPLICATION}/jobruns$",
    f"{_APPLICATION}/jobruns/(?P<jobRunId>[^/]+)$",
    f"{_APPLICATION}/jobruns/(?P<jobRunId>[^/]+)/dashboard$",
)


class EmrServerlessResponse(BaseResponse):
    """A method for each operation; moto's router calls them by name."""

    backends: BackendDict[EmrServerlessBackend]
    runner: JobRunner

    def __init__(self) -> None:
        super().__init__("emr-serverless")
        self.automated_parameter_parsing = True

    @property
    def _backend(self) -> EmrServerlessBackend:
        return self.backends[self.current_account][self.region]

    def _request(self) -> dict[str, Any]:
        """The members of the request, checked against the service model."""
        operation = get_service_model("emr-serverless").operation_model(self._get_action())
        # moto's parser turns a list that is missing in the query string into an empty one
        request = {name: value for name, value in self.params.items() if value not in (None, [])}
        found = list(violations(request, operation.input_shape))
        if found:
            raise invalid(validation_message(found))
        return request

    @property
    def _application_id(self) -> str:
        return cast("str", self._request()["applicationId"])

    def create_application(self) -> ActionResult:
        """CreateApplication."""
        application = self._backend.create_application(self._request())
        return ActionResult(
            {"applicationId": application.id, "name": application.settings.get("name"), "arn": application.arn}
        )

    def get_application(self) -> ActionResult:
        """GetApplication."""
        return ActionResult({"application": self._backend.get_application(self._application_id).describe()})

    def list_applications(self) -> ActionResult:
        """ListApplications."""
        return PaginatedResult({"applications": self._backend.list_applications(self._request().get("states", []))})

    def start_application(self) -> ActionResult:
        """StartApplication."""
        self._backend.start_application(self._application_id)
        return EmptyResult()

    def stop_application(self) -> ActionResult:
        """StopApplication."""
        self._backend.stop_application(self._application_id)
        return EmptyResult()

    def delete_application(self) -> ActionResult:
        """DeleteApplication."""
        self._backend.delete_application(self._application_id)
        return EmptyResult()

    def start_job_run(self) -> ActionResult:
        """StartJobRun."""
        request = self._request()
        application_id = request.pop("applicationId")
        job_run = self._backend.start_job_run(application_id, request)
        return ActionResult(
            {"applicationId": application_id, "jobRunId": job_run.job.job_run_id, "arn": job_run.describe()["arn"]}
        )

    def get_job_run(self) -> ActionResult:
        """GetJobRun."""
        return ActionResult({"jobRun": self._job_run().describe()})

    def cancel_job_run(self) -> ActionResult:
        """CancelJobRun."""
        request = self._request()
        self._backend.cancel_job_run(request["applicationId"], request["jobRunId"])
        return ActionResult({"applicationId": request["applicationId"], "jobRunId": request["jobRunId"]})

    def list_job_runs(self) -> ActionResult:
        """ListJobRuns, whose only emulated filter is `states`."""
        request = self._request()
        unknown = request.keys() & {"createdAtAfter", "createdAtBefore", "mode"}
        if unknown:
            raise invalid(f"The local account lists job runs by states, not by {', '.join(sorted(unknown))}")
        found = self._backend.list_job_runs(request["applicationId"], request.get("states", []))
        return PaginatedResult({"jobRuns": found})

    def get_dashboard_for_job_run(self) -> ActionResult:
        """GetDashboardForJobRun."""
        return ActionResult({"url": self.runner.dashboard(self._job_run().job)})

    def _job_run(self) -> JobRun:
        request = self._request()
        return self._backend.get_job_run(request["applicationId"], request["jobRunId"])


def url_paths(backends: BackendDict[EmrServerlessBackend], runner: JobRunner) -> dict[str, Any]:
    """The paths of the service with their handlers, in the form of moto's `urls.py`."""
    response: Any = type("EmrServerlessResponse", (EmrServerlessResponse,), {"backends": backends, "runner": runner})
    return dict.fromkeys(_PATHS, response.dispatch)
