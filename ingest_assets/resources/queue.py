"""The queue in which the ends of executions arrive."""

# No `from __future__ import annotations`: Dagster looks for ResourceDependency in the annotations themselves.

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from ingest_assets.aws.errors import aws_errors
from ingest_assets.aws.waiting import Deadline
from ingest_assets.resources.account import AwsAccount

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_BATCH = 10  # the most of a ReceiveMessage or DeleteMessageBatch
_LONGEST_POSTPONEMENT = 12 * 3600  # of a visibility timeout


@dataclass(frozen=True)
class Message:
    """A message as it was received, for the `receives`th time."""

    id: str
    receipt: str
    body: str
    receives: int


class Notifications(dg.ConfigurableResource):  # type: ignore[type-arg]  # Dagster's value type, unused here
    """The queue. Every method raises AwsError when it cannot be reached.

    A message that is not deleted comes back after `visibility_seconds`, and is AWS's dead letter after the receives
    that the queue allows.
    """

    account: dg.ResourceDependency[AwsAccount]
    queue_url: str | None = Field(default=None, description="Default: the stack's output.")
    visibility_seconds: int = Field(
        default=90, ge=0, le=43_200, description="Until a message that was left comes back; longer than a tick takes."
    )

    def url(self) -> str:
        """The queue of this deployment."""
        return self.queue_url or self.account.outputs().queue_url

    def receive(self, *, seconds: float, limit: int) -> Iterator[Message]:
        """Messages until the queue gives none, at most `limit`, for about `seconds`."""
        client, url = self._client(), self.url()
        deadline = Deadline(seconds)
        received = 0
        while received < limit and not deadline.passed:
            with aws_errors("reading the queue"):
                answer = client.receive_message(
                    QueueUrl=url,
                    MaxNumberOfMessages=_BATCH,
                    VisibilityTimeout=self.visibility_seconds,
                    WaitTimeSeconds=1,  # asks all of SQS's servers: a short poll may find nothing in a full queue
                    MessageSystemAttributeNames=["ApproximateReceiveCount"],
                )
            messages = answer.get("Messages", [])
            if not messages:
                return
            received += len(messages)
            for message in messages:
                receives = int(message.get("Attributes", {}).get("ApproximateReceiveCount", "1"))
                yield Message(message["MessageId"], message["ReceiptHandle"], message["Body"], receives)

    def delete(self, messages: Iterable[Message]) -> None:
        """Acknowledge messages. One that cannot be deleted comes back, which does no harm."""
        client, url = self._client(), self.url()
        receipts = [message.receipt for message in messages]
        for start in range(0, len(receipts), _BATCH):
            batch = enumerate(receipts[start : start + _BATCH])
            with aws_errors("acknowledging messages"):
                client.delete_message_batch(
                    QueueUrl=url, Entries=[{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in batch]
                )

    def postpone(self, messages: Iterable[Message]) -> None:
        """Let messages come back ever later: ten receives cover more than two days."""
        client, url = self._client(), self.url()
        for message in messages:
            seconds = min(60 * 3 ** (message.receives - 1), _LONGEST_POSTPONEMENT)
            with aws_errors("postponing a message"):
                client.change_message_visibility(QueueUrl=url, ReceiptHandle=message.receipt, VisibilityTimeout=seconds)

    def _client(self) -> "SQSClient":
        return self.account.sqs()
