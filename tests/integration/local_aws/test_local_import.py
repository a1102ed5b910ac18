"""Import of what a deleted stack kept, and the tags by which it is found."""

from __future__ import annotations

import json

from tests.integration.local_aws.conftest import Aws, Stack

QUEUE = {"Type": "AWS::SQS::Queue"}
KEPT = {
    "Bucket": {
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": "RetainExceptOnCreate",
        "Properties": {"BucketName": "kept-bucket"},
    },
    "Secret": {
        "Type": "AWS::SecretsManager::Secret",
        "DeletionPolicy": "RetainExceptOnCreate",
        "Properties": {"Name": "kept-secret", "SecretString": "placeholder"},
    },
}


def test_what_a_deleted_stack_kept_is_imported_with_its_value(aws: Aws) -> None:
    stack = Stack(aws)
    stack.create({**KEPT, "Queue": QUEUE})
    secrets = aws.client("secretsmanager")
    secrets.put_secret_value(SecretId="kept-secret", SecretString="filled")
    arn = secrets.describe_secret(SecretId="kept-secret")["ARN"]
    stack.client.delete_stack(StackName=stack.name)
    proposed = stack.propose("IMPORT", {"Resources": KEPT})
    assert [change["ResourceChange"]["Action"] for change in proposed["Changes"]] == ["Import", "Import"]
    stack.client.execute_change_set(ChangeSetName=proposed["ChangeSetId"], StackName=stack.name)
    assert stack.describe()["StackStatus"] == "IMPORT_COMPLETE"
    outputs = {"Secret": {"Value": {"Ref": "Secret"}}}
    described = stack.apply("UPDATE", {"Resources": {**KEPT, "Queue": QUEUE}, "Outputs": outputs})
    assert described["StackStatus"] == "UPDATE_COMPLETE", stack.failures()
    assert described["Outputs"][0]["OutputValue"] == arn
    assert secrets.get_secret_value(SecretId="kept-secret")["SecretString"] == "filled"


def test_what_is_not_there_cannot_be_imported(aws: Aws) -> None:
    nothing = {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "no-such-bucket"}}}
    stack = Stack(aws)
    assert stack.apply("IMPORT", {"Resources": nothing})["StackStatus"] == "IMPORT_ROLLBACK_COMPLETE"


def test_buckets_and_secrets_have_the_tags_of_their_stack(aws: Aws) -> None:
    stack = Stack(aws)
    tagged = json.loads(json.dumps(KEPT).replace("kept-", "tagged-"))
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
