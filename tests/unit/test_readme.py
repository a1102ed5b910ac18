"""What the README and the way to production name exists, and the figures in them are so."""

import math
import re
from pathlib import Path

import pytest

from aws_setup import cli
from aws_setup.cloudformation import parameters, template
from ingest_assets.aws.cost import LIST_PRICES, Usage

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PRODUCTION = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")
TARGETS = sorted(set(re.findall(r"\bmake ([a-z]+)\b", README + "".join(re.findall(r"`[^`]+`", PRODUCTION)))))
COMMANDS = sorted(set(re.findall(r"python -m aws_setup ([a-z]+)", README + PRODUCTION)))
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


def test_every_parameter_of_the_template_is_told_on_the_way_to_production() -> None:
    told = set(re.findall(r"`([A-Z][A-Za-z]+)`", PRODUCTION))
    set_by_deploy = {"NameSuffix", "ScriptPrefix", "DriverKey"}
    assert template.parameters().keys() - set_by_deploy - told == set()


def test_the_example_of_an_environment_is_one_that_deploy_takes() -> None:
    given = parameters.from_file(ROOT / "docs" / "production" / "prod.yaml")
    parameters.check(given)
    assert given["SubnetIds"].count(",") == 1


def test_the_figures_of_the_cost_are_those_of_the_prices() -> None:
    defaults = {name: str(about.get("Default")) for name, about in template.parameters().items()}
    workers = 1 + int(defaults["MaximumExecutors"])
    gb = math.ceil(int(defaults["DriverMemory"].removesuffix("g")) * 1.1)  # with Spark's overhead, in whole GB
    hourly = Usage(int(defaults["DriverCores"]), gb).usd(LIST_PRICES)
    execution = workers * hourly * 10 / 60
    assert f"{workers} workers of {defaults['DriverCores']} vCPU and {gb} GB, 10 minutes: ${execution:.2f}" in README
    assert f"2 of them: ${2 * execution:.2f}" in README
    assert f"no start to wait for | ${730 * 2 * hourly:.2f}" in README
    assert README.count(f"${LIST_PRICES.vcpu_hour} per vCPU") == 1
    assert README.count(f"${LIST_PRICES.gb_hour} per GB") == 1
