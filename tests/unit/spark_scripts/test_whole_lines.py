"""The lines of the driver's log."""

from __future__ import annotations

import subprocess
import sys

import pytest

THREADS, LINES = 8, 2000
PROGRAM = f"""
import sys, threading
from spark_scripts.driver.runtime import print_whole_lines
sys.setswitchinterval(1e-6)
{{0}}
def say(name):
    for _ in range({LINES}):
        print(name * 20, flush=True)
threads = [threading.Thread(target=say, args=(name,)) for name in "abcdefgh"]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@pytest.mark.parametrize(("begin", "whole"), [("print_whole_lines()", True), ("", False)], ids=["whole", "as it comes"])
def test_lines_that_threads_print_unbuffered_stay_whole(begin: str, whole: bool) -> None:
    told = subprocess.run(
        [sys.executable, "-u", "-c", PROGRAM.format(begin)], capture_output=True, text=True, check=True
    )
    lines = told.stdout.splitlines()
    assert (len(lines) == THREADS * LINES and all(line == line[:1] * 20 for line in lines)) == whole
