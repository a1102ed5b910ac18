"""What no boto3 call of a local run shows: AWS does it itself, or Java's SDK does. Each with its source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aws_setup.local.environment import REGION
from tests.access.calls import ACCOUNT
from tests.access.policies import Request

SFN = "https://docs.aws.amazon.com/step-functions/latest/dg/"
SYNC = f"{SFN}connect-emr-serverless.html"
S3A = "https://hadoop.apache.org/docs/stable/hadoop-aws/tools/hadoop-aws/assumed_roles.html"
EMR = "https://docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/"
GLUE = "https://docs.aws.amazon.com/glue/latest/dg/glue-specifying-resource-arns.html"
SNS_TO_SQS = "https://docs.aws.amazon.com/sns/latest/dg/subscribe-sqs-queue-to-sns-topic.html"
RULE_TARGETS = "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sqs-permissions"
RULE_TOPICS = "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sns-permissions"
DEAD_LETTERS = "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html#eb-dlq-perms"
SNS_KEYS = "https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html"


@dataclass(frozen=True)
class Unseen:
    """A request that is made without being recorded, and who says so."""

    request: Request
    source: str


@dataclass(frozen=True)
class Names:
    """The resources of the deployed stack that requests are about, by ARN."""

    bucket: str
    queue: str
    dead_letters: str
    schedule_dead_letters: str
    success_topic: str
    failure_topic: str
    alarm_topic: str
    state_machine: str
    job_role: str
    key: str
    failed_rule: str
    lost_rule: str
    alarm: str
    schedule_alarm: str


def unseen(names: Names) -> Iterator[Unseen]:
    """All of them."""
    yield from _of_the_job(names)
    yield from _of_the_state_machine(names)
    yield from _of_the_schedule(names)
    yield from _of_the_host(names)
    yield from _of_services(names)


def _of_the_job(names: Names) -> Iterator[Unseen]:
    bucket, file = names.bucket, f"{names.bucket}/raw-layer/mockrecord/year=2024/month=2/part-00000.csv"
    for key in ("script/0a1b/main.py", "jar/0a1b/postgresql.jar"):
        yield Unseen(Request("job", "s3:GetObject", f"{bucket}/{key}"), f"{EMR}jobs-spark.html")
    log = f"{bucket}/logs/applications/00a/jobs/00b/SPARK_DRIVER/stderr.gz"
    for action in ("s3:PutObject", "s3:GetObject"):
        yield Unseen(Request("job", action, log), f"{EMR}logging.html")
    on_objects = ("GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload", "ListMultipartUploadParts")
    for action in on_objects:
        yield Unseen(Request("job", f"s3:{action}", file), S3A)
    for action in ("ListBucket", "GetBucketLocation", "ListBucketMultipartUploads"):
        yield Unseen(Request("job", f"s3:{action}", bucket), S3A)
    for action in ("Decrypt", "GenerateDataKey"):
        yield Unseen(Request("job", f"kms:{action}", names.key), S3A)

    glue = f"arn:aws:glue:{REGION}:{ACCOUNT}"
    for above in ("catalog", "database/raw"):  # asked for with each table
        yield Unseen(Request("job", "glue:GetTable", f"{glue}:{above}"), GLUE)
    for action in ("GetPartitions", "UpdateTable", "UpdatePartition", "BatchDeletePartition"):
        later = "spark_scripts/glue/catalog.py, when the table is there already"
        yield Unseen(Request("job", f"glue:{action}", f"{glue}:table/raw/mockrecord"), later)


def _of_the_state_machine(names: Names) -> Iterator[Unseen]:
    here = f"{REGION}:{ACCOUNT}"
    for kind in ("Application", "Job"):
        rule = f"arn:aws:events:{here}:rule/StepFunctionsGetEventsForEMRServerless{kind}Rule"
        for action in ("PutTargets", "PutRule", "DescribeRule"):
            yield Unseen(Request("state machine", f"events:{action}", rule), SYNC)
    linked = "role/aws-service-role/ops.emr-serverless.amazonaws.com/AWSServiceRoleForAmazonEMRServerless"
    named = {"iam:AWSServiceName": "ops.emr-serverless.amazonaws.com"}
    role = f"arn:aws:iam::{ACCOUNT}:{linked}"
    yield Unseen(Request("state machine", "iam:CreateServiceLinkedRole", role, named), SYNC)
    passed = {"iam:PassedToService": "emr-serverless.amazonaws.com"}
    yield Unseen(Request("state machine", "iam:PassRole", names.job_role, passed), SYNC)
    tagged = f"arn:aws:emr-serverless:{here}:/applications/00a"
    yield Unseen(Request("state machine", "emr-serverless:TagResource", tagged), f"{EMR}tagging.html")
    yield Unseen(Request("state machine", "sns:Publish", names.success_topic), f"{SFN}connect-sns.html")
    for action in ("Decrypt", "GenerateDataKey"):
        yield Unseen(Request("state machine", f"kms:{action}", names.key), SNS_KEYS)
    deliveries = ("CreateLogDelivery", "GetLogDelivery", "UpdateLogDelivery", "DeleteLogDelivery", "ListLogDeliveries")
    for action in (*deliveries, "PutResourcePolicy", "DescribeResourcePolicies", "DescribeLogGroups"):
        yield Unseen(Request("state machine", f"logs:{action}", "*"), f"{SFN}cw-logs.html")
    for action in ("PutTraceSegments", "PutTelemetryRecords", "GetSamplingRules", "GetSamplingTargets"):
        yield Unseen(Request("state machine", f"xray:{action}", "*"), f"{SFN}xray-iam.html")


def _of_the_schedule(names: Names) -> Iterator[Unseen]:
    guide = "https://docs.aws.amazon.com/scheduler/latest/UserGuide/"
    yield Unseen(Request("schedule", "states:StartExecution", names.state_machine), f"{guide}setting-up.html")
    dead = f"{guide}configuring-schedule-dlq.html"
    yield Unseen(Request("schedule", "sqs:SendMessage", names.schedule_dead_letters), dead)
    for action in ("Decrypt", "GenerateDataKey"):
        yield Unseen(Request("schedule", f"kms:{action}", names.key), dead)


def _of_the_host(names: Names) -> Iterator[Unseen]:
    log = f"{names.bucket}/logs/applications/00a/jobs/00b/SPARK_DRIVER/stdout.gz"
    yield Unseen(Request("host", "s3:GetObject", log), "ingest_assets/aws/job_runs.py, once the job's log is written")
    runs = f"arn:aws:emr-serverless:{REGION}:{ACCOUNT}:/applications/00a"
    ended = "ingest_assets/aws/job_runs.py, when a run ends before the history has the job's id"
    yield Unseen(Request("host", "emr-serverless:ListJobRuns", runs), ended)
    for action in ("Decrypt", "GenerateDataKey"):
        yield Unseen(Request("host", f"kms:{action}", names.key), SNS_KEYS)


def _of_services(names: Names) -> Iterator[Unseen]:
    for topic in (names.success_topic, names.failure_topic):
        source = {"aws:SourceArn": topic}
        for queue in (names.queue, names.dead_letters):
            yield Unseen(Request("sns.amazonaws.com", "sqs:SendMessage", queue, source), SNS_TO_SQS)
    for rule, queue, page in (
        (names.failed_rule, names.queue, RULE_TARGETS),
        (names.failed_rule, names.dead_letters, DEAD_LETTERS),
        (names.lost_rule, names.dead_letters, DEAD_LETTERS),
    ):
        yield Unseen(Request("events.amazonaws.com", "sqs:SendMessage", queue, {"aws:SourceArn": rule}), page)
    # To a topic EventBridge says nothing of the rule: "You can't use Condition blocks in Amazon SNS topic policies".
    yield Unseen(Request("events.amazonaws.com", "sns:Publish", names.failure_topic), RULE_TOPICS)
    for alarm in (names.alarm, names.schedule_alarm):
        request = Request("cloudwatch.amazonaws.com", "sns:Publish", names.alarm_topic, {"aws:SourceArn": alarm})
        yield Unseen(request, SNS_KEYS)
