from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from ingest_assets.aws.content import csv_content
from ingest_assets.checks.results import Evaluated, evaluations, evaluations_of_nothing
from ingest_assets.checks.specs import CHECKS
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.raw_layer import RawLayerResource
from spark_scripts.contract import layout
from spark_scripts.contract.manifest import Column, File
from spark_scripts.contract.months import Month
from tests.unit.ingest_assets.fakes import FakeAws, manifest
from tests.unit.ingest_assets.harness import KEY, Dagster

FOLDER = layout.partition_prefix("mockrecord", Month(2024, 2))


def checked(month: str = "2024-02", **changes: Any) -> dict[str, dg.AssetCheckEvaluation]:
    raw_layer = RawLayerResource(account=AwsAccount(), s3=S3Resource())
    found = evaluations(raw_layer, Evaluated(KEY, month), replace(manifest(month, "n1"), **changes))
    return {evaluation.check_name: evaluation for evaluation in found}


def test_a_month_as_it_should_be_passes_every_check(aws: FakeAws) -> None:
    aws.s3.commit("2024-01", "n0")
    aws.s3.commit("2024-02", "n1")
    found = checked()
    assert tuple(found) == CHECKS
    assert {name for name, evaluation in found.items() if not evaluation.passed} == set()
    assert {evaluation.partition for evaluation in found.values()} == {"2024-02"}
    assert {evaluation.metadata["execution_name"].value for evaluation in found.values()} == {"n1"}


def test_rows_that_the_source_did_not_count_are_an_error(aws: FakeAws) -> None:
    found = checked(rows=9)["rows_match_source"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert found.description == "2024-02: 9 rows written, 10 counted in the source, in snapshot 00000003-0000001B-1."


def test_rows_without_a_common_snapshot_are_a_warning(aws: FakeAws) -> None:
    found = checked(rows=9, snapshot=None)["rows_match_source"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({f"{FOLDER}stray.csv": b"x"}, f"not in the manifest: {FOLDER}stray.csv."),
        ({f"{FOLDER}n1-0.csv": None}, f"missing: {FOLDER}n1-0.csv."),
        ({f"{FOLDER}n1-0.csv": b"cut"}, f"of another size: {FOLDER}n1-0.csv."),
    ],
)
def test_objects_are_those_of_the_manifest(aws: FakeAws, change: dict[str, bytes | None], told: str) -> None:
    aws.s3.commit("2024-02", "n1")
    for key, content in change.items():
        aws.s3.objects.pop(key, None)
        if content is not None:
            aws.s3.objects[key] = content
    found = checked()["objects_match_manifest"]
    assert not found.passed
    assert (found.description or "").startswith(f"2024-02: {told}")


def test_objects_of_an_execution_since_are_held_against_its_manifest(aws: FakeAws) -> None:
    aws.s3.commit("2024-02", "n1")
    aws.s3.commit("2024-02", "n2", rows=4)
    found = checked()["objects_match_manifest"]
    assert (found.passed, found.description) == (True, "2024-02: 1 object, 400 bytes.")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ((Column("id", "bigint"),), "questions_list text[] is new"),
        ((Column("id", "bigint"), Column("questions_list", "text[]"), Column("x", "xml")), "x xml is gone"),
        ((Column("id", "integer"), Column("questions_list", "text[]")), "id was integer, is bigint"),
        ((Column("questions_list", "text[]"), Column("id", "bigint")), "the columns are in another order"),
    ],
)
def test_columns_are_those_of_the_month_before(aws: FakeAws, columns: tuple[Column, ...], told: str) -> None:
    aws.s3.commit("2024-01", "n0", columns=columns)
    found = checked()["columns_unchanged"]
    assert (found.passed, found.description) == (False, f"2024-02: Since 2024-01: {told}.")


def test_a_comment_is_no_change_of_a_column(aws: FakeAws) -> None:
    aws.s3.commit("2023-12", "n0", columns=(Column("id", "bigint", "key"), Column("questions_list", "text[]")))
    assert checked("2024-01")["columns_unchanged"].passed


