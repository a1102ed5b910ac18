"""sparkSubmitParameters are parsed as EMR Serverless does."""

from __future__ import annotations

import pytest

from aws_setup.local.emulator.emrserverless.submit_parameters import (
    SubmitOption,
    command_line,
    driver_environment,
    parse,
    properties,
    unsupported_property,
)


def test_parameters_are_split_as_a_shell_does() -> None:
    assert parse("--conf 'spark.x=a b' --verbose --jars=s3://b/x.jar") == [
        SubmitOption("--conf", "spark.x=a b"),
        SubmitOption("--verbose"),
        SubmitOption("--jars", "s3://b/x.jar"),
    ]


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ("--conf", "missing argument for option '--conf'"),
        ("main.py", "unexpected argument 'main.py'"),
        ("--conf 'a", "No closing quotation"),
    ],
)
def test_parameters_that_spark_submit_cannot_read_are_an_error(parameters: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        parse(parameters)


def test_the_last_setting_of_a_property_holds() -> None:
    options = parse("--conf spark.driver.memory=1g --driver-memory 2g -c spark.x=a=b")

    assert properties(options, {"spark.x": "default", "spark.y": "default"}) == {
        "spark.driver.memory": "2g",
        "spark.x": "a=b",
        "spark.y": "default",
    }


@pytest.mark.parametrize("parameters", ["--master yarn", "--conf spark.master=local", "--conf=spark.master=local"])
def test_a_job_may_not_set_the_master(parameters: str) -> None:
    assert unsupported_property(properties(parse(parameters))) == "spark.master"


def test_variables_of_the_driver_are_named_by_their_prefix() -> None:
    conf = {"spark.emr-serverless.driverEnv.MODE": "fast", "spark.executorEnv.MODE": "slow"}

    assert driver_environment(conf) == {"MODE": "fast"}


def test_files_are_located_one_by_one_and_nothing_else_is() -> None:
    options = parse(
        "--py-files s3://b/a.zip,s3://b/b.zip --conf spark.jars=s3://b/c.jar --conf spark.x=s3://b/d --name s3://b/e"
    )

    assert command_line(options, lambda uri: uri.replace("s3://", "/lake/")) == [
        "--py-files",
        "/lake/b/a.zip,/lake/b/b.zip",
        "--conf",
        "spark.jars=/lake/b/c.jar",
        "--conf",
        "spark.x=s3://b/d",
        "--name",
        "s3://b/e",
    ]
