"""What the README names exists."""

import re
from pathlib import Path

import pytest

from aws_setup import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TARGETS = sorted(set(re.findall(r"\bmake ([a-z]+)\b", README)))
COMMANDS = sorted(set(re.findall(r"python -m aws_setup ([a-z]+)", README)))
PATHS = sorted(set(re.findall(r"\((docs/[^)]+)\)|`((?:ingest_assets|spark_scripts|aws_setup|tests)/[^`*<]*)`", README)))


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_of_the_readme_is_in_the_makefile(target: str) -> None:
    assert re.search(rf"^{target}:.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert command in capsys.readouterr().out


@pytest.mark.parametrize("path", ["".join(found) for found in PATHS])
def test_a_path_of_the_readme_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_readme_names_targets_commands_and_paths() -> None:
    assert {"demo", "dev", "test"} <= set(TARGETS)
    assert {"deploy", "local", "trigger"} <= set(COMMANDS)
    assert len(PATHS) > 5