def test_the_first_month_has_none_before_it(aws: FakeAws) -> None:
    found = checked()["columns_unchanged"]
    told = "2024-02: 2024-01 has not been ingested: nothing to compare with."
    assert (found.passed, found.description) == (True, told)


INT, BIGINT = ((Column("at", "timestamp"), Column("id", kind)) for kind in ("int", "bigint"))


def parquet(aws: FakeAws, month: str, columns: tuple[Column, ...], finished: str = "2026-01-01") -> None:
    aws.s3.commit(month, "n0", format="parquet", file_columns=columns, finished=f"{finished}T00:00:00.000+00:00")


def types_of(month: str) -> dg.AssetCheckEvaluation:
    raw_layer = RawLayerResource(account=AwsAccount(), s3=S3Resource())
    found = raw_layer.current("mockrecord", month)
    assert found
    every = {evaluation.check_name: evaluation for evaluation in evaluations(raw_layer, Evaluated(KEY, month), found)}
    return every["columns_unchanged"]


def test_a_parquet_column_that_was_retyped_fails_whichever_month_was_ingested_again(aws: FakeAws) -> None:
    for month in ("2023-10", "2024-03", "2024-04"):
        parquet(aws, month, INT)
    aws.s3.commit("2023-11", "n0", rows=0, format="parquet")  # a month without rows has no files, and no types
    for month in ("2023-10", "2024-03", "2024-04", "2023-12"):  # the first, one between, the last, a new one
        before = dict(aws.s3.objects)
        parquet(aws, month, BIGINT, finished="2026-02-02")
        found = types_of(month)
        assert not found.passed
        others = [other for other in ("2023-10", "2024-03", "2024-04") if other != month]
        assert (found.description or "").endswith(f"Ingest again {', '.join(others)}.")
        aws.s3.objects = before


def test_a_month_that_is_left_in_the_old_type_is_the_one_to_ingest_again(aws: FakeAws) -> None:
    parquet(aws, "2024-01", BIGINT, finished="2026-02-02")
    parquet(aws, "2024-02", INT)
    parquet(aws, "2024-03", BIGINT, finished="2026-02-02")
    assert types_of("2024-02").description == (
        "2024-02: Spark cannot read the Parquet files of the months as one table: id is bigint in 2 months from 2024-01"
        " to 2024-03, int in 2024-02. Ingest again 2024-02."
    )
    parquet(aws, "2024-02", BIGINT, finished="2026-02-03")
    assert [types_of(month).passed for month in ("2024-01", "2024-02", "2024-03")] == [True, True, True]


def test_a_parquet_column_that_only_some_months_have_is_no_disagreement(aws: FakeAws) -> None:
    parquet(aws, "2024-01", INT)
    parquet(aws, "2024-02", (*INT, Column("at_text", "string")))
    parquet(aws, "2024-03", INT[1:])
    assert [types_of(month).passed for month in ("2024-01", "2024-02", "2024-03")] == [True, True, True]


def results(dagster: Dagster, check: str) -> dict[str, bool]:
    storage = dagster.instance.event_log_storage
    records = storage.get_asset_check_execution_history(dg.AssetCheckKey(KEY, check), limit=100)
    found = [(record.partition, record.evaluation) for record in reversed(records)]
    return {month or "": done.passed for month, done in found if isinstance(done, dg.AssetCheckEvaluation)}


def test_every_month_of_a_run_has_results_of_its_own(aws: FakeAws, dagster: Dagster) -> None:
    aws.step_functions.next.answers = [aws.commits("2024-01", "2024-02")]
    assert dagster.materialize("2024-01", "2024-02").success
    for check in CHECKS:
        assert results(dagster, check) == dict.fromkeys(["2024-01", "2024-02"], True)


def test_a_failed_run_passes_the_committed_months_and_fails_the_others(aws: FakeAws, dagster: Dagster) -> None:
    execution = aws.step_functions.next
    execution.answers, execution.status = [aws.commits("2024-01")], "FAILED"
    assert not dagster.materialize("2024-01", "2024-03").success
    succeeded = {"2024-01": True, "2024-02": False, "2024-03": False}
    assert results(dagster, "execution_succeeded") == succeeded
    assert results(dagster, "rows_match_source") == dict.fromkeys(succeeded, True)


