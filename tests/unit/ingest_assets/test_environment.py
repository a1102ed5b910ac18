from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ingest_assets import environment

ROOT = Path(environment.__file__).parents[1]
NAMES = {value for name, value in vars(environment).items() if name.isupper()}


def literals(path: Path) -> set[str]:
    """The text of every string in a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_one_module_names_the_project_s_variables() -> None:
    own = {name for name in NAMES if name.startswith("INGEST_")}
    modules = [path for package in ("ingest_assets", "aws_setup") for path in (ROOT / package).rglob("*.py")]
    naming = {path.relative_to(ROOT).as_posix() for path in modules if literals(path) & own}
    assert naming == {"ingest_assets/environment.py"}


def test_no_other_module_of_dagster_s_reads_the_environment() -> None:
    reading = [path.name for path in (ROOT / "ingest_assets").rglob("*.py") if "os.environ" in path.read_text()]
    assert reading == ["environment.py"]


def test_every_variable_of_the_project_is_documented() -> None:
    text = "".join(path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    assert {name for name in NAMES if name.startswith("INGEST_") and name not in text} == set()


def test_an_empty_variable_is_as_one_that_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INGEST_STACK", raising=False)
    assert environment.read(environment.STACK) is None
    monkeypatch.setenv("INGEST_STACK", "")
    assert environment.read(environment.STACK) is None
    monkeypatch.setenv("INGEST_STACK", "mine")
    assert environment.read(environment.STACK) == "mine"
