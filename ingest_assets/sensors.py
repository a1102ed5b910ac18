"""The sensor on the queue in which the ends of executions arrive.

A message is deleted when the event log holds all of its execution, and comes back when the tick dies before.
Executions that a Dagster run started are recorded by that run, and here when it died before.
"""

# No `from __future__ import annotations`: Dagster reads the annotations of a sensor's function themselves.

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import dagster as dg

from ingest_assets.automation import sensor_status
from ingest_assets.notifications import DAGSTER, MessageError, Notification, parse
from ingest_assets.recording import Recorder, is_being_recorded
from ingest_assets.resources.notifications import Message, Notifications
from ingest_assets.resources.raw_layer import RawLayer
from ingest_assets.tables import TableSpec

QUEUE = "stepfunction_datapipeline"

# Dagster ends an evaluation after 60 s.
_RECEIVE_SECONDS = 20.0
_RECORD_SECONDS = 20.0
_MOST_MESSAGES = 10_000
_MOST_NAMED = 10


@dataclass
class _Execution:
    """The messages about one execution."""

    notification: Notification
    messages: list[Message]


@dataclass
class _Inbox:
    """What was received in a tick. `done` needs nothing more."""

    executions: dict[str, _Execution] = field(default_factory=dict)
    done: list[Message] = field(default_factory=list)
    poison: list[str] = field(default_factory=list)

    def put(self, message: Message) -> None:
        try:
            notification = parse(message.body)
        except MessageError as error:
            self.poison.append(f"{message.id} {error}")
            return
        if notification.source == DAGSTER or notification.status is None:
            self.done.append(message)
            return
        execution = self.executions.setdefault(notification.execution_arn, _Execution(notification, []))
        execution.messages.append(message)
        if execution.notification.job_run_id is None:
            execution.notification = notification


@dataclass
class _Tick:
    """What a tick did."""

    acknowledged: list[Message] = field(default_factory=list)
    postponed: list[Message] = field(default_factory=list)
    events: int = 0
    executions: int = 0
    later: int = 0

    def told(self, unknown: Sequence[str], poison: Sequence[str]) -> str:
        """It, for people."""
        return "; ".join(self._parts(unknown, poison)) or "the queue is empty"

    def _parts(self, unknown: Sequence[str], poison: Sequence[str]) -> Iterator[str]:
        if self.events:
            yield f"recorded {self.events} events of {self.executions} executions"
        if self.acknowledged:
            yield f"acknowledged {len(self.acknowledged)} messages"
        if self.postponed:
            yield f"left {len(self.postponed)} messages to the runs that started their executions"
        if self.later:
            yield f"left {self.later} executions to the next ticks"
        if unknown:
            yield f"not in tables.yaml: {_named(unknown)}"
        if poison:
            yield f"left to the dead-letter queue: {_named(poison)}"


def queue_sensor(*, tables: Sequence[TableSpec]) -> dg.SensorDefinition:
    """Records what the queue tells of executions in the event log, and acknowledges what is there."""
    by_name = {table.name: table for table in tables}

    @dg.sensor(
        name=QUEUE,
        minimum_interval_seconds=30,
        default_status=sensor_status(),
        description="Records executions that Dagster did not start: EventBridge's, those by hand, and of dead runs.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, raw_layer: RawLayer, notifications: Notifications
    ) -> dg.SensorResult:
        inbox = _Inbox()
        for message in notifications.receive(seconds=_RECEIVE_SECONDS, limit=_MOST_MESSAGES):
            inbox.put(message)
        recorder = Recorder(context.instance, by_name, raw_layer)
        tick = _record(context.instance, inbox, recorder)
        notifications.delete(tick.acknowledged)
        notifications.postpone(tick.postponed)
        for line in inbox.poison:
            context.log.warning(f"message {line}")
        return dg.SensorResult(skip_reason=tick.told(recorder.unknown, inbox.poison))

    return sensor


def _record(instance: dg.DagsterInstance, inbox: _Inbox, recorder: Recorder) -> _Tick:
    tick = _Tick(acknowledged=inbox.done)
    deadline = time.monotonic() + _RECORD_SECONDS
    for execution in inbox.executions.values():
        if time.monotonic() > deadline:
            tick.later += 1
        elif is_being_recorded(instance, execution.notification.requested_by):
            tick.postponed += execution.messages
        else:
            events = recorder.record(execution.notification)
            tick.events += events
            tick.executions += bool(events)
            tick.acknowledged += execution.messages
    return tick


def _named(things: Sequence[str]) -> str:
    more = len(things) - _MOST_NAMED
    return ", ".join(things[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
