"""The spark-submit command of a job run, and the environment of its driver."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from aws_setup.local.emulator.emrserverless.job_run import SparkJob
from aws_setup.local.emulator.spark.submit import SparkSubmit, s3_properties

JOB = SparkJob(
    application_id="app",
    job_run_id="run",
    name="name",
    entry_point="s3://code/main.py",
    arguments=('{"a": 1}',),
    parameters="--conf spark.ui.enabled=true --conf spark.emr-serverless.driverEnv.MODE=fast",
    configuration={"spark.sql.shuffle.partitions": "4"},
    log_uri="s3://data/logs/",
)


@pytest.fixture
def submit(tmp_path: Path) -> SparkSubmit:
    for bucket in ("code", "data"):
        (tmp_path / "lake" / bucket).mkdir(parents=True)
    (tmp_path / "lake" / "code" / "main.py").touch()
    return SparkSubmit(tmp_path / "lake", Path("/java"), {"AWS_REGION": "us-east-1"}, tmp_path / "work")


def confs(command: list[str]) -> dict[str, str]:
    values = [command[number + 1] for number, word in enumerate(command) if word == "--conf"]
    return dict(value.split("=", 1) for value in values)


def test_the_command_ends_with_the_entry_point_and_its_arguments(submit: SparkSubmit) -> None:
    command = submit.command(JOB)

    assert command[0].endswith("/bin/spark-submit")
    assert command[-2:] == [str(submit.lake / "code" / "main.py"), '{"a": 1}']


def test_local_settings_hold_over_those_of_the_job(submit: SparkSubmit) -> None:
    conf = confs(submit.command(JOB))

    assert conf["spark.master"] == "local[*]"
    assert conf["spark.ui.enabled"] == "false"
    assert conf["spark.driver.bindAddress"] == "127.0.0.1"
    assert conf["spark.sql.shuffle.partitions"] == "4"


def test_the_driver_s_jvm_gets_the_options_that_the_runner_was_given(tmp_path: Path) -> None:
    submit = SparkSubmit(tmp_path, Path("/java"), {}, tmp_path / "work", java_options="-Xshare:auto -Dmine=1")

    options = confs(submit.command(JOB))["spark.driver.defaultJavaOptions"]

    assert "-Xshare:auto -Dmine=1" in options


def test_every_bucket_is_a_folder_to_hadoop(submit: SparkSubmit) -> None:
    conf = s3_properties(submit.lake)

    assert conf["spark.hadoop.fs.viewfs.mounttable.data.linkFallback"] == (submit.lake / "data").as_uri()
    assert sum(name.endswith("linkFallback") for name in conf) == 2


def test_a_missing_file_stays_an_s3_uri(submit: SparkSubmit) -> None:
    assert submit.locate("s3://code/none.py") == "s3://code/none.py"
    assert submit.locate("/code/main.py") == "/code/main.py"


def test_the_driver_gets_what_it_is_given_and_nothing_more(
    submit: SparkSubmit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "hush")
    monkeypatch.setenv("SPARK_HOME", "/another/spark")

    environment = submit.driver_environment(JOB)

    assert "DATABASE_PASSWORD" not in environment
    assert environment["SPARK_HOME"].endswith("/pyspark")
    assert (environment["AWS_REGION"], environment["MODE"]) == ("us-east-1", "fast")
    assert (environment["JAVA_HOME"], environment["PYSPARK_PYTHON"]) == ("/java", sys.executable)


def test_the_environment_is_asked_for_at_each_start(tmp_path: Path) -> None:
    values = iter(["first", "second"])
    submit = SparkSubmit(tmp_path, Path("/java"), lambda: {"TURN": next(values)}, tmp_path)

    assert [submit.driver_environment(JOB)["TURN"] for _ in range(2)] == ["first", "second"]


def test_the_dashboard_is_the_folder_of_the_logs(submit: SparkSubmit) -> None:
    folder = submit.lake / "data" / "logs" / "applications" / "app" / "jobs" / "run" / "SPARK_DRIVER"

    assert submit.dashboard(JOB) == folder.as_uri()
