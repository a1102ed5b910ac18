from __future__ import annotations

import pytest

from ingest_assets.aws.job_runs import ExecutionJob
from ingest_assets.workflow.failures import Evidence

SHUTDOWN = [
    "26/11/22 21:25:02 INFO SparkContext: Successfully stopped SparkContext",
    "26/11/22 21:25:03 INFO ShutdownHookManager: Shutdown hook called",
]
JOB_RUN = ExecutionJob("00fapp", "00fjob", created=True, details="Job failed. ExitCode: 1.")


@pytest.mark.parametrize(
    ("log", "error"),
    [
        (["IngestionError: column x is gone"], "IngestionError: column x is gone"),
        (["ValueError: first", "InvalidInputError: last", *SHUTDOWN], "InvalidInputError: last"),
        (["IngestionError: failed", "org.postgresql.util.PSQLException: ERROR", "\tat x"], "IngestionError: failed"),
        (["org.apache.spark.SparkException: no space", "\tat x"], "org.apache.spark.SparkException: no space"),
        (["java.lang.OutOfMemoryError: Java heap space"], "java.lang.OutOfMemoryError: Java heap space"),
        (["an Error: of no form", *SHUTDOWN], "Job failed. ExitCode: 1."),
        ([], "Job failed. ExitCode: 1."),
    ],
)
def test_the_error_is_the_job_s_own_or_else_spark_s_or_else_emr_serverless_s(log: list[str], error: str) -> None:
    assert evidence(log).spark_error() == error


def test_the_job_s_own_words_count_more_than_spark_s() -> None:
    logs = {
        "stderr": ["a.SparkException: no", "x.YError: no"],
        "stdout": ["IngestionError: yes", "done"],
    }
    assert Evidence(None, JOB_RUN, logs).spark_error() == "IngestionError: yes"


def evidence(log: list[str]) -> Evidence:
    return Evidence(None, JOB_RUN, {"s3://lake/log": log})


def shown(log: list[str]) -> list[str]:
    lines = evidence(log).lines()
    if "Last lines of s3://lake/log:" not in lines:
        return []
    return [line.strip() for line in lines[lines.index("Last lines of s3://lake/log:") + 1 :]]


def test_what_spark_says_while_it_shuts_down_is_left_out() -> None:
    log = [f"line {number}" for number in range(30)]
    assert shown([*log, *SHUTDOWN]) == log[-20:]


def test_an_empty_log_is_not_mentioned() -> None:
    spark, job_run, advice = evidence([]).lines()
    assert (spark, job_run) == ("Spark: Job failed. ExitCode: 1.", "Job run 00fjob of application 00fapp")
    assert advice.startswith("What to try: fix the cause, then materialise the months that were not")


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("java.lang.OutOfMemoryError: Java heap space", "deploy with a larger DriverMemory or ExecutorMemory"),
        (
            "IngestionError: orders is being written by execution n1: start again",
            "wait until the execution named above",
        ),
        ("SourceError: cannot connect to db.example: refused", "check that PostgreSQL is up, and that SubnetIds"),
        ("SourceError: FATAL: password authentication failed", "set the database's user and password with"),
        ("java.io.IOException: No space left on device", "free disk"),
    ],
)
def test_a_failure_says_what_to_try(reason: str, advice: str) -> None:
    assert evidence([reason]).advice().startswith(advice)


def test_what_spark_says_of_itself_is_no_excerpt() -> None:
    native = "26/11/22 21:25:00 WARN NativeCodeLoader: Unable to load native-hadoop library for your platform"
    lost = "26/11/22 21:25:01 WARN TaskSetManager: Lost task 0.0 in stage 1.0: OutOfMemoryError"
    assert shown([native, *SHUTDOWN]) == []
    assert shown([native, lost, *SHUTDOWN]) == [lost]


def test_the_error_appears_once_in_the_message() -> None:
    log = ["Traceback (most recent call last):", '  File "main.py"', "IngestionError: column x is gone"]
    text = "\n".join(evidence(log).lines())
    assert text.count("column x is gone") == 1
    assert shown(log) == ["Traceback (most recent call last):", 'File "main.py"']


def test_a_very_long_error_is_cut() -> None:
    text = "\n".join(evidence(["IngestionError: " + "x" * 50_000, "end"]).lines()[:1])
    assert len(text) < 2100
    assert text.endswith("…")
