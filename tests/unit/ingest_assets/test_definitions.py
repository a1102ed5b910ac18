from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
import yaml
from dagster._core.test_utils import freeze_time

from ingest_assets.definitions import build_definitions
from ingest_assets.partitions import monthly_partitions
from ingest_assets.tables import TablesError, TableSpec, load_tables

ROOT = Path(__file__).parents[3]


def spec(**changes: Any) -> TableSpec:
    return TableSpec(**{"table": "public.orders", "date_column": "at", "first_month": "2024-01", **changes})


def test_the_graph_is_this() -> None:
    graph = build_definitions().resolve_asset_graph()
    nodes = {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}
    described = {
        name: (
            sorted(parent.to_user_string() for parent in node.parent_keys),
            sorted(node.kinds),
            node.group_name,
            sorted(node.pools or ()),
            node.partitions_def,
            node.is_external,
        )
        for name, node in nodes.items()
    }
    months = {
        zone: monthly_partitions(spec(first_month="2023-01", timezone=zone)) for zone in ("UTC", "America/Chicago")
    }
    assert described == {
        "postgres/public/mockrecord": ([], ["postgres", "table"], "postgres", [], None, True),
        "postgres/sales/Orders": ([], ["postgres", "table"], "postgres", [], None, True),
        "raw_layer/mockrecord": (
            ["postgres/public/mockrecord"], ["csv", "pyspark", "s3"],
            "raw_layer", ["raw_layer_mockrecord"], months["UTC"], False,
        ),
        "raw_layer/orders": (
            ["postgres/sales/Orders"], ["parquet", "pyspark", "s3"],
            "raw_layer", ["raw_layer_orders"], months["America/Chicago"], False,
        ),
        "summary/mockrecord": (["raw_layer/mockrecord"], ["duckdb"], "summary", [], months["UTC"], False),
    }  # fmt: skip


def test_every_row_has_an_asset_of_its_own() -> None:
    keys = [key for asset in build_definitions().resolve_all_asset_specs() for key in [asset.key.to_user_string()]]
    assert sorted(key for key in keys if key.startswith("raw_layer/")) == [
        f"raw_layer/{table.name}" for table in load_tables()
    ]
    assert len(keys) == len(set(keys))


def test_a_range_of_months_is_one_run() -> None:
    graph = build_definitions().resolve_asset_graph()
    policy = graph.get(dg.AssetKey(["raw_layer", "mockrecord"])).backfill_policy
    assert policy == dg.BackfillPolicy.single_run()


def test_two_rows_of_one_table_share_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tables.yaml"
    entry = "{table: public.orders, date_column: at, first_month: 2024-01"
    path.write_text(f"- {entry}}}\n- {entry}, name: copy, format: parquet, owners: [me@example.com]}}")
    monkeypatch.setenv("INGEST_TABLES", str(path))
    specs = {asset.key.to_user_string(): asset for asset in build_definitions().resolve_all_asset_specs()}
    assert sorted(specs) == ["postgres/public/orders", "raw_layer/copy", "raw_layer/orders"]
    assert specs["raw_layer/copy"].owners == ["me@example.com"]


def test_a_source_with_any_name_makes_an_asset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tables.yaml"
    row = "- {name: %s, table: '%s', date_column: at, first_month: 2024-01}"
    path.write_text("\n".join([row % ("one", '"we""ird"."t.a"'), row % ("two", '"we ird"."t.a"')]))
    monkeypatch.setenv("INGEST_TABLES", str(path))
    specs = {asset.key.to_user_string(): asset for asset in build_definitions().resolve_all_asset_specs()}
    sources = sorted(key for key in specs if key.startswith("postgres/"))
    assert len(sources) == 2
    assert re.fullmatch(r"postgres/we_ird_[0-9a-f]{6}/t_a_[0-9a-f]{6}", sources[0])
    assert {specs[key].metadata["dagster/table_name"] for key in sources} == {'we"ird.t.a', "we ird.t.a"}


def test_a_bad_table_keeps_the_code_location_from_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tables.yaml"
    path.write_text("- {table: public.orders}")
    monkeypatch.setenv("INGEST_TABLES", str(path))
    with pytest.raises(TablesError, match="date_column: the key is missing"):
        build_definitions()


def test_months_run_from_the_first_to_the_running_one() -> None:
    with freeze_time(datetime(2024, 3, 1, 0, 0, tzinfo=ZoneInfo("UTC"))):
        assert monthly_partitions(spec()).get_partition_keys() == ["2024-01", "2024-02", "2024-03"]


def test_months_begin_in_the_zone_of_the_table() -> None:
    chicago = spec(timezone="America/Chicago")
    with freeze_time(datetime(2024, 3, 1, 5, 59, tzinfo=ZoneInfo("UTC"))):
        assert monthly_partitions(chicago).get_partition_keys() == ["2024-01", "2024-02"]
    with freeze_time(datetime(2024, 3, 1, 6, 0, tzinfo=ZoneInfo("UTC"))):
        assert monthly_partitions(chicago).get_partition_keys() == ["2024-01", "2024-02", "2024-03"]


def test_the_instance_retries_dead_workers_only_and_writes_a_table_once_at_a_time(tmp_path: Path) -> None:
    settings = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_retries_enabled
        assert not instance.run_retries_retry_on_asset_or_op_failure
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_resume_run_attempts == 0
        assert instance.global_op_concurrency_default_limit == 1
        assert not instance.telemetry_enabled


def test_the_workspace_loads_this_code_location() -> None:
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    assert workspace == {
        "load_from": [{"python_module": {"module_name": "ingest_assets.definitions", "working_directory": "."}}]
    }
    assert "[tool.dagster]" not in (ROOT / "pyproject.toml").read_text()


def test_loading_needs_neither_network_nor_credentials_nor_a_home() -> None:
    code = (
        "import socket\n"
        "def refuse(*_): raise AssertionError('the network was used')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "import ingest_assets.definitions as location\n"
        "print(len(location.defs.resolve_all_asset_specs()))"
    )
    bare = {"PATH": "", "HOME": "/nonexistent"}
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, check=False, cwd=ROOT, env=bare, capture_output=True, text=True)
    assert (loaded.returncode, loaded.stdout.strip()) == (0, "5"), loaded.stderr
