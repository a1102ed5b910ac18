"""The logs of the driver are readable while they grow, and are searched for errors."""

from __future__ import annotations

import gzip
from pathlib import Path

from aws_setup.local.emulator.spark.logs import GzippedCopy, last_exceptions


def test_the_copy_is_readable_at_any_time(tmp_path: Path) -> None:
    source, target = tmp_path / "stdout", tmp_path / "logs" / "stdout.gz"
    copy = GzippedCopy(source, target)
    seen = []
    for text in ("", "one\n", "", "zwei ü\n"):
        with source.open("a", encoding="utf-8") as file:
            file.write(text)
        copy.update()
        seen.append(gzip.decompress(target.read_bytes()).decode())

    assert seen == ["", "one\n", "one\n", "one\nzwei ü\n"]


def outputs(folder: Path, stdout: str, stderr: str) -> tuple[Path, Path]:
    (folder / "stdout").write_text(stdout)
    (folder / "stderr").write_text(stderr)
    return folder / "stdout", folder / "stderr"


def test_the_newest_error_of_python_comes_first(tmp_path: Path) -> None:
    stdout = "Traceback (most recent call last):\n  File x\nKeyError: 'a'\n"
    stdout += "spark_scripts.contract.errors.JobError: no table\n"
    stderr = "26/11/22 21:08:24 ERROR X: java.lang.Exception: logged\nCaused by: java.io.IOException: refused\n"

    assert last_exceptions(*outputs(tmp_path, stdout, stderr)).splitlines() == [
        "spark_scripts.contract.errors.JobError: no table",
        "KeyError: 'a'",
        "Caused by: java.io.IOException: refused",
    ]


def test_an_error_is_listed_once(tmp_path: Path) -> None:
    assert last_exceptions(*outputs(tmp_path, "JobError: x\nJobError: x\n", "")) == "JobError: x"


def test_text_that_mentions_errors_is_not_an_error(tmp_path: Path) -> None:
    assert last_exceptions(*outputs(tmp_path, "no Error: here\nErrors were few\n", "")) == ""
