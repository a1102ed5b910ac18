"""`make demo`: Dagster ingests one month from PostgreSQL into the raw layer; then the result is shown and compared.

It runs in the local account: `python -m aws_setup local -- python -m aws_setup.local.demo`.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import psycopg

from ingest_assets import environment
from ingest_assets.aws.stack import StackOutputs, stack_name
from spark_scripts.contract import layout
from spark_scripts.contract.manifest import Manifest
from spark_scripts.contract.months import Month
from spark_scripts.contract.wording import counted

TABLE, MONTH = "mockrecord", Month(2024, 2)
_COUNT = (
    "SELECT count(*) FROM public.mockrecord WHERE start_date_time >= '2024-02-01' AND start_date_time < '2024-03-01'"
)


def main() -> int:
    """Materialise the month and show the result; 0 when raw layer and PostgreSQL have as many rows."""
    finished = subprocess.run(_materialize(), check=False)  # noqa: S603 (a fixed program, a list)
    if finished.returncode:
        return finished.returncode
    session = boto3.session.Session()
    outputs = StackOutputs.read(session.client("cloudformation"), stack_name())
    manifest = _manifest(session, outputs.bucket_name)
    _show_files(manifest, Path(os.environ[environment.LAKE_DIR]) / outputs.bucket_name)
    _show_messages(session, outputs.queue_url)
    return _compare(manifest)


def _materialize() -> list[str]:
    dagster = [sys.executable, "-W", "ignore", "-m", "dagster"]  # it warns that `dg` supersedes the command
    asset = ["--select", f"key:raw_layer/{TABLE}", "--partition", str(MONTH)]
    return [*dagster, "asset", "materialize", "-m", "ingest_assets.definitions", *asset]


def _manifest(session: boto3.session.Session, bucket: str) -> Manifest:
    key = layout.current_manifest_key(TABLE, MONTH)
    return Manifest.from_json(session.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode())


def _show_files(manifest: Manifest, bucket: Path) -> None:
    print(f"\nIn the raw layer ({bucket}):")
    for file in manifest.files:
        print(f"  {file.key}  {file.bytes:,} bytes")
    with (bucket / manifest.files[0].key).open(newline="", encoding="utf-8") as lines:
        for row in [row for row, _ in zip(csv.reader(lines), range(4), strict=False)]:
            print("   ", row)


def _show_messages(session: boto3.session.Session, queue_url: str) -> None:
    print("\nIn the queue:")
    answer = session.client("sqs").receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, VisibilityTimeout=1)
    for message in answer.get("Messages", []):
        body = json.loads(message["Body"])
        way, body = ("by SNS", json.loads(body["Message"])) if "TopicArn" in body else ("direct", body)
        print(f"  {way}: {body['status']} {body['execution_name']}")


def _compare(manifest: Manifest) -> int:
    with psycopg.connect(os.environ[environment.SOURCE_DSN]) as connection:
        row = connection.execute(_COUNT).fetchone()
    expected = row[0] if row else None
    verdict = "the same" if manifest.rows == expected else "NOT the same"
    print(f"\n{TABLE} {MONTH}: {counted(manifest.rows, 'row')} in the raw layer, {expected} in PostgreSQL: {verdict}")
    print("Next: run `make dev` for the Dagster UI; README.md explains the rest.")
    return 0 if manifest.rows == expected else 1


if __name__ == "__main__":
    sys.exit(main())
