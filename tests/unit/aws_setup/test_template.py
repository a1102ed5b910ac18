from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from cfnlint.decode import cfn_yaml

from aws_setup.cloudformation import short_forms, template
from aws_setup.cloudformation.parameters import application_name
from ingest_assets.aws.stack import DEFAULT_STACK, StackOutputs
from spark_scripts.contract.request import TableRequest, resolve
from spark_scripts.contract.tables import Table

TEMPLATE = template.template()
STATE_MACHINE = TEMPLATE["Resources"]["StateMachine"]["Properties"]


def values(node: Any) -> list[Any]:
    """Every value below `node`, containers too."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [node, *(value for child in children for value in values(child))]


def test_a_template_in_which_a_key_stands_twice_is_refused() -> None:
    with pytest.raises(yaml.MarkedYAMLError, match=r"the key 'Type' appears twice"):
        short_forms.read("Resources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Type: AWS::SNS::Topic\n")


def test_the_short_forms_become_the_long_ones() -> None:
    assert TEMPLATE["Resources"]["Bucket"]["Properties"]["BucketName"] == {"Ref": "BucketName"}
    assert STATE_MACHINE["RoleArn"] == {"Fn::GetAtt": ["StateMachineRole", "Arn"]}
    assert TEMPLATE["Conditions"]["InSubnets"]["Fn::Not"][0]["Fn::Equals"][0] == {
        "Fn::Join": ["", {"Ref": "SubnetIds"}]
    }


def test_the_rendered_template_lacks_only_what_only_people_read() -> None:
    whole = template.annotated()
    for name, about in whole["Parameters"].items():
        assert TEMPLATE["Parameters"][name] == {
            key: value for key, value in about.items() if not key.endswith("Description")
        }
    for name, about in whole["Resources"].items():
        rest = {key: value for key, value in about.items() if key != "Metadata" and value != "Delete"}
        if name == "StateMachine":
            rest = {**rest, "Properties": {**rest["Properties"], "Definition": STATE_MACHINE["Definition"]}}
        assert TEMPLATE["Resources"][name] == rest
    written = template.state_machine()
    assert STATE_MACHINE["Definition"].keys() == written.keys() - {"Comment"}
    assert STATE_MACHINE["Definition"]["States"].keys() == written["States"].keys()
    assert not any("Comment" in value for value in values(STATE_MACHINE["Definition"]) if isinstance(value, dict))


def test_cfn_lint_reads_the_rendered_text_as_this_code_does() -> None:
    """Another reader of CloudFormation's YAML than ours."""
    read = cfn_yaml.loads(template.rendered())
    assert json.loads(json.dumps(read)) == TEMPLATE


def test_a_change_set_takes_the_template_with_eight_kilobytes_to_spare() -> None:
    """AWSCloudFormation/latest/APIReference/API_CreateChangeSet.html: TemplateBody has 51,200 bytes at most."""
    assert template.MAXIMUM_BYTES == 51_200
    assert len(template.rendered().encode()) <= 51_200 - 8_000


@pytest.mark.parametrize("body", [template.rendered(), template.template()])
def test_the_stack_s_template_is_recognised_in_each_form_of_the_answer(body: object) -> None:
    assert template.is_current(body)
    assert not template.is_current("Resources: {}")


def test_a_template_that_is_too_large_for_a_change_set_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "MAXIMUM_BYTES", 1000)
    template.rendered.cache_clear()
    with pytest.raises(Exception, match=r"has \d+ bytes, but a change set accepts at most 1000"):
        template.rendered()
    template.rendered.cache_clear()


def test_nothing_is_null_because_cloudformation_does_not_accept_it() -> None:
    assert None not in values(TEMPLATE)


def test_the_outputs_are_those_that_the_code_reads() -> None:
    expected = {"".join(part.capitalize() for part in field.split("_")) for field in StackOutputs.__dataclass_fields__}
    assert expected <= TEMPLATE["Outputs"].keys()


def test_the_state_machine_uses_exactly_the_substitutions_that_it_is_given() -> None:
    used = set(re.findall(r"\$\{(\w+)\}", json.dumps(template.state_machine())))
    assert used == STATE_MACHINE["DefinitionSubstitutions"].keys()


def test_every_parameter_says_what_it_is_for_and_is_used() -> None:
    body = json.dumps({part: TEMPLATE[part] for part in ("Conditions", "Resources")})
    for name, declared in template.parameters().items():
        assert declared["Description"], name
        assert f'{{"Ref": "{name}"}}' in body or f"${{{name}}}" in body, f"{name} is not used"


