"""An AWS account for the workflow: a state machine that plays a script, application and job run, a bucket."""

from __future__ import annotations

# ruff: noqa: ARG002, N803 (the arguments are AWS's, in name and number)
import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from ingest_assets.aws.messages import Notification
from ingest_assets.tables import load_tables
from spark_scripts.contract import layout
from spark_scripts.contract.manifest import Column, File, Manifest
from spark_scripts.contract.months import Month, Partition
from spark_scripts.contract.refresh import Findings, Look, Refresh
from spark_scripts.contract.tables import tables_to_json

BUCKET = "lake"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:EMRServerlessStepFunction"

EXECUTION = f"{MACHINE.replace(':stateMachine:', ':execution:')}:n1"
APPLICATION, JOB = "00fapp", "00fjob"
STARTED = datetime(2024, 3, 1, tzinfo=UTC)
LOOKED_AT = "2026-01-01T00:00:01Z"

Event = dict[str, Any]


def client_error(code: str, message: str = "made up", status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Call")


def created(application_id: str = APPLICATION) -> Event:
    return {
        "type": "TaskSucceeded",
        "taskSucceededEventDetails": {"output": json.dumps({"ApplicationId": application_id})},
    }


def scheduled(resource: str, **parameters: str) -> Event:
    details = {"resource": resource, "parameters": json.dumps(parameters)}
    return {"type": "TaskScheduled", "taskScheduledEventDetails": details}


def submitted(job_run_id: str = JOB) -> Event:
    output = json.dumps({"ApplicationId": APPLICATION, "JobRunId": job_run_id})
    return {"type": "TaskSubmitted", "taskSubmittedEventDetails": {"output": output}}


def entered(state: str) -> Event:
    return {"type": "TaskStateEntered", "stateEnteredEventDetails": {"name": state}}


NORMAL = [
    entered("EMR Serverless CreateApplication"),
    scheduled("createApplication.sync", Name="EMR-Step-Function"),
    created(),
    entered("EMR Serverless StartJobRun"),
    scheduled("startJobRun.sync", ApplicationId=APPLICATION),
    submitted(),
]


@dataclass
class FakeExecution:
    """Answers RUNNING for each of `answers` (called first), then `status`."""

    status: str = "SUCCEEDED"
    answers: list[Callable[[], None]] = field(default_factory=list)
    events: list[Event] = field(default_factory=lambda: [*NORMAL])
    error: str | None = None
    cause: str | None = None
    input: str = "{}"
    stopped: datetime | None = None


@dataclass
class FakeStepFunctions:
    """`next` is what the next started execution will be."""

    next: FakeExecution = field(default_factory=FakeExecution)
    executions: dict[str, FakeExecution] = field(default_factory=dict)
    started: list[dict[str, Any]] = field(default_factory=list)
    stopped: list[dict[str, str]] = field(default_factory=list)
    on_start: Callable[[], None] = lambda: None

    def start_execution(self, **request: str) -> dict[str, str]:
        self.started.append({**request, "input": json.loads(request["input"])})
        self.next.input = request["input"]
        self.executions[request["name"]] = self.next
        self.on_start()
        return {}

    def describe_execution(self, executionArn: str) -> dict[str, Any]:
        name = executionArn.rpartition(":")[2]
        if name not in self.executions:
            raise client_error("ExecutionDoesNotExist", f"Execution Does Not Exist: '{executionArn}'")
        execution = self.executions[name]
        running = bool(execution.answers)
        if running:
            execution.answers.pop(0)()
        answer = {
            "name": name,
            "status": "RUNNING" if running else execution.status,
            "input": execution.input,
            "error": execution.error,
            "cause": execution.cause,
            "startDate": STARTED,
            "stopDate": execution.stopped,
        }
        return {key: value for key, value in answer.items() if value is not None}

    def stop_execution(self, **request: str) -> None:
        if request["executionArn"].rpartition(":")[2] not in self.executions:
            raise client_error("ExecutionDoesNotExist")
        self.stopped.append(request)

    def get_paginator(self, operation: str) -> FakeHistory:
        assert operation == "get_execution_history"
        return FakeHistory(self)


@dataclass
class FakeHistory:
    step_functions: FakeStepFunctions

    def paginate(self, executionArn: str) -> Iterator[dict[str, list[Event]]]:
        events = self.step_functions.executions[executionArn.rpartition(":")[2]].events
        numbered = [{"id": number, "timestamp": STARTED, **event} for number, event in enumerate(events, 1)]
        middle = len(numbered) // 2
        yield {"events": numbered[:middle]}
        yield {"events": numbered[middle:]}


@dataclass
class FakeEmrServerless:
    """One application with one job run, obeying at once."""

    application: str = "STARTED"
    job: str = "RUNNING"
    job_name: str = ""
    calls: list[str] = field(default_factory=list)
    obeys: bool = True
    usage: dict[str, dict[str, float]] = field(default_factory=dict)

    def get_paginator(self, operation: str) -> FakeEmrServerless:
        assert operation == "list_job_runs"
        return self

    def paginate(self, applicationId: str) -> list[dict[str, Any]]:
        return [{"jobRuns": [{"id": JOB, "name": self.job_name}] if self.job_name else []}]

    def cancel_job_run(self, applicationId: str, jobRunId: str) -> None:
        self.calls.append(f"cancel {jobRunId}")
        if self.job in ("SUCCESS", "FAILED", "CANCELLED"):
            raise client_error("ValidationException", f"job run is {self.job}")
        if self.obeys:
            self.job = "CANCELLED"

    def get_job_run(self, applicationId: str, jobRunId: str) -> dict[str, Any]:
        if self.application == "TERMINATED":
            raise client_error("ResourceNotFoundException")
        return {"jobRun": {"state": self.job, **self.usage}}

    def get_application(self, applicationId: str) -> dict[str, Any]:
        return {"application": {"state": self.application}}

    def stop_application(self, applicationId: str) -> None:
        self.calls.append(f"stop {applicationId}")
        self.application = "STOPPED"

    def delete_application(self, applicationId: str) -> None:
        self.calls.append(f"delete {applicationId}")
        self.application = "TERMINATED"


class FakeS3:
    """A bucket in memory; with what `aws_setup deploy` uploads."""

    def __init__(self) -> None:
        tables = tables_to_json(table.to_table() for table in load_tables())
        self.objects = {layout.TABLES_KEY: tables.encode()}

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        assert Bucket == BUCKET
        if Key not in self.objects:
            raise client_error("NoSuchKey", status=404)
        content = self.objects[Key]
        return {"Body": StreamingBody(io.BytesIO(content), len(content)), "ContentLength": len(content)}

    def get_paginator(self, operation: str) -> FakeS3:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, Bucket: str, Prefix: str) -> list[dict[str, Any]]:
        found = sorted(key for key in self.objects if key.startswith(Prefix))
        return [{"Contents": [{"Key": key, "Size": len(self.objects[key])} for key in found]}] if found else [{}]

    def commit(self, month: str, execution: str, rows: int = 10, table: str = "mockrecord", **others: Any) -> None:
        """What the Spark job does: the files of the month, its manifests, and no files of before."""
        written = replace(manifest(month, execution, rows, table), **others)
        document = written.to_json().encode()
        folder = layout.partition_prefix(table, Month.parse(month))
        self.objects = {key: content for key, content in self.objects.items() if not key.startswith(folder)}
        self.objects.update({file.key: b"x" * file.bytes for file in written.files})
        self.objects[layout.execution_manifest_key(execution, table, Month.parse(month))] = document
        self.objects[layout.current_manifest_key(table, Month.parse(month))] = document

    def found(
        self, execution: str, changed: dict[str, str], *unchanged: str, table: str = "mockrecord", **others: Any
    ) -> None:
        """What the Spark job writes when a refresh has counted."""
        refresh = Refresh(
            table, execution, **{"dry_run": False, **others}, changed=changed, unchanged=dict.fromkeys(unchanged, "n0")
        )
        self.objects[layout.refresh_key(execution, table)] = refresh.to_json().encode()
        if refresh.skipped is None:
            reasons = {**dict.fromkeys(unchanged), **changed}
            looks = {
                key: Look(LOOKED_AT, execution, reason, self._finished(table, key)) for key, reason in reasons.items()
            }
            self.objects[layout.findings_key(table)] = Findings(table, looks).to_json().encode()

    def _finished(self, table: str, key: str) -> str | None:
        current = self.objects.get(layout.current_manifest_key(table, Partition.of_key(key)))
        return Manifest.from_json(current.decode()).finished if current else None

    def log(self, *lines: str, name: str = "stderr") -> None:
        key = f"logs/applications/{APPLICATION}/jobs/{JOB}/SPARK_DRIVER/{name}.gz"
        self.objects[key] = gzip.compress("\n".join(lines).encode())


