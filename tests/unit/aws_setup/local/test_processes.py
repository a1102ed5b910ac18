import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from aws_setup.local.processes.child import Child, ProgramNotFoundError

ROOT = Path(__file__).parents[4]
# A child in a session of its own with a grandchild, both deaf to SIGTERM: the worst that a command can do.
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) == 1:
    subprocess.Popen([sys.executable, __file__, "below"], start_new_session=True)
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture
def stubborn(tmp_path: Path) -> Path:
    script = tmp_path / "stubborn.py"
    script.write_text(STUBBORN)
    return script


def running(script: Path) -> list[int]:
    """The processes that run `script`, guards included."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(script) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def assert_all_end(script: Path, within: float = 10) -> None:
    deadline = time.monotonic() + within
    while running(script):
        assert time.monotonic() < deadline, f"still running: {running(script)}"
        time.sleep(0.05)


def assert_two_lines(stream: object) -> None:
    assert [stream.readline(), stream.readline()] == [b"up\n", b"up\n"]  # type: ignore[attr-defined]


def test_the_exit_code_of_the_command_is_returned() -> None:
    assert Child(["sh", "-c", "exit 7"]).wait() == 7


def test_a_command_that_a_signal_ended_gives_128_and_the_signal() -> None:
    assert Child(["sh", "-c", "kill -TERM $$"]).wait() == 143


def test_input_output_environment_and_folder_are_the_commands(tmp_path: Path) -> None:
    script = "cat; echo $COLOUR; pwd"
    source = tmp_path / "in"
    source.write_text("text\n")
    with source.open("rb") as stdin:
        environment = {"PATH": os.environ["PATH"], "COLOUR": "blue"}
        child = Child(["sh", "-c", script], env=environment, cwd=tmp_path, stdin=stdin, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.read().decode() == f"text\nblue\n{tmp_path}\n"
    assert child.wait() == 0


def test_an_unknown_program_is_named() -> None:
    with pytest.raises(ProgramNotFoundError, match=r"^no-such-program: command not found$"):
        Child(["no-such-program"])


def test_the_command_finds_default_signal_handling() -> None:
    code = "import signal; print(signal.getsignal(signal.SIGINT).__name__, int(signal.getsignal(signal.SIGTSTP)))"
    child = Child([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.read() == b"default_int_handler 0\n"


def test_stop_lets_the_command_clean_up() -> None:
    child = Child(["sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    assert child.stop() == 3
    assert child.stop() == 3


def test_stop_kills_what_does_not_end_in_time_in_other_sessions_too(stubborn: Path) -> None:
    child = Child([sys.executable, stubborn], stdout=subprocess.PIPE)
    assert_two_lines(child.stdout)
    assert len(running(stubborn)) == 3
    assert child.stop(grace=0.2) == 137
    assert running(stubborn) == []


def test_descendants_end_when_the_command_ends(stubborn: Path) -> None:
    started = time.monotonic()
    assert Child(["sh", "-c", f"{sys.executable} {stubborn} & sleep 0.3"], stdout=subprocess.DEVNULL).wait() == 0
    assert running(stubborn) == []
    assert time.monotonic() - started < 6


@pytest.mark.parametrize("foreground", [False, True])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_no_descendant_outlives_the_launcher(stubborn: Path, number: signal.Signals, foreground: bool) -> None:
    launcher = textwrap.dedent(f"""
        import sys, time
        from aws_setup.local.processes.child import Child
        child = Child([sys.executable, {str(stubborn)!r}], grace=0.2, foreground={foreground})
        time.sleep(600)
    """)
    process = subprocess.Popen([sys.executable, "-c", launcher], cwd=ROOT, stdout=subprocess.PIPE)
    assert_two_lines(process.stdout)
    assert len(running(stubborn)) == 3
    process.send_signal(number)
    assert process.wait() == -number
    assert_all_end(stubborn)


def test_the_command_dies_with_its_guard() -> None:
    child = Child(["sh", "-c", "echo up; exec sleep 600"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    (below,) = psutil.Process(child.pid).children(recursive=True)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    psutil.wait_procs([below], timeout=5)
    assert not below.is_running() or below.status() == psutil.STATUS_ZOMBIE


def test_a_held_descriptor_stays_with_the_guard_and_not_with_the_command() -> None:
    read, write = os.pipe()
    child = Child(["sh", "-c", f"ls /proc/$$/fd | grep -qx {write} && exit 9; sleep 600"], hold=[write])
    os.close(write)
    os.set_blocking(read, False)
    with pytest.raises(BlockingIOError):
        os.read(read, 1)
    assert child.stop() != 9
    assert os.read(read, 1) == b""
    os.close(read)