def test_the_schedule_sends_a_refresh_of_every_table() -> None:
    request = json.loads(TEMPLATE["Resources"]["Schedule"]["Properties"]["Target"]["Input"])
    table = Table("records", "public.records", "at", "2024-01")
    assert resolve(request, {"records": table}, datetime.now(UTC)) == [TableRequest(table, None, refresh=True)]


def test_the_names_of_the_default_stack_are_those_of_the_seed() -> None:
    named = {
        match[1]
        for value in values(TEMPLATE["Resources"])
        if isinstance(value, str) and (match := re.fullmatch(r"([\w-]+)\$\{NameSuffix\}", value))
    }
    assert {
        "stepfunction_datapipeline",
        "StepFunctionDataPipelineNotification",
        "failurejob",
        "EMRServerlessStepFunction",
        "EMR-Step-Function",
        "POSTGRESQL",
        "AWSKEYS",
    } <= named
    assert application_name(DEFAULT_STACK) == "EMR-Step-Function"
    assert application_name("other") == "EMR-Step-Function-other"


def test_data_survives_the_stack() -> None:
    for name in ("Bucket", "DatabaseSecret", "AwsKeysSecret"):
        resource = TEMPLATE["Resources"][name]
        assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
        assert resource["UpdateReplacePolicy"] == "Retain"


def properties(name: str) -> dict[str, Any]:
    """The properties of a resource."""
    found: dict[str, Any] = TEMPLATE["Resources"][name]["Properties"]
    return found


def statements() -> dict[str, dict[str, Any]]:
    """Every statement of every policy by resource and Sid; those with a condition of the template without it."""
    return {
        f"{name}.{statement.get('Sid', 'trust')}": statement
        for name, resource in TEMPLATE["Resources"].items()
        for document in values(resource)
        if isinstance(document, dict) and "Statement" in document
        for written in document["Statement"]
        for statement in [written["Fn::If"][1] if "Fn::If" in written else written]
    }


def test_nothing_can_connect_to_the_job_and_it_connects_only_to_aws_and_the_database() -> None:
    group = properties("JobSecurityGroup")
    assert "SecurityGroupIngress" not in group
    ports = [
        (rule.get("Fn::If", [None, rule])[1]["FromPort"], rule.get("Fn::If", [None, rule])[1]["ToPort"])
        for rule in group["SecurityGroupEgress"]
    ]
    assert ports == [(443, 443), *[({"Ref": "DatabasePort"}, {"Ref": "DatabasePort"})] * 2]
    assert TEMPLATE["Resources"]["WorkersAdmitWorkers"]["Condition"] == "HasWorkerTraffic"
    assert TEMPLATE["Parameters"]["WorkerTraffic"]["Default"] == "false"


@pytest.mark.parametrize(
    ("cidr", "accepted"), [("0.0.0.0/0", False), ("10.0.8.0/24", True), ("10.0.0.1/32", True), ("", True)]
)
def test_a_database_cidr_of_all_addresses_is_refused(cidr: str, *, accepted: bool) -> None:
    pattern = TEMPLATE["Parameters"]["DatabaseCidr"]["AllowedPattern"]
    assert (re.fullmatch(pattern, cidr) is not None) == accepted


def test_the_bucket_is_private_encrypted_versioned_and_tidied() -> None:
    bucket = properties("Bucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert statements()["BucketPolicy.EncryptedConnectionsOnly"]["Condition"] == {
        "Bool": {"aws:SecureTransport": "false"}
    }
    rules = {rule["Id"]: rule for rule in bucket["LifecycleConfiguration"]["Rules"] if "Id" in rule}
    assert rules.keys() == {"drop-unfinished-uploads", "drop-old-versions", "drop-staging", "drop-logs"}
    longest_job = TEMPLATE["Parameters"]["JobTimeoutMinutes"]["MaxValue"]
    assert rules["drop-staging"]["ExpirationInDays"] * 24 * 60 >= longest_job  # S3 rounds up to the next midnight
    assert rules["drop-staging"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}


@pytest.mark.parametrize("queue", ["Queue", "DeadLetterQueue", "ScheduleDeadLetterQueue"])
def test_queues_are_encrypted_by_sqs_or_the_given_key(queue: str) -> None:
    assert properties(queue)["SqsManagedSseEnabled"]["Fn::If"] == ["HasKey", {"Ref": "AWS::NoValue"}, True]
    assert properties(queue)["KmsMasterKeyId"]["Fn::If"][1] == {"Ref": "KmsKeyArn"}


