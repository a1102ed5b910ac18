"""Which private and preview parts of Dagster the product uses, and that one module alone imports them."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage import tags
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from ingest_assets import _compat
from ingest_assets._compat import AssetJob, CheckTarget, check_output, output_without_event, previews
from ingest_assets.checks.specs import CHECKS
from ingest_assets.definitions import build_definitions
from tests.unit.ingest_assets.harness import KEY

PACKAGE = Path(_compat.__file__).parent
PRODUCT = [PACKAGE.parent / name for name in ("aws_setup", "ingest_assets", "spark_scripts")]


def private_imports(path: Path) -> set[str]:
    """The private modules and names of Dagster that a file imports; dagster_shared documents nothing."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in imported if name.startswith("dagster") and ("._" in name or "shared" in name)}


def test_one_module_imports_what_is_private() -> None:
    paths = [path for package in PRODUCT for path in package.rglob("*.py")]
    assert [path.relative_to(PACKAGE).as_posix() for path in paths if private_imports(path)] == ["_compat.py"]


def test_every_private_import_says_what_would_end_it() -> None:
    blocks = (PACKAGE / "_compat.py").read_text().partition("__all__")[0].split("\n\n")
    private = [block for block in blocks if "from dagster._" in block or "from dagster_shared" in block]
    assert private
    assert [block for block in private if not re.match(r"#.*\bEnds? (when|with)\b", block, re.DOTALL)] == []


def test_every_name_is_used() -> None:
    code = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "_compat.py")
    inside = inspect.getsource(AssetJob)
    assert [name for name in _compat.__all__ if name not in code and name not in inside] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ASSET_PARTITION_RANGE_START_TAG", "dagster/asset_partition_range_start"),
        ("ASSET_PARTITION_RANGE_END_TAG", "dagster/asset_partition_range_end"),
        ("AUTO_RETRY_RUN_ID_TAG", "dagster/auto_retry_run_id"),
        ("PARTITION_NAME_TAG", "dagster/partition"),
        ("RETRY_NUMBER_TAG", "dagster/retry_number"),
        ("RETRY_ON_ASSET_OR_OP_FAILURE_TAG", "dagster/retry_on_asset_or_op_failure"),
        ("SENSOR_NAME_TAG", "dagster/sensor_name"),
        ("WILL_RETRY_TAG", "dagster/will_retry"),
    ],
)
def test_a_tag_of_runs_has_the_name_that_histories_hold(name: str, value: str) -> None:
    assert getattr(_compat, name) == getattr(tags, name) == value


def test_a_run_that_is_terminated_raises_what_no_handler_of_exceptions_catches() -> None:
    assert issubclass(_compat.RunTerminatedError, BaseException)
    assert not issubclass(_compat.RunTerminatedError, Exception)


def test_a_result_takes_its_month_and_its_target() -> None:
    target = CheckTarget(storage_id=7, run_id="r", timestamp=1.0)
    done = dg.AssetCheckEvaluation(
        asset_key=KEY, check_name="c", passed=True, partition="2024-02", target_materialization_data=target
    )
    assert (done.partition, done.target_materialization_data) == ("2024-02", target)


def test_checks_take_partitions_as_a_preview() -> None:
    months = dg.MonthlyPartitionsDefinition("2024-01-01")
    with pytest.warns(dg.PreviewWarning):
        dg.AssetCheckSpec("c", asset=KEY, partitions_def=months)
    with previews():  # pytest fails the test on a warning that this lets through
        assert dg.AssetCheckSpec("c", asset=KEY, partitions_def=months).partitions_def == months


def test_the_output_of_a_check_has_the_name_that_dagster_gave_it() -> None:
    asset = build_definitions().resolve_assets_def(KEY)
    names = {check_output(spec).output_name for spec in asset.check_specs if spec.name in CHECKS}
    assert len(names) == len(CHECKS)
    assert names <= {output.name for output in asset.op.output_defs}


def test_the_job_of_an_asset_has_one_step_and_the_checks_of_a_month() -> None:
    job = AssetJob.of(build_definitions().get_repository_def(), None, KEY, CHECKS)
    assert job.step == "raw_layer__mockrecord"
    assert job.plan.asset_check_keys == {dg.AssetCheckKey(KEY, check) for check in CHECKS}


def test_an_output_without_event_materialises_nothing_and_lets_the_assets_downstream_run() -> None:
    months = dg.MonthlyPartitionsDefinition("2024-01", fmt="%Y-%m", end_date="2024-04")
    ran = []

    @dg.multi_asset(specs=[dg.AssetSpec(KEY, partitions_def=months)], can_subset=True)
    def upstream() -> Iterator[dg.Output[None]]:
        dg.AssetExecutionContext.get().log_event(dg.AssetMaterialization(KEY, partition="2024-02"))
        yield output_without_event(KEY)

    @dg.asset(partitions_def=months, deps=[KEY])
    def downstream() -> None:
        ran.append(dg.AssetExecutionContext.get().partition_keys)

    tags = {"dagster/asset_partition_range_start": "2024-01", "dagster/asset_partition_range_end": "2024-03"}
    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize([upstream, downstream], instance=instance, tags=tags).success
        records = instance.fetch_materializations(KEY, limit=10).records
    assert [record.partition_key for record in records] == ["2024-02"]
    assert ran == [["2024-01", "2024-02", "2024-03"]]


def test_without_the_output_dagster_would_skip_the_assets_downstream_of_a_green_step() -> None:
    """What `output_without_event` is for: when this fails, an output that is left out may do."""

    @dg.multi_asset(specs=[dg.AssetSpec(KEY, skippable=True)], can_subset=True)
    def upstream() -> Iterator[dg.Output[None]]:
        yield from ()

    @dg.asset(deps=[KEY])
    def downstream() -> None:
        raise AssertionError

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([upstream, downstream], instance=instance)
    assert result.success
    assert [event.step_key for event in result.all_events if event.event_type_value == "STEP_SKIPPED"] == ["downstream"]


def test_a_range_of_partitions_that_failed_stays_failed_until_each_is_materialised() -> None:
    """Why a refresh of every month is a run without partitions: when this fails, it may have them."""
    months = dg.MonthlyPartitionsDefinition("2024-01", fmt="%Y-%m", end_date="2024-04")
    fails = [True]

    @dg.multi_asset(specs=[dg.AssetSpec(KEY, partitions_def=months)], can_subset=True)
    def step() -> Iterator[dg.Output[None]]:
        if fails:
            raise dg.Failure("no")
        yield output_without_event(KEY)

    tags = {"dagster/asset_partition_range_start": "2024-01", "dagster/asset_partition_range_end": "2024-03"}
    with dg.DagsterInstance.ephemeral() as instance:

        def failed() -> int:
            cached = get_and_update_asset_status_cache_value(instance, KEY, months)
            assert cached
            return len(cached.deserialize_failed_partition_subsets(months))

        assert not dg.materialize([step], instance=instance, tags=tags, raise_on_error=False).success
        assert failed() == 3
        fails.clear()
        assert dg.materialize([step], instance=instance, tags=tags).success
        assert failed() == 3
