"""What moto's EventBridge does differently from AWS with the targets of a rule, put right.

moto 5.2.5 knows no topics as targets, and an event that one target does not take reaches no other and ends the thread
that sent it. Drop this when `moto.events.models.Rule.send_to_targets` publishes and goes on by itself.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from moto.core.exceptions import ServiceException
from moto.events.models import Rule
from moto.events.utils import EventMessageType, EventTemplateParser
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends
from werkzeug.exceptions import HTTPException

from aws_setup.local.emulator.core.patching import replace_attribute

_Send = Callable[..., None]
_REFUSALS = (ServiceException, HTTPException, NotImplementedError)


def install(stack: ExitStack) -> None:
    """Put the changes in until `stack` closes."""
    replace_attribute(stack, Rule, "send_to_targets", _to_each(Rule.send_to_targets))


def _to_each(send_to_targets: _Send) -> _Send:
    """Topics are targets too; an event that a target does not take goes to the target's dead-letter queue."""

    def send(self: Rule, original_event: EventMessageType, transform_input: bool = True) -> None:
        if not self.event_pattern.matches_event(original_event):
            return
        for target in self.targets:
            try:
                if ":sns:" in target["Arn"]:
                    _publish(self, target, original_event)
                else:
                    alone = copy.copy(self)
                    alone.targets = [target]
                    send_to_targets(alone, original_event, transform_input)
            except _REFUSALS:
                _bury(self, target, original_event)

    return send


def _publish(rule: Rule, target: dict[str, Any], event: EventMessageType) -> None:
    transformer = target.get("InputTransformer", {})
    message = EventTemplateParser.parse(transformer.get("InputTemplate"), transformer.get("InputPathsMap", {}), event)
    sns_backends[rule.account_id][rule.region_name].publish(message=json.dumps(message), arn=target["Arn"])


def _bury(rule: Rule, target: dict[str, Any], event: EventMessageType) -> None:
    arn = target.get("DeadLetterConfig", {}).get("Arn")
    if arn is not None:
        queue = arn.rpartition(":")[2]
        sqs_backends[rule.account_id][rule.region_name].send_message(queue_name=queue, message_body=json.dumps(event))
