"""`make bench`: executions of the workflow beside PostgreSQL's own COPY of the same rows, interleaved, as ratios.

Runs within the local account. An execution is counted whole: application, JVM start, reading, writing, publishing.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable

import boto3
import psycopg

from ingest_assets.executions import follow
from ingest_assets.stack import StackOutputs, stack_name

ROUNDS = 3
ALL = [f"{year}-{month:02}" for year in (2023, 2024) for month in range(1, 13)]
_MONTH = "start_date_time >= '2024-02-01' AND start_date_time < '2024-03-01'"


def main() -> None:
    """Measure, and print a table."""
    contestants: dict[str, Callable[[], None]] = {
        "COPY of the table": lambda: copy("true"),
        "ingest of its 24 months": lambda: execute(ALL),
        "COPY of one month": lambda: copy(_MONTH),
        "ingest of one month": lambda: execute(["2024-02"]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            started = time.monotonic()
            run()
            seconds[name].append(time.monotonic() - started)
    report({name: statistics.median(times) for name, times in seconds.items()})


def execute(months: list[str]) -> None:
    """An execution for these months of mockrecord, whole."""
    session = boto3.session.Session()
    client = session.client("stepfunctions")
    outputs = StackOutputs.read(session.client("cloudformation"), stack_name())
    request = json.dumps({"table": "mockrecord", "months": months})
    arn = client.start_execution(stateMachineArn=outputs.state_machine_arn, input=request)["executionArn"]
    execution = follow(client, arn, lambda _: None, poll_seconds=0.2)
    if execution.status != "SUCCEEDED":
        raise SystemExit(f"{execution.name} is {execution.status}: {execution.cause}")


def copy(condition: str) -> None:
    """What PostgreSQL needs to hand out the same rows as CSV."""
    query = f"COPY (SELECT * FROM public.mockrecord WHERE {condition}) TO STDOUT (FORMAT csv, HEADER)"
    with psycopg.connect(os.environ["SOURCE_DSN"]) as connection, connection.cursor().copy(query.encode()) as rows:
        for _ in rows:
            pass


def report(medians: dict[str, float]) -> None:
    """Print the medians, each as a multiple of the COPY before it."""
    print(f"\nmedians of {ROUNDS}, interleaved, {os.cpu_count()} cores, 200,000 rows in 24 months")
    base = 0.0
    for name, value in medians.items():
        base = value if name.startswith("COPY") else base
        print(f"  {name:28} {value:7.2f} s  {value / base:6.1f} x")


if __name__ == "__main__":
    main()
