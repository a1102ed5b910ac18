"""Corrects how moto's EventBridge sends an event to the targets of a rule.

moto 5.2.5 cannot send to a topic. When a target refuses an event, no other target gets it, and the thread that sent it
ends. Delete this module when `moto.events.models.Rule.send_to_targets` publishes to topics and continues after a
refusal.
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
    """Install the corrections until `stack` closes."""
    replace_attribute(stack, Rule, "send_to_targets", _to_each(Rule.send_to_targets))


def _to_each(send_to_targets: _Send) -> _Send:
    """Topics can be targets. An event that a target refuses goes to the target's dead-letter queue."""

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
