"""Programs that `deploy` runs to find the JDBC driver."""

import os
import time
from pathlib import Path

from aws_setup.job_bundle.programs import succeeds


def test_a_program_succeeds_when_its_exit_code_is_zero(tmp_path: Path) -> None:
    assert succeeds(["sh", "-c", "exit 0"], tmp_path, 5, os.environ)
    assert not succeeds(["sh", "-c", "exit 3"], tmp_path, 5, os.environ)


def test_a_missing_program_does_not_succeed(tmp_path: Path) -> None:
    assert not succeeds(["no-such-program"], tmp_path, 5, os.environ)


def test_a_program_that_takes_too_long_is_killed_with_the_processes_that_it_started(tmp_path: Path) -> None:
    script = "sleep 60 & echo $! > child; wait"

    assert not succeeds(["sh", "-c", script], tmp_path, 0.5, os.environ)

    child = Path("/proc") / (tmp_path / "child").read_text().strip()
    deadline = time.monotonic() + 5
    while child.exists() and "Z" not in (child / "stat").read_text().rpartition(")")[2].split()[:1]:
        assert time.monotonic() < deadline, "the program's child still runs"
        time.sleep(0.02)
