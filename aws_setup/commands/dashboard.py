"""The Spark UI of an execution, at an address that EMR Serverless signs on request."""

from __future__ import annotations

import argparse

from boto3.session import Session

from aws_setup.errors import UsageError
from ingest_assets.aws.console_links import job_output_key
from ingest_assets.aws.errors import error_code
from ingest_assets.aws.executions import execution_arn
from ingest_assets.aws.job_runs import find
from ingest_assets.aws.stack import StackOutputs, stack_name

_GONE = ("ResourceNotFoundException", "ValidationException")


HELP = "print the address of the Spark UI of an execution, which is valid for an hour"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("execution", metavar="EXECUTION", help="the name of the execution")


def run(options: argparse.Namespace) -> int:
    """Print the address."""
    print(address(Session(), stack_name(), options.execution))
    return 0


def address(session: Session, stack: str, execution: str) -> str:
    """The address of the Spark UI of an execution's job, valid for an hour. Anyone who has it can read the UI.

    It leads to the live UI while the job runs, and to the history server afterwards. A deleted application has no UI
    (https://docs.aws.amazon.com/emr-serverless/latest/APIReference/API_GetDashboardForJobRun.html).
    Raises UsageError when the execution is unknown, has no job run yet, or its application is gone.
    """
    outputs = StackOutputs.read(session.client("cloudformation"), stack)
    client = session.client("stepfunctions")
    try:
        run = find(client, execution_arn(outputs.state_machine_arn, execution))
    except client.exceptions.ExecutionDoesNotExist as error:
        raise UsageError(f"the state machine has no execution named {execution}") from error
    if run is None or run.job_run_id is None:
        raise UsageError(f"execution {execution} has no Spark job yet: try again when the job is running")
    emr = session.client("emr-serverless")
    try:
        return emr.get_dashboard_for_job_run(applicationId=run.application_id, jobRunId=run.job_run_id)["url"]
    except emr.exceptions.ClientError as error:
        if error_code(error) not in _GONE:
            raise
        log = f"s3://{outputs.bucket_name}/{job_output_key(run.application_id, run.job_run_id)}"
        raise UsageError(
            f"application {run.application_id} was deleted, and the Spark UI with it: read the driver's log {log}"
        ) from error
