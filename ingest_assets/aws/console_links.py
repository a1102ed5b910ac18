"""Links to the pages of the AWS console that show an execution, and the keys of its logs.

`INGEST_CONSOLE_URL` replaces the address of the region's console, for instance by a company's own.
"""

from __future__ import annotations

from urllib.parse import quote

from ingest_assets import environment
from spark_scripts.contract import layout

_DOMAINS = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}


def execution_url(arn: str) -> str:
    """The page of an execution of a state machine."""
    return f"{_console(arn)}/states/home?region={_region(arn)}#/v2/executions/details/{arn}"


def folder_url(arn: str, bucket: str, prefix: str) -> str:
    """The page of a folder in a bucket. The bucket is in the partition and region of `arn`."""
    return f"{_console(arn)}/s3/buckets/{bucket}?region={_region(arn)}&prefix={quote(prefix)}"


def job_run_url(arn: str, bucket: str, application_id: str, job_run_id: str) -> str:
    """The page of a job run's logs.

    The job run's own page is in EMR Studio, whose address contains a studio id that no API returns
    (https://github.com/dagster-io/dagster, dagster_aws/pipes/clients/emr_serverless.py).
    """
    return folder_url(arn, bucket, _job_run_prefix(application_id, job_run_id))


def driver_log_key(application_id: str, job_run_id: str) -> str:
    """The object to which EMR Serverless writes Spark's own log."""
    return f"{_job_run_prefix(application_id, job_run_id)}SPARK_DRIVER/stderr.gz"


def job_output_key(application_id: str, job_run_id: str) -> str:
    """The object that holds the job's own lines, among them its final error.

    Spark's PythonRunner sends the standard error of a Python driver to the standard output of spark-submit.
    """
    return f"{_job_run_prefix(application_id, job_run_id)}SPARK_DRIVER/stdout.gz"


def _job_run_prefix(application_id: str, job_run_id: str) -> str:
    return f"{layout.LOGS_PREFIX}applications/{application_id}/jobs/{job_run_id}/"


def _region(arn: str) -> str:
    return arn.split(":")[3]


def _console(arn: str) -> str:
    own = environment.read(environment.CONSOLE_URL)
    if own:
        return own.rstrip("/")
    return f"https://{_region(arn)}.{_DOMAINS[arn.split(':')[1]]}"
