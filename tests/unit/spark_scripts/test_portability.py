"""The job runs where only EMR's own Python 3.9, pyspark and boto3 are."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import spark_scripts

ALLOWED = {"boto3", "botocore", "py4j", "pyspark", "spark_scripts"}
MODULES = sorted(Path(spark_scripts.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.name))
def test_a_module_of_the_job_is_python_3_9(module: Path) -> None:
    assert ast.parse(module.read_text(encoding="utf-8"), feature_version=(3, 9)).body


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.name))
def test_a_module_of_the_job_imports_only_what_emr_has(module: Path) -> None:
    imported = set(run_time_imports(ast.parse(module.read_text(encoding="utf-8"))))
    assert imported <= ALLOWED | set(sys.stdlib_module_names)


def run_time_imports(node: ast.AST) -> Iterator[str]:
    """The top-level packages that are imported outside `if TYPE_CHECKING`."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name.split(".")[0] for alias in node.names)
    if isinstance(node, ast.ImportFrom) and node.module:
        yield node.module.split(".")[0]
    for child in ast.iter_child_nodes(node):
        yield from run_time_imports(child)