def test_every_result_has_its_month_its_numbers_and_its_execution_as_metadata(aws: FakeAws) -> None:
    aws.s3.commit("2024-02", "n1")
    found = {name: {key: one.value for key, one in done.metadata.items()} for name, done in checked().items()}
    of_all = {"execution_name": "n1", "month": "2024-02"}
    assert found == {
        "execution_succeeded": {**of_all, "rows": 10, "seconds": 2.5},
        "rows_match_source": {**of_all, "rows": 10, "source_rows": 10},
        "objects_match_manifest": {
            **of_all,
            "objects": 1,
            "bytes": 1000,
            "objects_missing": 0,
            "objects_not_in_the_manifest": 0,
            "objects_of_another_size": 0,
        },
        "content_unchanged": of_all,
        "columns_unchanged": {**of_all, "columns": 2},
        "columns_reviewed": {**of_all, "columns_to_review": 0, "columns_still_plain": 0},
        "ingested_in_time": of_all,
    }


def test_a_month_that_was_never_ingested_holds_nothing_but_what_no_manifest_lists(aws: FakeAws) -> None:
    raw_layer = RawLayerResource(account=AwsAccount(), s3=S3Resource())
    evaluated = Evaluated(KEY, "2024-02")
    assert {done.check_name for done in evaluations_of_nothing(raw_layer, evaluated, CHECKS) if done.passed} == {
        *CHECKS
    }
    aws.s3.objects[f"{FOLDER}stray.csv"] = b"x"
    [failed] = [done for done in evaluations_of_nothing(raw_layer, evaluated, CHECKS) if not done.passed]
    assert failed.check_name == "objects_match_manifest"
    assert failed.description == f"2024-02: not in any manifest: {FOLDER}stray.csv. The month has never been ingested."


def test_the_checks_of_a_range_are_of_its_months_only(aws: FakeAws, dagster: Dagster) -> None:
    aws.s3.commit("2024-01", "n1")
    aws.s3.commit("2024-02", "n1")
    assert dagster.check("2024-02").success
    assert results(dagster, "objects_match_manifest") == {"2024-02": True}


def test_a_failure_of_an_execution_stands_until_the_month_is_ingested(aws: FakeAws, dagster: Dagster) -> None:
    aws.s3.commit("2024-01", "n0")
    aws.step_functions.next.status = "FAILED"
    assert not dagster.materialize("2024-01", "2024-02").success
    failed = {"2024-01": False, "2024-02": False}
    assert dagster.check("2024-01", "2024-02").success
    assert results(dagster, "execution_succeeded") == failed
    assert dagster.check().success
    assert results(dagster, "execution_succeeded") == {**failed, "": False}
    now = datetime.now(UTC).isoformat()
    aws.s3.commit("2024-01", "n1", finished=now)  # by an execution that Dagster has not recorded yet
    assert dagster.check("2024-01").success
    assert results(dagster, "execution_succeeded")["2024-01"]


def test_a_result_names_the_newest_materialisation_of_its_month(aws: FakeAws, dagster: Dagster) -> None:
    aws.step_functions.next.answers = [aws.commits("2024-01", "2024-02")]
    assert dagster.materialize("2024-01", "2024-02").success
    assert dagster.check().success
    newest = {}
    for record in dagster.instance.fetch_materializations(KEY, limit=10).records:
        assert record.asset_materialization
        newest[record.asset_materialization.partition] = record.storage_id
    for check in CHECKS:
        records = dagster.instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(KEY, check), limit=10
        )
        targets = [(record.partition, record.evaluation) for record in records]
        assert len(targets) == 5  # two months twice, and all of them once
        for month, done in targets:
            assert done
            assert done.target_materialization_data
            expected = newest[month] if month else max(newest.values())
            assert done.target_materialization_data.storage_id == expected


