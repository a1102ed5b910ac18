"""The sensor that reads the notifications about ended executions from the queue.

It deletes a message when the event log holds every month of the execution; if the tick dies before, the message arrives
again. A Dagster run records the execution that it started; the sensor does it if the run died before.
"""

# No `from __future__ import annotations`: Dagster reads the annotations of a sensor's function themselves.

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import dagster as dg

from ingest_assets.automation import sensor_status
from ingest_assets.aws.messages import DAGSTER, MessageError, Notification, parse
from ingest_assets.aws.waiting import Deadline
from ingest_assets.lineage.recorded_runs import RecordedRuns
from ingest_assets.lineage.recorder import Recorded, Recorder, is_being_recorded, last_run
from ingest_assets.resources.queue import Message, Notifications
from ingest_assets.resources.raw_layer import RawLayerResource
from ingest_assets.tables import TableSpec
from spark_scripts.contract.wording import counted, spans

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
    """The messages of a tick. Those in `done` need nothing more, those in `poison` cannot be read."""

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
    """What a tick has done."""

    acknowledged: list[Message] = field(default_factory=list)
    postponed: list[Message] = field(default_factory=list)
    recorded: list[Recorded] = field(default_factory=list)
    executions: int = 0
    later: int = 0

    def summary(self, unknown: Sequence[str], poison: Sequence[str]) -> str:
        """One line for the tick's message."""
        return "; ".join(self._parts(unknown, poison)) or "the queue is empty"

    def _parts(self, unknown: Sequence[str], poison: Sequence[str]) -> Iterator[str]:
        source = counted(self.executions, "execution")
        if ingested := _by_table((each.table, each.ingested) for each in self.recorded):
            yield f"recorded {ingested} from {source}"
        if failed := _by_table((each.table, each.failed) for each in self.recorded):
            yield f"recorded that {failed} failed in {source}" if not ingested else f"recorded that {failed} failed"
        if found := [f"{each.table} ({each.found})" for each in self.recorded if each.found]:
            yield f"looked at {_named(found)}"
        if self.acknowledged:
            yield f"acknowledged {counted(len(self.acknowledged), 'message')}"
        if self.postponed:
            yield f"left {counted(len(self.postponed), 'message')} for the runs that started their executions"
        if self.later:
            yield f"left {counted(self.later, 'execution')} for the next ticks"
        if unknown:
            yield f"not in tables.yaml: {_named(unknown)}"
        if poison:
            yield f"left for the dead-letter queue: {_named(poison)}"


def queue_sensor(*, tables: Sequence[TableSpec]) -> dg.SensorDefinition:
    """The sensor that records executions from the queue in the event log and then deletes their messages."""
    by_name = {table.name: table for table in tables}

    @dg.sensor(
        name=QUEUE,
        minimum_interval_seconds=30,
        default_status=sensor_status(),
        description="Records executions that EventBridge or a person started, and those whose Dagster run died.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, raw_layer: RawLayerResource, notifications: Notifications
    ) -> dg.SensorResult:
        inbox = _Inbox()
        for message in notifications.receive(seconds=_RECEIVE_SECONDS, limit=_MOST_MESSAGES):
            inbox.put(message)
        recorder = Recorder(context.instance, by_name, raw_layer, raw_layer.account, _runs(context))
        tick = _record(context.instance, inbox, recorder)
        notifications.delete(tick.acknowledged)
        notifications.postpone(tick.postponed)
        for line in inbox.poison:
            context.log.warning(f"message {line}")
        return dg.SensorResult(skip_reason=tick.summary(recorder.unknown, inbox.poison))

    return sensor


def _runs(context: dg.SensorEvaluationContext) -> RecordedRuns:
    repository = context.repository_def
    assert repository is not None, "Dagster gives a sensor the repository that it is in"  # noqa: S101  # for mypy
    return RecordedRuns(context.instance, repository, context.code_location_origin, QUEUE)


def _record(instance: dg.DagsterInstance, inbox: _Inbox, recorder: Recorder) -> _Tick:
    tick = _Tick(acknowledged=inbox.done)
    deadline = Deadline(_RECORD_SECONDS)
    for execution in inbox.executions.values():
        run = last_run(instance, execution.notification.requested_by)
        if deadline.passed:
            tick.later += 1
        elif is_being_recorded(run):
            tick.postponed += execution.messages
        else:
            recorded = recorder.record(execution.notification, run)
            tick.recorded += recorded
            tick.executions += bool(recorded)
            tick.acknowledged += execution.messages
    return tick


def _by_table(recorded: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Tables with their months, such as `orders 2024-01 to 2024-03, sales 2024-02`; a month of "" stands for all."""
    months: dict[str, set[str]] = {}
    for table, some in recorded:
        months.setdefault(table, set()).update(some)
    return _named([f"{table} {spans(some - {''}) or '(every month)'}" for table, some in months.items() if some])


def _named(things: Sequence[str]) -> str:
    more = len(things) - _MOST_NAMED
    return ", ".join(things[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
