"""The EMR Serverless applications of a stack that have not been deleted, and their cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest_assets.aws.cost import LIST_PRICES, usage
from spark_scripts.contract.wording import counted

if TYPE_CHECKING:
    from mypy_boto3_emr_serverless import EMRServerlessClient
    from mypy_boto3_emr_serverless.literals import ApplicationStateType, JobRunStateType

NOT_DELETED: tuple[ApplicationStateType, ...] = ("CREATING", "CREATED", "STARTING", "STARTED", "STOPPING", "STOPPED")
ACTIVE: tuple[JobRunStateType, ...] = ("SUBMITTED", "PENDING", "SCHEDULED", "RUNNING", "QUEUED", "CANCELLING")


@dataclass(frozen=True)
class Application:
    """An EMR Serverless application of the state machine that has not been deleted.

    `left_over` says that no execution is running that could still delete it. `jobs` counts the jobs that run or wait,
    `usd` is their cost so far at list price, None while EMR Serverless does not report it. `keeps_workers` says that it
    has pre-initialised capacity, which costs money while it is STARTED; any other idle application costs nothing.
    """

    id: str
    state: str
    created: str
    left_over: bool
    jobs: int = 0
    usd: float | None = None
    keeps_workers: bool = False

    def to_text(self) -> str:
        """As one line for a terminal."""
        remark = "; left over, since no execution is running: stop and delete it" if self.left_over else ""
        return f"{self.id} {self.state}, created {self.created}, {self._cost()}{remark}"

    def _cost(self) -> str:
        if self.jobs:
            cost = "cost not known yet" if self.usd is None else f"about ${self.usd:.2f} so far"
            return f"{counted(self.jobs, 'job')} running, {cost}"
        if self.keeps_workers and self.state == "STARTED":
            return "idle, but its pre-initialised workers cost money: stop it"
        return "idle, which costs nothing"


def read(client: EMRServerlessClient, name: str, *, left_over: bool) -> tuple[Application, ...]:
    """The applications with this name that have not been deleted."""
    pages = client.get_paginator("list_applications").paginate(states=NOT_DELETED)
    found = [entry for page in pages for entry in page["applications"] if entry.get("name") == name]
    return tuple(
        _application(client, entry["id"], entry["state"], entry["createdAt"].isoformat(timespec="seconds"), left_over)
        for entry in found
    )


def _application(
    client: EMRServerlessClient, application_id: str, state: str, created: str, left_over: bool
) -> Application:
    pages = client.get_paginator("list_job_runs").paginate(applicationId=application_id, states=ACTIVE)
    runs = [run["id"] for page in pages for run in page["jobRuns"]]
    used = [one for run in runs if (one := usage(client, application_id, run)) is not None]
    about = client.get_application(applicationId=application_id)["application"]
    return Application(
        id=application_id,
        state=state,
        created=created,
        left_over=left_over,
        jobs=len(runs),
        usd=sum(one.usd(LIST_PRICES) for one in used) if used else None,
        keeps_workers=bool(about.get("initialCapacity")),
    )
