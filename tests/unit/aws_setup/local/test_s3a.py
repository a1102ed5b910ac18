"""How Maven is asked for the jars of S3A, what is told when it has none, and the Spark that has them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aws_setup.local import s3a
from aws_setup.local.emulator.spark.submit import SPARK_HOME
from aws_setup.local.errors import LocalAccountError

ADDRESS = "ht" + "tps://repo.example/maven2"
UNREACHABLE = f"""\033[0m[ERROR] Failed to execute goal on project s3a: Could not collect dependencies
[ERROR] Could not transfer artifact org.apache.hadoop:hadoop-aws:pom:3.4.1 from/to central ({ADDRESS}): no route"""
DAMAGED = "[ERROR] Could not transfer artifact org.apache.hadoop:hadoop-aws:jar:3.4.1: Checksum validation failed"
MISSING = "[ERROR] Could not find artifact org.apache.hadoop:hadoop-aws:jar:3.4.1 in central"


def maven(folder: Path, script: str) -> dict[str, str]:
    """An environment whose Maven is a script, in which $OUT is the folder that the jars are to be copied into."""
    program = folder / "bin" / "mvn"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nfor word; do case "$word" in -DoutputDirectory=*) OUT="${{word#*=}}";; esac; done\n{script}\n'
    )
    program.chmod(0o755)
    return {"PATH": f"{program.parent}{os.pathsep}{os.defpath}"}


def test_without_maven_one_line_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(s3a.JarsNotFoundError, match=r"^the jars of Hadoop's S3A 3\.4\.1 .*no Maven.*package maven$"):
        s3a.jars(tmp_path / "cache", {"PATH": "/nonexistent"})


def test_a_maven_central_that_cannot_be_reached_is_told_in_one_line_without_an_address(tmp_path: Path) -> None:
    with pytest.raises(s3a.JarsNotFoundError, match="Maven Central cannot be reached: Failed to execute goal") as told:
        s3a.jars(tmp_path / "cache", maven(tmp_path, f"echo '{UNREACHABLE}'; exit 1"))
    assert "example" not in str(told.value)
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("said", [MISSING, DAMAGED])
def test_whatever_else_fails_is_an_error_and_no_reason_to_skip_tests(tmp_path: Path, said: str) -> None:
    with pytest.raises(LocalAccountError, match="Maven failed: Could not") as told:
        s3a.jars(tmp_path / "cache", maven(tmp_path, f"echo '{said}'; exit 1"))
    assert not isinstance(told.value, s3a.JarsNotFoundError)


def test_a_jar_of_another_checksum_is_refused_and_not_kept(tmp_path: Path) -> None:
    script = 'mkdir -p "$OUT"; for name in hadoop-aws-3.4.1 bundle-2.24.6; do echo other > "$OUT/$name.jar"; done'
    with pytest.raises(LocalAccountError, match=r"hadoop-aws-3\.4\.1\.jar has the SHA-256 [0-9a-f]{64}, not 01334a07"):
        s3a.jars(tmp_path / "cache", maven(tmp_path, script))
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_jar_that_maven_did_not_copy_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalAccountError, match=r"Maven did not copy hadoop-aws-3\.4\.1\.jar"):
        s3a.jars(tmp_path / "cache", maven(tmp_path, 'mkdir -p "$OUT"'))


def test_jars_that_are_there_are_not_fetched_again(tmp_path: Path) -> None:
    folder = tmp_path / f"hadoop-{s3a.HADOOP}-sdk-{s3a.SDK}"
    folder.mkdir()
    assert s3a.jars(tmp_path, {"PATH": "/nonexistent"}) == folder


def test_the_spark_home_has_the_given_jars_in_place_of_pysparks_hadoop_client(tmp_path: Path) -> None:
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "hadoop-client-api-3.4.1.jar").touch()
    home = s3a.spark_home(tmp_path / "home", tmp_path / "jars")
    own = {jar.name for jar in (SPARK_HOME / "jars").iterdir()}
    replaced = {name for name in own if name.startswith("hadoop-client-")}
    assert len(replaced) == 2
    assert {jar.name for jar in (home / "jars").iterdir()} == own - replaced | {"hadoop-client-api-3.4.1.jar"}
    assert (home / "bin" / "spark-submit").exists()
