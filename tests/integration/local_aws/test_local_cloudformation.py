"""CloudFormation: types that moto lacks, and stacks that are made, refused and deleted as on AWS."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from tests.integration.local_aws.conftest import ROLE, Aws, Stack, get_att, output, outputs

QUEUE = {"Type": "AWS::SQS::Queue"}
SUBSTITUTED = {"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": "${Word} ${Number}", "End": True}}}


def machine(definition: Any = SUBSTITUTED, **properties: Any) -> dict[str, Any]:
    substitutions = {"Word": "month", "Number": 2}
    fixed = {"RoleArn": ROLE, "DefinitionSubstitutions": substitutions, "Definition": definition}
    return {"Type": "AWS::StepFunctions::StateMachine", "Properties": {**fixed, **properties}}


def test_a_subscription_delivers(aws: Aws, stack: Stack) -> None:
    subscription = {
        "TopicArn": {"Ref": "Topic"},
        "Protocol": "sqs",
        "Endpoint": get_att("Queue", "Arn"),
        "RawMessageDelivery": True,
    }
    policy = {"Statement": [{"Effect": "Allow", "Action": "*", "Principal": "*", "Resource": "*"}]}
    made = stack.create(
        {
            "Topic": {"Type": "AWS::SNS::Topic"},
            "Queue": QUEUE,
            "Subscription": {"Type": "AWS::SNS::Subscription", "Properties": subscription},
            "TopicPolicy": {
                "Type": "AWS::SNS::TopicPolicy",
                "Properties": {"PolicyDocument": policy, "Topics": [{"Ref": "Topic"}]},
            },
            "QueuePolicy": {
                "Type": "AWS::SQS::QueuePolicy",
                "Properties": {"PolicyDocument": policy, "Queues": [{"Ref": "Queue"}]},
            },
        },
        **output(Topic={"Ref": "Topic"}, Queue={"Ref": "Queue"}),
    )

    sns, sqs = aws.client("sns"), aws.client("sqs")
    sns.publish(TopicArn=made["Topic"], Message="hello")
    assert [message["Body"] for message in sqs.receive_message(QueueUrl=made["Queue"])["Messages"]] == ["hello"]
    assert json.loads(sns.get_topic_attributes(TopicArn=made["Topic"])["Attributes"]["Policy"]) == policy
    attributes = sqs.get_queue_attributes(QueueUrl=made["Queue"], AttributeNames=["Policy"])["Attributes"]
    assert json.loads(attributes["Policy"]) == policy


def test_a_bucket_has_its_policy(aws: Aws, stack: Stack) -> None:
    policy = {"Statement": [{"Effect": "Deny", "Action": "*", "Principal": "*", "Resource": "*"}]}
    properties = {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": policy}
    made = stack.create(
        {
            "Bucket": {"Type": "AWS::S3::Bucket"},
            "Policy": {"Type": "AWS::S3::BucketPolicy", "Properties": properties},
        },
        **output(Bucket={"Ref": "Bucket"}),
    )

    assert json.loads(aws.client("s3").get_bucket_policy(Bucket=made["Bucket"])["Policy"]) == policy


def test_a_secret_has_its_value_and_is_deleted_for_good(aws: Aws, stack: Stack) -> None:
    properties = {"Name": f"{stack.name}-given", "SecretString": "value"}
    made = stack.create(
        {"Given": {"Type": "AWS::SecretsManager::Secret", "Properties": properties}}, **output(Given={"Ref": "Given"})
    )

    client = aws.client("secretsmanager")
    found = client.get_secret_value(SecretId=f"{stack.name}-given")
    assert (found["ARN"], found["SecretString"]) == (made["Given"], "value")
    stack.client.delete_stack(StackName=stack.name)
    assert client.list_secrets(IncludePlannedDeletion=True)["SecretList"] == []


@pytest.mark.parametrize(
    ("kind", "properties", "message"),
    [
        ("AWS::SecretsManager::Secret", {"GenerateSecretString": {}}, "GenerateSecretString is not emulated"),
        ("AWS::StepFunctions::StateMachine", {"DefinitionString": "{}"}, "no other form is emulated"),
    ],
)
def test_a_property_that_is_not_emulated_is_refused(
    stack: Stack, kind: str, properties: dict[str, Any], message: str
) -> None:
    stack.apply("CREATE", {"Resources": {"R": {"Type": kind, "Properties": properties}}})

    assert message in stack.failures()["R"]


def test_a_schedule_and_an_alarm_are_stored(aws: Aws, stack: Stack) -> None:
    schedule = {
        "Name": f"{stack.name}-nightly",
        "ScheduleExpression": "cron(0 2 1 * ? *)",
        "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": "10"},
        "State": "DISABLED",
        "Target": {"Arn": "arn:aws:states:us-east-1:123456789012:stateMachine:m", "RoleArn": ROLE, "Input": "{}"},
    }
    alarm = {
        "AlarmName": f"{stack.name}-alarm",
        "Namespace": "AWS/States",
        "MetricName": "ExecutionsFailed",
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": "0",
        "EvaluationPeriods": 1,
        "Period": 300,
        "Statistic": "Sum",
    }
    made = stack.create(
        {
            "Schedule": {"Type": "AWS::Scheduler::Schedule", "Properties": schedule},
            "Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": alarm},
        },
        **output(Schedule={"Ref": "Schedule"}, ScheduleArn=get_att("Schedule", "Arn"), Alarm={"Ref": "Alarm"}),
    )

    got = aws.client("scheduler").get_schedule(Name=made["Schedule"])
    assert (got["State"], got["FlexibleTimeWindow"]["MaximumWindowInMinutes"]) == ("DISABLED", 10)
    assert got["Arn"] == made["ScheduleArn"]
    assert aws.client("cloudwatch").describe_alarms(AlarmNames=[made["Alarm"]])["MetricAlarms"][0]["Threshold"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Name": "n" * 65}, "'name' failed to satisfy constraint: Member must have length less than or equal to 64"),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": "1441"}}, "less than or equal to 1440"),
        ({"State": "ON"}, "must satisfy enum value set"),
    ],
)
def test_what_the_model_of_a_service_does_not_allow_is_refused(
    stack: Stack, change: dict[str, Any], message: str
) -> None:
    """botocore's model of scheduler.CreateSchedule; moto takes all of these."""
    schedule = {
        "ScheduleExpression": "cron(0 2 1 * ? *)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": "arn:aws:states:us-east-1:123456789012:stateMachine:m", "RoleArn": ROLE},
        **change,
    }

    stack.apply("CREATE", {"Resources": {"S": {"Type": "AWS::Scheduler::Schedule", "Properties": schedule}}})

    assert message.lower() in stack.failures()["S"].lower()


