"""EMR Serverless: states, refusals, usage, and job runs that really run."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.integration.local_aws.conftest import ROLE, Aws, until, wait_for

SLEEP = "import time; time.sleep(60)"


@pytest.fixture(scope="module")
def client(aws: Aws) -> Any:
    return aws.client("emr-serverless")


class Jobs:
    """Starts job runs of one application."""

    def __init__(self, client: Any, application: str) -> None:
        self.client, self.application = client, application

    def start(self, entry_point: str, parameters: str = "--conf spark.driver.memory=1g", **fields: Any) -> str:
        spark_submit = {"entryPoint": entry_point, "sparkSubmitParameters": parameters}
        logs = {"monitoringConfiguration": {"s3MonitoringConfiguration": {"logUri": "s3://data/logs/"}}}
        request = {"executionRoleArn": ROLE, "jobDriver": {"sparkSubmit": spark_submit}, "configurationOverrides": logs}
        started = self.client.start_job_run(applicationId=self.application, **{**request, **fields})
        return str(started["jobRunId"])

    def get(self, job_run: str) -> dict[str, Any]:
        got: dict[str, Any] = self.client.get_job_run(applicationId=self.application, jobRunId=job_run)["jobRun"]
        return got

    def wait(self, job_run: str, state: str) -> dict[str, Any]:
        until(lambda: self.get(job_run)["state"], state)
        return self.get(job_run)

    def ended(self, job_run: str) -> dict[str, Any]:
        until(lambda: self.get(job_run)["state"] in ("SUCCESS", "FAILED", "CANCELLED"), wanted=True)
        return self.get(job_run)


@pytest.fixture
def jobs(client: Any, application: str) -> Jobs:
    return Jobs(client, application)


def log(aws: Aws, jobs: Jobs, job_run: str, name: str) -> str:
    folder = aws.lake / "data" / "logs" / "applications" / jobs.application / "jobs" / job_run / "SPARK_DRIVER"
    return gzip.decompress((folder / f"{name}.gz").read_bytes()).decode()


def refused(call: Any, **request: Any) -> str:
    """The code and text of the refusal."""
    with pytest.raises(ClientError) as refusal:
        call(**request)
    error = refusal.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"


def test_an_application_takes_its_time_from_state_to_state(client: Any) -> None:
    name = client.create_application(name="slow", releaseLabel="emr-7.14.0", type="SPARK")["applicationId"]
    seen = []
    for call, state in (
        (lambda: None, "CREATED"),
        (lambda: client.start_application(applicationId=name), "STARTED"),
        (lambda: client.stop_application(applicationId=name), "STOPPED"),
        (lambda: client.delete_application(applicationId=name), "TERMINATED"),
    ):
        call()
        seen.append(client.get_application(applicationId=name)["application"]["state"])
        wait_for(client, name, state)

    described = client.get_application(applicationId=name)["application"]
    assert seen == ["CREATING", "STARTING", "STOPPING", "TERMINATED"]
    assert described["updatedAt"] > described["createdAt"]
    assert described["type"] == "Spark"


def test_an_application_is_refused_what_emr_refuses(client: Any, application: str) -> None:
    of_application = {"applicationId": application}
    assert refused(client.stop_application, **of_application) == (
        "ValidationException: Application cannot be STOPPED. "
        "Applications must be in one of the following statuses: [STARTING, STARTED]"
    )
    client.start_application(**of_application)
    wait_for(client, application, "STARTED")
    assert refused(client.delete_application, **of_application) == (
        f"ValidationException: Application {application} must be in one of the following statuses [CREATED, STOPPED]. "
        "Current status: STARTED"
    )
    assert refused(client.get_application, applicationId="nothere") == (
        "ResourceNotFoundException: Application nothere does not exist"
    )


def test_names_tokens_and_release_labels_are_checked(client: Any) -> None:
    good = {"name": "app", "releaseLabel": "emr-7.14.0", "type": "SPARK"}
    assert "Value 'my app' at 'name' failed to satisfy constraint: Member must satisfy regular" in refused(
        client.create_application, **good | {"name": "my app"}
    )
    assert "at 'clientToken'" in refused(client.create_application, **good, clientToken="a:b")
    assert "release label 'emr-seven'" in refused(client.create_application, **good | {"releaseLabel": "emr-seven"})


def test_a_client_token_makes_one_application(client: Any) -> None:
    request = {"releaseLabel": "emr-7.14.0", "type": "SPARK", "clientToken": "token"}

    first = client.create_application(name="one", **request)
    second = client.create_application(name="one", **request)

    assert first["applicationId"] == second["applicationId"]
    assert refused(client.create_application, name="other", **request).startswith("ConflictException: ")


def test_a_job_starts_its_application_and_runs(aws: Aws, jobs: Jobs) -> None:
    entry_point = aws.script("env.py", "import os, sys; print(sys.argv[1:], os.environ['AWS_REGION'])")
    request = {"sparkSubmit": {"entryPoint": entry_point, "entryPointArguments": ['{"a": "b c"}']}}

    job_run = jobs.ended(jobs.start(entry_point, jobDriver=request, name="hello", tags={"of": "mine"}))

    assert (job_run["state"], job_run["name"], job_run["tags"]) == ("SUCCESS", "hello", {"of": "mine"})
    assert job_run["createdAt"] <= job_run["startedAt"] <= job_run["endedAt"]
    assert log(aws, jobs, job_run["jobRunId"], "stdout") == """['{"a": "b c"}'] us-east-1\n"""
    wait_for(jobs.client, jobs.application, "STARTED")


def test_a_job_does_not_start_an_application_that_may_not(aws: Aws, client: Any) -> None:
    made = client.create_application(releaseLabel="emr-7.14.0", type="SPARK", autoStartConfiguration={"enabled": False})
    wait_for(client, made["applicationId"], "CREATED")
    spark_submit = {"sparkSubmit": {"entryPoint": "s3://code/x.py"}}

    refusal = refused(
        client.start_job_run, applicationId=made["applicationId"], executionRoleArn=ROLE, jobDriver=spark_submit
    )

    assert refusal.endswith("must be STARTED. Current status: CREATED")


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"parameters": "--conf spark.master=local"}, "Option 'spark.master' is not supported"),
        ({"parameters": "--master yarn"}, "Option 'spark.master' is not supported"),
        ({"parameters": "--conf"}, "Invalid sparkSubmitParameters: missing argument for option '--conf'"),
        ({"parameters": "--conf spark.driver.memory=big"}, "Invalid worker size: not a memory size: 'big'"),
        (
            {"parameters": "--conf spark.dynamicAllocation.maxExecutors=2"},
            "initialExecutors: 3 must be between .*minExecutor 1 and spark.dynamicAllocation.maxExecutors 2",
        ),
        ({"parameters": "--num-executors few"}, "Invalid number of executors: .*'few'"),
        ({"executionTimeoutMinutes": 4}, "RunTimeout must be at least 5 minutes."),
        ({"executionRoleArn": "arn:aws:iam::000000000000:role/x"}, "Cross-account pass role is not allowed."),
        ({"executionRoleArn": "arn:aws:iam::123456789012:user/x"}, "at 'executionRoleArn' failed to satisfy"),
        ({"jobDriver": {"hive": {"query": "q"}}}, "Unsupported job driver"),
    ],
)
def test_a_job_is_refused_what_emr_refuses(jobs: Jobs, fields: dict[str, Any], refusal: str) -> None:
    with pytest.raises(jobs.client.exceptions.ValidationException, match=refusal):
        jobs.start("s3://code/x.py", **fields)


@pytest.mark.parametrize("most", ["1", "2"])
def test_a_job_that_begins_with_fewer_executors_may_have_few(aws: Aws, jobs: Jobs, most: str) -> None:
    names = ("executor.instances", "dynamicAllocation.initialExecutors", "dynamicAllocation.maxExecutors")
    parameters = " ".join(f"--conf spark.{name}={most}" for name in names)
    assert jobs.ended(jobs.start(aws.script("few.py", "pass"), parameters))["state"] == "SUCCESS"


def test_the_usage_is_what_the_workers_occupied(aws: Aws, jobs: Jobs) -> None:
    sizes = "--conf spark.driver.cores=2 --conf spark.driver.memory=6g --conf spark.executor.cores=4 "
    sizes += "--executor-memory 14g --conf spark.executor.instances=2"

    job_run = jobs.ended(jobs.start(aws.script("two.py", "import time; time.sleep(2)"), sizes))

    seconds = (job_run["endedAt"] - job_run["startedAt"]).total_seconds()
    assert job_run["totalExecutionDurationSeconds"] == round(seconds) >= 2
    assert job_run["totalResourceUtilization"]["vCPUHour"] == pytest.approx(10 * seconds / 3600, abs=0.001)
    # 6 GB and 14 GB with 10 % more are workers of 7 and 16 GB; a minute is the least that is billed.
    assert job_run["billedResourceUtilization"] == {"vCPUHour": 0.167, "memoryGBHour": 0.65, "storageGBHour": 0.0}


def test_a_failed_job_says_why_with_the_newest_error_first(aws: Aws, jobs: Jobs) -> None:
    script = "import sys; print('ValueError: first'); print('fine'); print('java.io.IOException: second'); sys.exit(3)"

    job_run = jobs.ended(jobs.start(aws.script("fails.py", script)))

    assert (job_run["state"], job_run["stateDetails"]) == (
        "FAILED",
        "Job failed, please check complete logs in configured logging destination. ExitCode: 3. "
        "Last few exceptions: java.io.IOException: second\nValueError: first",
    )


def test_state_details_are_cut_to_what_the_api_holds(aws: Aws, jobs: Jobs) -> None:
    job_run = jobs.ended(jobs.start(aws.script("long.py", "import sys; sys.exit('ValueError: ' + 'x' * 500)")))

    assert len(job_run["stateDetails"]) == 256
    assert job_run["stateDetails"].endswith("xxx...")


def test_the_logs_can_be_read_while_the_job_runs(aws: Aws, jobs: Jobs) -> None:
    script = "import sys, time\nfor n in range(600):\n    print(n, flush=True); time.sleep(0.1)"
    job_run = jobs.start(aws.script("counts.py", script))
    jobs.wait(job_run, "RUNNING")

    def has_grown() -> bool:
        try:
            return "10\n" in log(aws, jobs, job_run, "stdout")
        except FileNotFoundError:
            return False

    until(has_grown, wanted=True)
    assert jobs.get(job_run)["state"] == "RUNNING"
    jobs.client.cancel_job_run(applicationId=jobs.application, jobRunId=job_run)
    jobs.wait(job_run, "CANCELLED")


def test_a_cancelled_job_leaves_no_process(aws: Aws, jobs: Jobs) -> None:
    script = "import subprocess, sys; c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    script += "print(c.pid, flush=True); c.wait()"
    job_run = jobs.start(aws.script("parent.py", script))
    jobs.wait(job_run, "RUNNING")
    until(lambda: bool(printed(aws, jobs, job_run)), wanted=True)
    grandchild = int(printed(aws, jobs, job_run))

    active = refused(jobs.client.stop_application, applicationId=jobs.application)
    jobs.client.cancel_job_run(applicationId=jobs.application, jobRunId=job_run)

    assert active.endswith(f"cannot be STOPPED while job runs are active: [{job_run}]")
    assert jobs.wait(job_run, "CANCELLED")["stateDetails"] == "Job run was cancelled by the user"
    assert not Path(f"/proc/{grandchild}").exists()
    again = refused(jobs.client.cancel_job_run, applicationId=jobs.application, jobRunId=job_run)
    assert again == f"ValidationException: JobRun {job_run} cannot be CANCELLED. Current status: CANCELLED"


def printed(aws: Aws, jobs: Jobs, job_run: str) -> str:
    try:
        return log(aws, jobs, job_run, "stdout").strip()
    except FileNotFoundError:
        return ""


def test_a_job_that_exceeds_its_timeout_is_cancelled(aws: Aws, jobs: Jobs) -> None:
    job_run = jobs.ended(jobs.start(aws.script("s.py", SLEEP), executionTimeoutMinutes=5))

    assert (job_run["state"], job_run["executionTimeoutMinutes"]) == ("CANCELLED", 5)
    assert job_run["stateDetails"] == "Job run exceeded its execution timeout of 5 minutes"


def test_an_idle_application_stops_by_itself(aws: Aws, client: Any) -> None:
    made = client.create_application(
        releaseLabel="emr-7.14.0", type="SPARK", autoStopConfiguration={"idleTimeoutMinutes": 2}
    )
    busy = Jobs(client, made["applicationId"])
    busy.ended(busy.start(aws.script("one.py", "import time; time.sleep(1.2)")))
    # it was busy for longer than 2 minutes of 0.4 s, so that only the time since then counts
    wait_for(client, made["applicationId"], "STARTED")
    wait_for(client, made["applicationId"], "STOPPED")


def test_job_runs_are_listed_newest_first_and_in_pages(aws: Aws, jobs: Jobs) -> None:
    good, bad = aws.script("ok.py", ""), aws.script("no.py", "raise SystemExit(1)")
    made = [jobs.start(entry_point) for entry_point in (good, bad, good)]
    for job_run in made:
        jobs.ended(job_run)

    paginator = jobs.client.get_paginator("list_job_runs")
    pages = list(paginator.paginate(applicationId=jobs.application, PaginationConfig={"PageSize": 2}))
    failed = jobs.client.list_job_runs(applicationId=jobs.application, states=["FAILED"])["jobRuns"]

    assert [[run["id"] for run in page["jobRuns"]] for page in pages] == [[made[2], made[1]], [made[0]]]
    assert [run["id"] for run in failed] == [made[1]]
    with pytest.raises(jobs.client.exceptions.ValidationException, match="by states, not by createdAtAfter"):
        jobs.client.list_job_runs(applicationId=jobs.application, createdAtAfter=failed[0]["createdAt"])
    assert {run["type"] for page in pages for run in page["jobRuns"]} == {"Spark"}


def test_applications_are_listed_by_state(client: Any, application: str) -> None:
    created = client.list_applications(states=["CREATED"])["applications"]

    assert application in {found["id"] for found in created}
    assert application in {found["id"] for found in client.list_applications()["applications"]}
    assert application not in {found["id"] for found in client.list_applications(states=["STARTED"])["applications"]}


def test_the_dashboard_is_the_folder_of_the_logs(aws: Aws, jobs: Jobs) -> None:
    job_run = jobs.ended(jobs.start(aws.script("ok.py", "")))["jobRunId"]

    url = jobs.client.get_dashboard_for_job_run(applicationId=jobs.application, jobRunId=job_run)["url"]

    assert url.startswith("file:///")
    assert url.endswith(f"/data/logs/applications/{jobs.application}/jobs/{job_run}/SPARK_DRIVER")


def test_a_deleted_application_takes_no_job(jobs: Jobs) -> None:
    jobs.client.delete_application(applicationId=jobs.application)

    with pytest.raises(jobs.client.exceptions.ValidationException, match=r"is terminated\. Cannot start job run\."):
        jobs.start("s3://code/x.py")