@pytest.mark.parametrize("topic", ["SuccessTopic", "FailureTopic", "AlarmTopic"])
def test_topics_are_encrypted_by_a_key_that_services_may_use(topic: str) -> None:
    assert properties(topic)["KmsMasterKeyId"]["Fn::If"][1:] == [{"Ref": "KmsKeyArn"}, {"Ref": "NotificationKey"}]
    services = statements()["NotificationKey.Publishers"]["Principal"]["Service"]
    assert services == ["events.amazonaws.com", "cloudwatch.amazonaws.com"]


def test_a_service_may_send_only_from_a_source_that_is_named() -> None:
    sending = {
        name: statement
        for name, statement in statements().items()
        if statement["Action"] in ("sqs:SendMessage", "sns:Publish") and "Principal" in statement
    }
    assert len(sending) == 6
    # The one that EventBridge could not use: see test_refusals.py.
    del sending["FailureTopicPolicy.LostExecutions"]
    assert all(statement["Condition"].keys() == {"ArnEquals"} for statement in sending.values())


def test_every_dead_letter_queue_has_an_alarm_that_is_mailed() -> None:
    watched = {
        alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0]
        for alarm in (properties("DeadLetterAlarm"), properties("ScheduleDeadLetterAlarm"))
        if alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}]
    }
    assert watched == {"DeadLetterQueue", "ScheduleDeadLetterQueue"}
    assert properties("AlarmToEmail")["TopicArn"] == {"Ref": "AlarmTopic"}


def test_what_cannot_be_delivered_goes_to_a_dead_letter_queue() -> None:
    dead = {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}
    assert properties("Queue")["RedrivePolicy"]["deadLetterTargetArn"] == dead
    for subscription in ("SuccessToQueue", "FailureToQueue"):
        assert properties(subscription)["RedrivePolicy"]["deadLetterTargetArn"] == dead
    for rule in ("ExecutionFailed", "ExecutionLost"):
        assert [target["DeadLetterConfig"]["Arn"] for target in properties(rule)["Targets"]] == [dead]
    schedule = properties("Schedule")["Target"]["DeadLetterConfig"]["Arn"]
    assert schedule == {"Fn::GetAtt": ["ScheduleDeadLetterQueue", "Arn"]}


def test_a_lost_execution_is_mailed_by_the_rule_and_a_failed_one_by_the_state_machine() -> None:
    told = {
        status: target["Arn"]
        for rule in ("ExecutionFailed", "ExecutionLost")
        for status in properties(rule)["EventPattern"]["detail"]["status"]
        for target in properties(rule)["Targets"]
    }
    topic, queue = {"Ref": "FailureTopic"}, {"Fn::GetAtt": ["Queue", "Arn"]}
    assert told == {"FAILED": queue, "TIMED_OUT": topic, "ABORTED": topic}


def test_two_executions_fit_a_new_account_which_may_use_16_vcpus() -> None:
    defaults = {name: declared.get("Default") for name, declared in TEMPLATE["Parameters"].items()}
    workers = int(defaults["DriverCores"]) + int(defaults["ExecutorCores"]) * int(defaults["MaximumExecutors"])
    assert 2 * workers <= 2 * int(defaults["MaximumCpu"].removesuffix("vCPU")) <= 16


def test_every_wildcard_of_a_policy_says_why_in_the_template() -> None:
    lines = template.TEMPLATE.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("  JobRole:"))
    for number, line in enumerate(lines[start:], start):
        written = line.partition(" #")[0]
        if re.search(r"\*(\"|$)", written.rstrip()):
            heads = [line, lines[number - 1], *lines[max(0, number - 4) : number]]
            assert any("#" in head for head in heads), f"line {number + 1} of the template: {line.strip()}"


def test_every_statement_has_a_name_of_its_own() -> None:
    for name, resource in TEMPLATE["Resources"].items():
        if resource["Type"] in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy"):
            policies = [
                part for part in values(resource["Properties"]) if isinstance(part, dict) and "Statement" in part
            ]
            written = [part for policy in policies for part in policy["Statement"] if "Principal" not in part]
            sids = [(part["Fn::If"][1] if "Fn::If" in part else part)["Sid"] for part in written]
            assert len(set(sids)) == len(sids) > 0, name
