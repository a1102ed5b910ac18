"""The SNS topic for failures."""

# No `from __future__ import annotations`: Dagster looks for ResourceDependency in the annotations themselves.

import json

import dagster as dg
from pydantic import Field

from ingest_assets.aws.errors import aws_errors
from ingest_assets.aws.messages import Notification
from ingest_assets.resources.account import AwsAccount

_LONGEST_SUBJECT = 99  # SNS accepts fewer than 100 ASCII characters


class Alerts(dg.ConfigurableResource):  # type: ignore[type-arg]  # Dagster's value type, unused here
    """Publishes failures of runs that started no execution, for which no state machine can publish."""

    account: dg.ResourceDependency[AwsAccount]
    topic_arn: str | None = Field(default=None, description="Default: the stack's output.")

    def publish(self, *, subject: str, sentence: str, notification: Notification) -> None:
        """Send `sentence` by e-mail and the notification to queues. Raises AwsError or StackError."""
        message = {"default": sentence, "email": sentence, "sqs": notification.to_json()}
        topic = self.topic_arn or self.account.outputs().failure_topic_arn
        with aws_errors(f"publishing to {topic}"):
            self.account.sns().publish(
                TopicArn=topic,
                Subject=subject.encode("ascii", "replace").decode()[:_LONGEST_SUBJECT],
                MessageStructure="json",
                Message=json.dumps(message),
            )