@dataclass
class FakeSqs:
    """A queue in memory. What was received comes back in the next tick: `come_back` makes it visible again."""

    visible: list[tuple[str, str]] = field(default_factory=list)
    received: dict[str, tuple[str, str]] = field(default_factory=dict)
    receives: dict[str, int] = field(default_factory=dict)
    postponed: dict[str, int] = field(default_factory=dict)

    def send(self, *documents: Any) -> None:
        for document in documents:
            body = document if isinstance(document, str) else json.dumps(document)
            self.visible.append((f"m{len(self.visible) + len(self.received)}", body))

    def come_back(self) -> None:
        self.visible += self.received.values()
        self.received = {}

    def receive_message(self, QueueUrl: str, MaxNumberOfMessages: int, **_: Any) -> dict[str, Any]:
        batch, self.visible = self.visible[:MaxNumberOfMessages], self.visible[MaxNumberOfMessages:]
        for name, body in batch:
            self.received[name] = (name, body)
            self.receives[name] = self.receives.get(name, 0) + 1
        messages = [
            {
                "MessageId": name,
                "ReceiptHandle": name,
                "Body": body,
                "Attributes": {"ApproximateReceiveCount": str(self.receives[name])},
            }
            for name, body in batch
        ]
        return {"Messages": messages} if messages else {}

    def delete_message_batch(self, QueueUrl: str, Entries: list[dict[str, str]]) -> None:
        assert 0 < len(Entries) <= 10
        for entry in Entries:
            del self.received[entry["ReceiptHandle"]]

    def change_message_visibility(self, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> None:
        self.postponed[ReceiptHandle] = VisibilityTimeout


@dataclass
class FakeAws:
    step_functions: FakeStepFunctions = field(default_factory=FakeStepFunctions)
    emr_serverless: FakeEmrServerless = field(default_factory=FakeEmrServerless)
    s3: FakeS3 = field(default_factory=FakeS3)
    sqs: FakeSqs = field(default_factory=FakeSqs)

    def commits(self, *months: str, rows: int = 10, content: Mapping[str, str] | None = None) -> Callable[[], None]:
        """What a Spark job does while the execution runs: for FakeExecution.answers. `content` is by month."""

        def commit() -> None:
            started = self.step_functions.started
            finished = f"2026-01-01T00:00:{2 + len(started):02}+00:00"
            for month in months:
                digest = (content or {}).get(month)
                self.s3.commit(month, started[-1]["name"], rows, finished=finished, content=digest)

        return commit

    def finds(self, changed: dict[str, str], *unchanged: str, **others: Any) -> Callable[[], None]:
        """What the Spark job of a refresh writes when it has counted: for FakeExecution.answers."""
        return lambda: self.s3.found(self.step_functions.started[-1]["name"], changed, *unchanged, **others)


def manifest(month: str, execution: str, rows: int = 10, table: str = "mockrecord") -> Manifest:
    prefix = layout.partition_prefix(table, Month.parse(month))
    return Manifest(
        table=table,
        month=month,
        execution=execution,
        rows=rows,
        source_rows=rows,
        undated_rows=3,
        bytes=rows * 100,
        files=(File(f"{prefix}{execution}-0.csv", rows * 100),) if rows else (),
        columns=(Column("id", "bigint"), Column("questions_list", "text[]", "what was asked")),
        format="csv",
        date_column="start_date_time",
        min_date=f"{month}-01 00:00:00" if rows else None,
        max_date=f"{month}-28 23:59:59" if rows else None,
        snapshot="00000003-0000001B-1",
        seconds=2.5,
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T00:00:03+00:00",
    )


def nothing() -> None:
    """One more look at a running execution."""


def notification(
    status: str,
    name: str = "n1",
    months: tuple[str, ...] = ("2024-02",),
    requested_by: str | None = None,
    **others: Any,
) -> dict[str, Any]:
    """What the state machine sends at the end of the execution `name`."""
    request: dict[str, Any] = {"table": "mockrecord", "months": [*months]}
    if requested_by:
        request["requested_by"] = requested_by
    arn = EXECUTION.replace(":n1", f":{name}")
    written = Notification(cast("Any", status), arn, request, application_id=APPLICATION, job_run_id=JOB).to_json()
    return {
        **json.loads(written),
        **others,
    }


def status_change(status: str, name: str = "n1", months: tuple[str, ...] = ("2024-02",)) -> dict[str, Any]:
    """EventBridge's event, as in the documentation of Step Functions."""
    return {
        "version": "0",
        "id": "315c1398-40ff-a850-213b-158f73e60175",
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": "123456789012",
        "time": "2026-02-26T19:42:21Z",
        "region": "us-east-1",
        "resources": [EXECUTION.replace(":n1", f":{name}")],
        "detail": {
            "executionArn": EXECUTION.replace(":n1", f":{name}"),
            "stateMachineArn": MACHINE,
            "name": name,
            "status": status,
            "startDate": 1551225271984,
            "stopDate": 1551225641984,
            "input": json.dumps({"table": "mockrecord", "months": [*months]}),
            "inputDetails": {"included": True},
            "output": None,
            "outputDetails": None,
        },
    }
