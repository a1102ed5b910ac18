"""`dg`, which supersedes Dagster's own commands, and these, which go on working."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT

DG = '\n[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "ingest_assets"\n'
DG += 'code_location_target_module = "ingest_assets.definitions"\n'


def run(program: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A program of this environment, as `make` runs it."""
    environ = {name: value for name, value in os.environ.items() if name not in ("DAGSTER_HOME", "VIRTUAL_ENV")}
    environ |= {"PYTHONPATH": f"{cwd}:{ROOT}", "DO_NOT_TRACK": "1"}
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=120)


def test_dg_loads_the_definitions_without_a_warning() -> None:
    listed = run("dg", "list", "defs", "--json")
    assert listed.returncode == 0, listed.stderr
    keys = [asset.get("asset_key") or asset.get("key") for asset in json.loads(listed.stdout)["assets"]]
    assert {"raw_layer/mockrecord", "raw_layer/orders", "postgres/public/mockrecord"} <= set(keys)
    assert "warning" not in listed.stderr.lower()


def test_dg_checks_the_definitions_without_a_warning() -> None:
    checked = run("dg", "check", "defs")
    told = f"{checked.stdout}{checked.stderr}"
    assert checked.returncode == 0, told
    assert "All definitions loaded successfully" in told
    assert "supersed" not in told.lower()
    assert "warning" not in told.lower()


@pytest.mark.parametrize(("block", "location"), [("", "elsewhere"), (DG, "ingest_assets.definitions")])
def test_dagster_reads_workspace_yaml_which_a_block_in_pyproject_toml_would_hide(
    block: str, location: str, tmp_path: Path
) -> None:
    """Why dg is configured in dg.toml."""
    shutil.copy(ROOT / "dg.toml", tmp_path)
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text() + block)
    (tmp_path / "workspace.yaml").write_text("load_from: [{python_module: {module_name: elsewhere}}]")
    (tmp_path / "elsewhere.py").write_text("import dagster as dg\ndefs = dg.Definitions()")
    validated = run("dagster", "definitions", "validate", cwd=tmp_path)
    assert validated.returncode == 0, validated.stderr
    assert f"Validation successful for code location {location}" in f"{validated.stdout}{validated.stderr}"
