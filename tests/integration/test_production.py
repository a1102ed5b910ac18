"""The production instance of docs/production opens, with its PostgreSQL, and the image holds what it needs."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster_aws.ecs import EcsRunLauncher
from dagster_aws.s3 import S3ComputeLogManager
from dagster_postgres import DagsterPostgresStorage
from psycopg.conninfo import conninfo_to_dict

from aws_setup.local.services.postgres import OWNER, Postgres

ROOT = Path(__file__).parents[2]
INSTANCE = ROOT / "docs" / "production" / "dagster.yaml"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """The production instance over a PostgreSQL of its own."""
    home = tmp_path_factory.mktemp("production")
    (home / "dagster.yaml").write_bytes(INSTANCE.read_bytes())
    with Postgres(home / "postgres", home / "log") as server, pytest.MonkeyPatch.context() as patch:
        connection = conninfo_to_dict(server.dsn(OWNER))
        text = (home / "dagster.yaml").read_text(encoding="utf-8").replace("port: 5432", f"port: {connection['port']}")
        (home / "dagster.yaml").write_text(text, encoding="utf-8")
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nothing is asked of AWS when an instance opens
        patch.setenv("DAGSTER_POSTGRES_HOST", str(connection["host"]))
        patch.setenv("DAGSTER_POSTGRES_USER", str(connection["user"]))
        patch.setenv("DAGSTER_POSTGRES_PASSWORD", str(connection["password"]))
        patch.setenv("DAGSTER_POSTGRES_DB", str(connection["dbname"]))
        patch.setenv("DAGSTER_LOG_BUCKET", "logs")
        with dg.DagsterInstance.from_config(str(home)) as opened:
            yield opened


def test_the_instance_keeps_its_runs_in_postgresql(instance: dg.DagsterInstance) -> None:
    assert isinstance(instance.get_ref().storage, DagsterPostgresStorage)
    run = instance.create_run_for_job(_job)
    assert instance.get_run_by_id(run.run_id) is not None


@dg.job(name="nothing")
def _job() -> None: ...


def test_runs_are_ecs_tasks_and_what_they_print_is_in_s3(instance: dg.DagsterInstance) -> None:
    assert isinstance(instance.run_launcher, EcsRunLauncher)
    assert isinstance(instance.compute_log_manager, S3ComputeLogManager)


def test_the_settings_of_the_laptop_hold_in_production_too() -> None:
    laptop, production = (yaml.safe_load(path.read_text()) for path in (ROOT / "dagster.yaml", INSTANCE))
    assert within(laptop, production)


def within(settings: Any, whole: Any) -> bool:
    """Whether `whole` has all the settings, and perhaps more."""
    if isinstance(settings, dict):
        return isinstance(whole, dict) and all(within(value, whole.get(key)) for key, value in settings.items())
    return bool(settings == whole)


def instructions(name: str) -> list[list[str]]:
    """The words of each instruction of that name, continued lines as one."""
    lines = DOCKERFILE.replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith(f"{name} ")]


def test_the_image_copies_what_exists_and_what_its_build_may_see() -> None:
    seen = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [source for *sources, _ in instructions("COPY") for source in sources]
    assert set(copied) == seen
    assert all((ROOT / source).exists() for source in copied)


def test_the_image_is_installed_by_make_and_does_not_run_as_root() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [words[1] for words in instructions("RUN") if words[0] == "make"]
    assert targets == ["production"]
    assert re.search(r"^production: .*## ", makefile, re.MULTILINE)
    assert instructions("USER")[-1] == ["dagster"]


def test_the_image_needs_nothing_of_the_local_account() -> None:
    assert "aws_setup/local" in (ROOT / ".dockerignore").read_text().splitlines()