def test_a_state_machine_is_executed_with_its_substitutions(aws: Aws, stack: Stack) -> None:
    made = stack.create({"M": machine()}, **output(Arn={"Ref": "M"}, Name=get_att("M", "Name")))

    client = aws.client("stepfunctions")
    execution = client.start_execution(stateMachineArn=made["Arn"])["executionArn"]
    while (ended := client.describe_execution(executionArn=execution))["status"] == "RUNNING":
        time.sleep(0.05)
    assert ended["output"] == '"month 2"'
    assert made["Arn"].endswith(f":{made['Name']}")


def test_short_forms_conditions_and_no_value_are_worked_out(aws: Aws, stack: Stack) -> None:
    template = """
    Parameters: {Env: {Type: String, Default: ""}}
    Conditions:
      Named: !Not [!Equals [!Ref Env, ""]]
      Production: !And [!Condition Named, !Equals [!Ref Env, prod]]
    Resources:
      Queue: {Type: AWS::SQS::Queue}
      Extra: {Type: AWS::SQS::Queue, Condition: Production}
      Policy:
        Type: AWS::SQS::QueuePolicy
        Properties:
          PolicyDocument: {Statement: []}
          Queues: [!Ref Queue, !If [Production, !Ref Extra, !Ref "AWS::NoValue"]]
    Outputs:
      Env: {Value: !If [Named, !Sub "of ${Env}", none]}
      Extra: {Condition: Production, Value: !Ref Extra}
    """
    test = stack.apply("CREATE", template, Env="test")
    production = Stack(aws).apply("CREATE", template, Env="prod")

    assert outputs(test) == {"Env": "of test"}
    assert set(outputs(production)) == {"Env", "Extra"}


def test_what_depends_on_something_is_made_after_it(stack: Stack) -> None:
    stack.create({"First": {**QUEUE, "DependsOn": ["Second"]}, "Second": QUEUE})

    made = [name for name, status in stack.events() if status == "CREATE_COMPLETE"]
    assert made == ["Second", "First", stack.name]


def test_a_type_that_is_not_emulated_is_refused(stack: Stack) -> None:
    with pytest.raises(stack.client.exceptions.ClientError, match=r"Unrecognized resource types: \[AWS::SNS::Topik\]"):
        stack.propose("CREATE", {"Resources": {"T": {"Type": "AWS::SNS::Topik"}, "Q": QUEUE}})


def test_a_null_in_a_template_is_refused(stack: Stack) -> None:
    template = {"Resources": {"Q": {**QUEUE, "Properties": {"QueueName": None}}}}

    with pytest.raises(stack.client.exceptions.ClientError, match=r"Properties/QueueName\] 'null' values are not"):
        stack.propose("CREATE", template)


