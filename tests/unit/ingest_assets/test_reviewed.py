"""The check `columns_reviewed`, and what the pages of Dagster say of treated columns."""

from __future__ import annotations

from dataclasses import replace

import dagster as dg
from dagster_aws.s3 import S3Resource

from ingest_assets.checks.results import Evaluated, evaluations
from ingest_assets.checks.specs import COLUMNS_REVIEWED, COLUMNS_UNCHANGED
from ingest_assets.metadata import column_schema, month_metadata, source_schema
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.raw_layer import RawLayerResource
from ingest_assets.tables import TableSpec
from spark_scripts.contract.manifest import Column, Manifest
from tests.unit.ingest_assets.fakes import FakeAws, manifest
from tests.unit.ingest_assets.harness import KEY

HASHED = "hashed with HMAC-SHA-256, pepper 3f2a"
PEOPLE = (
    Column("at", "date"),
    Column("email", "text", "where we write to", HASHED, "character varying(80)"),
    Column("phone", "text"),
    Column("api_key", "text"),
)


def result(check: str, found: tuple[Column, ...], **entry: object) -> dg.AssetCheckEvaluation:
    """The result for a month with these columns, under an entry of tables.yaml."""
    given = {"table": "public.mockrecord", "date_column": "at", "first_month": "2023-01", **entry}
    evaluated = Evaluated(KEY, "2024-02", table=TableSpec.model_validate(given))
    raw_layer = RawLayerResource(account=AwsAccount(), s3=S3Resource())
    [done] = evaluations(raw_layer, evaluated, of(found), [check])
    return done


def of(columns: tuple[Column, ...]) -> Manifest:
    return replace(manifest("2024-02", "n1"), columns=columns)


def test_columns_that_look_like_personal_data_are_a_warning_with_lines_to_paste(aws: FakeAws) -> None:
    found = result(COLUMNS_REVIEWED, PEOPLE)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == (
        "2024-02: These columns look like personal data, and the entry of mockrecord in tables.yaml does not name them:"
        " phone (telephone number), api_key (password or token). Write there what is to happen to each, such as\n"
        "  columns:\n    phone: {hash: true}\n    api_key: {drop: true}\n"
        "or {keep: true}, where everybody who reads the lake may see the values."
    )
    assert found.metadata["columns_to_review"].value == 2


def test_a_column_that_the_entry_names_has_been_reviewed(aws: FakeAws) -> None:
    kept = {"phone": {"keep": True}, "api_key": {"keep": True}}
    assert result(COLUMNS_REVIEWED, PEOPLE, columns=kept).passed
    assert result(COLUMNS_REVIEWED, PEOPLE, only=["at", "phone", "api_key"]).passed


def test_a_month_from_before_the_entry_hid_a_column_still_has_its_plain_values(aws: FakeAws) -> None:
    found = result(COLUMNS_REVIEWED, PEOPLE, columns={"phone": {"mask": {"last": 4}}, "api_key": {"drop": True}})
    assert (found.passed, found.description) == (
        False,
        "2024-02: The month was ingested before tables.yaml hid phone, api_key, and holds the plain values: ingest it"
        " again.",
    )


def test_a_column_that_only_leaves_out_is_plain_in_a_month_from_before(aws: FakeAws) -> None:
    found = result(COLUMNS_REVIEWED, PEOPLE, only=["at", "phone"])
    assert not found.passed
    assert "before tables.yaml hid api_key, and holds" in str(found.description)


def test_another_pepper_is_a_change_of_the_column(aws: FakeAws) -> None:
    aws.s3.commit("2024-01", "n0", columns=PEOPLE)
    rotated = tuple(replace(each, treatment=each.treatment and f"{HASHED}0") for each in PEOPLE)
    assert result(COLUMNS_UNCHANGED, rotated).description == (
        f"2024-02: Since 2024-01: email was text ({HASHED}), is text ({HASHED}0)."
    )


def test_dagster_shows_what_was_done_to_a_column_and_which_columns_stayed(aws: FakeAws) -> None:
    month = replace(of(PEOPLE), left_out=("ssn", "iban"))
    [_, email, *_] = column_schema(month).columns
    assert (email.type, email.constraints.other) == ("text", [HASHED])
    assert email.description == f"where we write to (character varying(80) in the source, {HASHED})"
    [_, email, *_] = source_schema(month).columns
    assert (email.type, email.description) == ("character varying(80)", "where we write to")
    arn = "arn:aws:states:us-east-1:123456789012:execution:m:n1"
    metadata = month_metadata(month, bucket="lake", execution_arn=arn, job_run=None)
    assert metadata["columns_left_out"].value == "ssn, iban"
    assert "columns_left_out" not in month_metadata(of(PEOPLE), bucket="lake", execution_arn=arn, job_run=None)
