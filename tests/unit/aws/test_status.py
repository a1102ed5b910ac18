from __future__ import annotations

import json
from dataclasses import replace

import pytest

from aws_setup.status import Application, ExecutionLine, Queue, Schedule, Status

STATUS = Status(
    stack="data-lake-ingestion",
    stack_status="UPDATE_COMPLETE",
    changed="2026-03-15T08:00:00+00:00",
    outputs={"BucketName": "lake"},
    schedule=Schedule("stepfunction_datapipeline", "ENABLED", "cron(0 2 1 * ? *)", "America/Chicago", "{}"),
    executions=(
        ExecutionLine("second", "RUNNING", "2026-03-15T08:00:00+00:00", None),
        ExecutionLine("first", "FAILED", "2026-03-01T08:00:00+00:00", "2026-03-01T08:05:00+00:00"),
    ),
    queues=(Queue("https://queue", 2, 1),),
    applications=(),
)


def test_people_read_a_line_per_thing() -> None:
    assert STATUS.to_text().splitlines() == [
        "stack         data-lake-ingestion: UPDATE_COMPLETE, changed 2026-03-15T08:00:00+00:00",
        "bucket        lake",
        "schedule      stepfunction_datapipeline: ENABLED, cron(0 2 1 * ? *) America/Chicago",
        "executions    RUNNING   second  2026-03-15T08:00:00+00:00",
        "              FAILED    first  2026-03-01T08:00:00+00:00 to 2026-03-01T08:05:00+00:00",
        "queues        2 waiting, 1 read  https://queue",
        "applications  none",
    ]


@pytest.mark.parametrize(("left_over", "remark"), [(True, "left over: no execution is running"), (False, "")])
def test_an_application_that_nobody_will_delete_is_marked(left_over: bool, remark: str) -> None:
    status = replace(STATUS, applications=(Application("00f", "STARTED", "2026-03-15T08:00:00+00:00", left_over),))
    expected = f"applications  00f STARTED, created 2026-03-15T08:00:00+00:00  {remark}".rstrip()
    assert status.to_text().splitlines()[-1] == expected


def test_programs_read_json() -> None:
    document = json.loads(STATUS.to_json())
    assert document["executions"][1] == {
        "name": "first",
        "status": "FAILED",
        "started": "2026-03-01T08:00:00+00:00",
        "stopped": "2026-03-01T08:05:00+00:00",
    }