def test_a_stack_that_cannot_be_made_says_why_and_is_deleted_like_any_other(aws: Aws, stack: Stack) -> None:
    broken = {"TopicArn": "arn:aws:sns:us-east-1:123456789012:nothing", "Protocol": "sqs", "Endpoint": "x"}
    properties = {"QueueName": f"{stack.name}-made"}

    described = stack.apply(
        "CREATE",
        {
            "Resources": {
                "Queue": {**QUEUE, "Properties": properties},
                "Broken": {"Type": "AWS::SNS::Subscription", "Properties": broken, "DependsOn": "Queue"},
            }
        },
    )

    assert described["StackStatus"] == "CREATE_FAILED"
    assert "Topic does not exist" in stack.failures()["Broken"]
    stack.client.delete_stack(StackName=stack.name)
    assert "QueueUrls" not in aws.client("sqs").list_queues(QueueNamePrefix=properties["QueueName"])


def test_a_secret_parameter_is_not_shown(stack: Stack) -> None:
    parameters = {"Word": {"Type": "String", "NoEcho": True}, "Open": {"Type": "String"}}
    described = stack.apply("CREATE", {"Parameters": parameters, "Resources": {"Q": QUEUE}}, Word="hush", Open="yes")

    shown = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in described["Parameters"]}
    assert shown == {"Word": "****", "Open": "yes"}


def test_a_change_set_shows_the_resources_whose_condition_holds_and_makes_them(stack: Stack) -> None:
    template: dict[str, Any] = {
        "Parameters": {"Extra": {"Type": "String"}},
        "Conditions": {"HasExtra": {"Fn::Equals": [{"Ref": "Extra"}, "yes"]}},
        "Resources": {"Queue": QUEUE, "Extra": {**QUEUE, "Condition": "HasExtra"}},
    }

    proposed = stack.propose("CREATE", template, Extra="no")
    stack.client.execute_change_set(ChangeSetName=proposed["ChangeSetId"])

    shown = [change["ResourceChange"] for change in proposed["Changes"]]
    assert [(change["Action"], change["LogicalResourceId"]) for change in shown] == [("Add", "Queue")]
    assert [name for name, status in stack.events() if status == "CREATE_COMPLETE"] == ["Queue", stack.name]


@pytest.mark.parametrize("kind", ["UPDATE", "IMPORT"])
def test_a_change_of_a_stack_is_refused(stack: Stack, kind: str) -> None:
    stack.create({"Q": QUEUE})

    with pytest.raises(
        ClientError, match=rf"\(ValidationError\).*creates its stack at each start and cannot {kind} one"
    ):
        stack.propose(kind, {"Resources": {"Q": QUEUE, "R": QUEUE}})
    with pytest.raises(ClientError, match=r"\(ValidationError\).*creates its stack at each start"):
        stack.client.update_stack(StackName=stack.name, TemplateBody=json.dumps({"Resources": {"R": QUEUE}}))


def test_buckets_and_secrets_have_the_tags_of_their_stack(aws: Aws, stack: Stack) -> None:
    tagged = {
        "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "tagged-bucket"}},
        "Secret": {
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {"Name": "tagged-secret", "SecretString": "placeholder"},
        },
    }
    made = stack.client.create_change_set(
        StackName=stack.name,
        ChangeSetName="tagged",
        ChangeSetType="CREATE",
        TemplateBody=json.dumps({"Resources": tagged}),
        Tags=[{"Key": "project", "Value": "x"}],
    )
    stack.client.execute_change_set(ChangeSetName=made["Id"], StackName=stack.name)

    listed = aws.client("resourcegroupstaggingapi").get_resources(TagFilters=[{"Key": "project", "Values": ["x"]}])
    kinds = sorted(entry["ResourceARN"].split(":")[2] for entry in listed["ResourceTagMappingList"])
    assert kinds == ["cloudformation", "s3", "secretsmanager"]
    stack.client.delete_stack(StackName=stack.name)


@pytest.mark.parametrize("policy", ["Retain", "RetainExceptOnCreate"])
def test_what_is_retained_outlives_its_stack(aws: Aws, stack: Stack, policy: str) -> None:
    name = {"Properties": {"QueueName": f"{stack.name}-kept"}}
    stack.create({"Kept": {**QUEUE, **name, "DeletionPolicy": policy}, "Gone": QUEUE})

    stack.client.delete_stack(StackName=stack.name)

    urls = aws.client("sqs").list_queues(QueueNamePrefix=stack.name)["QueueUrls"]
    assert [url.rpartition("/")[2] for url in urls] == [f"{stack.name}-kept"]


def test_a_template_in_yaml_is_read_as_one_in_json(stack: Stack) -> None:
    described = stack.apply("CREATE", yaml.safe_dump({"Description": "mine", "Resources": {"Q": QUEUE}}))

    assert (described["StackStatus"], described["Description"]) == ("CREATE_COMPLETE", "mine")


def test_drift_is_not_detected_and_that_is_said(aws: Aws) -> None:
    with pytest.raises(ClientError, match=r"\(ValidationError\).*does not detect drift"):
        aws.client("cloudformation").detect_stack_drift(StackName="any")
