"""The SQS queue in which notifications arrive."""

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
    """A received message. `receives` counts how often it has been received."""

    id: str
    receipt: str
    body: str
    receives: int


class Notifications(dg.ConfigurableResource):  # type: ignore[type-arg]  # Dagster's value type, unused here
    """The queue. Every method raises AwsError when it cannot be reached.

    A message that is not deleted becomes visible again after `visibility_seconds`. After the number of receives that
    the queue allows, SQS moves it to the dead-letter queue.
    """

    account: dg.ResourceDependency[AwsAccount]
    queue_url: str | None = Field(default=None, description="Default: the stack's output.")
    visibility_seconds: int = Field(
        default=90,
        ge=0,
        le=43_200,
        description="Time until a message that was not deleted is visible again; must exceed a tick.",
    )

    def url(self) -> str:
        """The address of the queue."""
        return self.queue_url or self.account.outputs().queue_url

    def receive(self, *, seconds: float, limit: int) -> Iterator[Message]:
        """Receive until the queue is empty, `limit` messages have arrived, or about `seconds` have passed."""
        client, url = self._client(), self.url()
        deadline = Deadline(seconds)
        received = 0
        while received < limit and not deadline.passed:
            with aws_errors("reading the queue"):
                answer = client.receive_message(
                    QueueUrl=url,
                    MaxNumberOfMessages=_BATCH,
                    VisibilityTimeout=self.visibility_seconds,
                    WaitTimeSeconds=1,  # a long poll asks all servers; a short one may find nothing in a full queue
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
        """Delete messages. A message that cannot be deleted arrives again, which does no harm."""
        client, url = self._client(), self.url()
        receipts = [message.receipt for message in messages]
        for start in range(0, len(receipts), _BATCH):
            batch = enumerate(receipts[start : start + _BATCH])
            with aws_errors("deleting messages"):
                client.delete_message_batch(
                    QueueUrl=url, Entries=[{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in batch]
                )

    def postpone(self, messages: Iterable[Message]) -> None:
        """Hide messages for a time that grows with each receive: ten receives cover more than two days."""
        client, url = self._client(), self.url()
        for message in messages:
            seconds = min(60 * 3 ** (message.receives - 1), _LONGEST_POSTPONEMENT)
            with aws_errors("postponing a message"):
                client.change_message_visibility(QueueUrl=url, ReceiptHandle=message.receipt, VisibilityTimeout=seconds)

    def _client(self) -> "SQSClient":
        return self.account.sqs()
