import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aws_setup.local.errors import AccountInUseError, NoAccountError
from aws_setup.local.home import BUCKET, Home
from aws_setup.local.processes.child import Child


def test_a_second_account_in_the_folder_is_refused_naming_the_first(tmp_path: Path) -> None:
    with (
        Home(tmp_path).locked(),
        pytest.raises(
            AccountInUseError, match=rf"\(process {os.getpid()}\) already runs in {tmp_path}: stop it, or .* --home"
        ),
        Home(tmp_path).locked(),
    ):
        pass
    with Home(tmp_path).locked() as lock:
        assert lock > 0


def test_the_children_of_a_killed_launcher_are_waited_for(tmp_path: Path) -> None:
    """The lock outlives the launcher in its child, which takes a moment to end."""
    command = ["sh", "-c", "trap 'sleep 1; exit' TERM; echo up; while :; do sleep 0.1; done"]
    script = (
        "import time; from pathlib import Path; from aws_setup.local.home import Home;"
        "from aws_setup.local.processes.child import Child\n"
        f"with Home(Path({str(tmp_path)!r})).locked() as lock:\n"
        f"    child = Child({command}, hold=[lock])\n"
        "    time.sleep(600)"
    )
    launcher = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=Path(__file__).parents[4])
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == b"up\n"
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    with pytest.raises(BlockingIOError):
        _lock_at_once(tmp_path)
    with Home(tmp_path).locked():
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def _lock_at_once(folder: Path) -> None:
    import fcntl  # noqa: PLC0415

    with (folder / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_scratch_folder_is_emptied_and_the_rest_stays(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    for file in (home.work / "spark", home.lake / BUCKET / "object", home.dagster / "history"):
        file.write_text("kept")
    home.prepare()
    assert list(home.work.iterdir()) == []
    assert (home.lake / BUCKET / "object").read_text() == "kept"
    assert (home.dagster / "history").read_text() == "kept"


def test_a_child_that_holds_the_lock_does_not_keep_it_after_its_end(tmp_path: Path) -> None:
    with Home(tmp_path).locked() as lock, Child(["true"], hold=[lock]) as child:
        assert child.wait() == 0
    with Home(tmp_path).locked() as lock:
        assert lock > 0


def test_the_variables_of_an_account_are_published_only_while_it_runs(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with home.locked():
        with pytest.raises(NoAccountError, match=f"the local account is starting or stopping in {tmp_path}"):
            home.running()
        with home.published({"SOURCE_DSN": "a secret"}):
            assert home.running() == {"SOURCE_DSN": "a secret"}
            assert (tmp_path / "environment.json").stat().st_mode & 0o777 == 0o600
        assert not (tmp_path / "environment.json").exists()
    with pytest.raises(NoAccountError, match=f"no local account runs in {tmp_path}: start one with `make dev`"):
        home.running()


def test_the_variables_of_a_killed_account_are_ignored_and_deleted(tmp_path: Path) -> None:
    (tmp_path / "environment.json").write_text('{"SOURCE_DSN": "a secret"}')
    (tmp_path / "lock").write_text("1")
    with pytest.raises(NoAccountError, match="no local account runs"):
        Home(tmp_path).running()
    assert not (tmp_path / "environment.json").exists()
