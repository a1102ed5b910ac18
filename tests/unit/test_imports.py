"""Which way imports run between the folders of the product; see docs/architecture.md."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("spark_scripts", "ingest_assets", "aws_setup")

EXCEPTIONS = {
    ("aws_setup.job_bundle.artifacts", "spark_scripts"),  # where the package is, to send it
    ("aws_setup.local.class_archive", "spark_scripts.lake.spark_io"),  # runs the job's own classes once
}
"""Module → import that its folder may not have otherwise."""

ALLOWED: dict[str, set[str]] = {
    "spark_scripts.contract": set(),
    "spark_scripts.driver": {"spark_scripts.contract"},
    "spark_scripts.postgres": {"spark_scripts.contract", "spark_scripts.driver"},
    "spark_scripts.locking": {"spark_scripts.contract", "spark_scripts.driver", "spark_scripts.postgres"},
    "spark_scripts.lake": {
        "spark_scripts.contract",
        "spark_scripts.driver",
        "spark_scripts.postgres",
        "spark_scripts.locking",
    },
    "spark_scripts.glue": {"spark_scripts.contract"},
    "spark_scripts.ingestion": {
        "spark_scripts.contract",
        "spark_scripts.driver",
        "spark_scripts.postgres",
        "spark_scripts.locking",
        "spark_scripts.lake",
        "spark_scripts.glue",
    },
    "spark_scripts": {"spark_scripts"},
    "ingest_assets.environment": set(),
    "ingest_assets.aws": {"ingest_assets.environment", "spark_scripts.contract"},
    "ingest_assets.reading": {"ingest_assets.aws", "spark_scripts.contract"},
    "ingest_assets.read": {"ingest_assets.aws", "ingest_assets.reading", "spark_scripts.contract"},
    "ingest_assets.resources": {"ingest_assets.aws", "spark_scripts.contract"},
    "ingest_assets.workflow": {
        "ingest_assets._compat",
        "ingest_assets.aws",
        "ingest_assets.metadata",
        "ingest_assets.resources",
        "ingest_assets.tables",
        "spark_scripts.contract",
    },
    "ingest_assets.checks": {
        "ingest_assets._compat",
        "ingest_assets.aws",
        "ingest_assets.metadata",
        "ingest_assets.partitions",
        "ingest_assets.tables",
        "spark_scripts.contract",
    },
    "ingest_assets.lineage": {
        "ingest_assets._compat",
        "ingest_assets.asset_keys",
        "ingest_assets.aws",
        "ingest_assets.checks",
        "ingest_assets.metadata",
        "ingest_assets.partitions",
        "ingest_assets.resources",
        "ingest_assets.tables",
        "spark_scripts.contract",
    },
    "ingest_assets.sensors": {
        "ingest_assets._compat",
        "ingest_assets.asset_keys",
        "ingest_assets.automation",
        "ingest_assets.aws",
        "ingest_assets.checks",
        "ingest_assets.lineage",
        "ingest_assets.metadata",
        "ingest_assets.resources",
        "ingest_assets.tables",
        "spark_scripts.contract",
    },
    "ingest_assets": {"ingest_assets", "spark_scripts.contract"},
    "aws_setup.job_bundle": {
        "aws_setup.errors",
        "ingest_assets.environment",
        "ingest_assets.tables",
        "spark_scripts.contract",
    },
    "aws_setup.cloudformation": {
        "aws_setup.errors",
        "ingest_assets.aws",
        "ingest_assets.strict_yaml",
        "spark_scripts.contract",
    },
    "aws_setup.checks": {"aws_setup.cloudformation", "ingest_assets.aws", "spark_scripts.contract"},
    "aws_setup.onboarding": {
        "aws_setup.errors",
        "ingest_assets.tables",
        "spark_scripts.contract",
        "spark_scripts.postgres",  # it says what the job will do, by the job's own rules
    },
    "aws_setup.commands": {
        "aws_setup.errors",
        "aws_setup.source_database",
        "aws_setup.onboarding",
        "aws_setup.checks",
        "aws_setup.cloudformation",
        "aws_setup.job_bundle",
        "ingest_assets.environment",
        "ingest_assets.aws",
        "ingest_assets.tables",
        "spark_scripts.contract",
    },
    "aws_setup.local.processes": set(),
    "aws_setup.local.services": {
        "aws_setup.local.errors",
        "aws_setup.local.processes",
        "ingest_assets.aws.waiting",
    },
    "aws_setup.local.emulator.core": set(),
    "aws_setup.local.emulator.s3": {"aws_setup.local.emulator.core"},
    "aws_setup.local.emulator.cloudformation": {"aws_setup.local.emulator.core"},
    "aws_setup.local.emulator.emrserverless": {"aws_setup.local.emulator.core"},
    "aws_setup.local.emulator.events": {"aws_setup.local.emulator.core"},
    "aws_setup.local.emulator.stepfunctions": {"aws_setup.local.emulator.core"},
    "aws_setup.local.emulator.spark": {"aws_setup.local.emulator.emrserverless", "aws_setup.local.processes"},
    "aws_setup.local.emulator": {"aws_setup.local.emulator"},
    "aws_setup.local": {
        "aws_setup",
        "ingest_assets.environment",
        "ingest_assets.aws",
        "ingest_assets.tables",
        "spark_scripts.contract",
    },
    "aws_setup": {"aws_setup", "ingest_assets.environment", "ingest_assets.aws", "spark_scripts.contract"},
}
"""Folder → what its modules may import of the product besides each other. The longest name that fits counts."""


@cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    return tuple(
        (
            ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"),
            ast.parse(path.read_text(encoding="utf-8")),
        )
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    )


def imports(tree: ast.Module) -> Iterator[str]:
    """The modules of the product that a module imports, those for type checkers among them."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name for name in names if name.split(".")[0] in PACKAGES)


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def room(name: str) -> str:
    return max((folder for folder in ALLOWED if inside(name, folder)), key=len, default="")


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_only_what_is_below_it(folder: str) -> None:
    own = [(name, tree) for name, tree in modules() if room(name) == folder]
    assert own
    wrong = [
        f"{name} imports {imported}"
        for name, tree in own
        for imported in imports(tree)
        if not any(inside(imported, allowed) for allowed in {folder, *ALLOWED[folder]})
        and (name, imported) not in EXCEPTIONS
    ]
    assert wrong == []


def test_nothing_outside_the_local_account_imports_it_but_the_command_line() -> None:
    importers = {
        name
        for name, tree in modules()
        for imported in imports(tree)
        if inside(imported, "aws_setup.local") and not inside(name, "aws_setup.local")
    }
    assert importers == {"aws_setup.cli"}


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("spark_scripts.contract", {"pyspark", "py4j", "boto3", "botocore", "dagster", "pydantic", "yaml"}),
        ("ingest_assets.aws", {"pyspark", "py4j", "dagster"}),
        ("ingest_assets.read", {"pyspark", "py4j", "dagster", "duckdb", "pandas", "polars"}),
    ],
)
def test_a_package_can_be_imported_without_what_it_does_not_need(package: str, forbidden: set[str]) -> None:
    names = [name for name, _ in modules() if inside(name, package)]
    program = (
        f"import importlib, sys\nsys.modules.update(dict.fromkeys({sorted(forbidden)!r}))\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, timeout=60)