def test_checks_can_be_made_again_without_ingesting(aws: FakeAws, dagster: Dagster) -> None:
    aws.s3.commit("2024-02", "n1")
    del aws.s3.objects[f"{FOLDER}n1-0.csv"]
    assert dagster.check("2024-02").success
    assert results(dagster, "objects_match_manifest") == {"2024-02": False}
    assert aws.step_functions.started == []
    assert dagster.months() == {}


ROWS = b"at\n2024-02-01\n2024-02-02\n"


def with_content(aws: FakeAws, held: bytes = ROWS) -> None:
    """Commit a month with the digest of ROWS, whose file holds `held`."""
    file = File(f"{FOLDER}n1-0.csv", len(ROWS))
    aws.s3.commit("2024-02", "n1", rows=2, files=(file,), content=str(csv_content([ROWS])))
    aws.s3.objects[file.key] = held


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (ROWS, "2 rows read, as ingested: digest csv:2:"),
        (ROWS[::-1], f"{FOLDER}n1-0.csv is damaged: it ends within a line. Ingest the month again."),
        (ROWS.replace(b"02-02", b"02-03"), "the files hold other rows than were ingested:"),
        (ROWS.replace(b"at", b"as"), "the files hold other columns than were ingested:"),
        (ROWS.replace(b"-01\n", b"-01-"), "the files hold 1 row, 2 were ingested."),
        (ROWS + b"\n", f"{FOLDER}n1-0.csv has 26 bytes, 25 were written."),
    ],
)
def test_execute_checks_reads_the_files_and_compares_their_content(
    aws: FakeAws, dagster: Dagster, held: bytes, told: str
) -> None:
    with_content(aws, held)
    assert dagster.check("2024-02").success
    assert results(dagster, "content_unchanged") == {"2024-02": held == ROWS}
    key = dg.AssetCheckKey(KEY, "content_unchanged")
    [record] = dagster.instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert record.evaluation
    assert told in (record.evaluation.description or "")


def test_a_run_does_not_read_the_files_and_leaves_a_failed_comparison_standing(aws: FakeAws, dagster: Dagster) -> None:
    with_content(aws, ROWS[::-1])
    assert checked_current("content_unchanged").passed
    assert dagster.check("2024-02").success
    aws.step_functions.next.status = "FAILED"
    assert not dagster.materialize("2024-02").success
    assert results(dagster, "content_unchanged") == {"2024-02": False}


def checked_current(check: str) -> dg.AssetCheckEvaluation:
    raw_layer = RawLayerResource(account=AwsAccount(), s3=S3Resource())
    found = raw_layer.current("mockrecord", "2024-02")
    assert found
    [done] = evaluations(raw_layer, Evaluated(KEY, "2024-02"), found, [check])
    return done


def test_a_month_of_a_release_without_digests_passes_and_says_so(aws: FakeAws, dagster: Dagster) -> None:
    aws.s3.commit("2024-02", "n1")
    assert dagster.check("2024-02").success
    assert results(dagster, "content_unchanged") == {"2024-02": True}
    assert checked_current("content_unchanged").description == (
        "2024-02: ingested by an older release, which took no digest: nothing to compare with."
    )


def test_checks_without_a_partition_are_of_all_months_that_there_are(aws: FakeAws, dagster: Dagster) -> None:
    aws.s3.commit("2024-01", "n1")
    aws.s3.commit("2024-02", "n1")
    assert dagster.check().success
    assert results(dagster, "objects_match_manifest") == {"2024-01": True, "2024-02": True, "": True}
    passed = (dg.AssetCheckSeverity.ERROR, "2 months checked, all passed.")
    assert summaries(dagster) == dict.fromkeys(CHECKS, passed)


def summaries(dagster: Dagster) -> dict[str, tuple[dg.AssetCheckSeverity, str | None]]:
    """Severity and text of the result of each check for the asset."""
    found = {}
    for check in CHECKS:
        key = dg.AssetCheckKey(KEY, check)
        for record in dagster.instance.event_log_storage.get_asset_check_execution_history(key, limit=100):
            if record.partition is None and isinstance(record.evaluation, dg.AssetCheckEvaluation):
                found[check] = record.evaluation.severity, record.evaluation.description
    return found
