"""The metadata of a month's materialisation, from its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg

from ingest_assets.aws import console_links
from ingest_assets.aws.job_runs import ExecutionJob
from ingest_assets.tables import TableSpec
from ingest_assets.versions import version_tags
from spark_scripts.contract import layout
from spark_scripts.contract.manifest import Column, Manifest
from spark_scripts.contract.months import Month

Metadata = Mapping[str, dg.MetadataValue]

EXECUTION_NAME = "execution_name"
"""The metadata entry of every event that says which execution the event is about."""

EXECUTION_TAG = "ingest/execution"
"""The tag of a run and of a materialisation that holds the name of the execution."""


@dataclass(frozen=True)
class IngestedMonth:
    """A month that an execution committed, with the metadata of its materialisation."""

    manifest: Manifest
    metadata: Metadata

    def tags(self, table: TableSpec) -> dict[str, str]:
        """The tags of the materialisation of a month of the table."""
        return {EXECUTION_TAG: self.manifest.execution, **version_tags(self.manifest, table)}


def month_metadata(manifest: Manifest, *, bucket: str, execution_arn: str, job_run: ExecutionJob | None) -> Metadata:
    """The metadata of a manifest's month. Dagster plots numbers, and not texts."""
    prefix = layout.partition_prefix(manifest.table, Month.parse(manifest.month))
    texts = {
        "min_date": manifest.min_date,
        "max_date": manifest.max_date,
        "snapshot": manifest.snapshot,
        "columns_left_out": ", ".join(manifest.left_out) or None,
    }
    return {
        "dagster/partition_row_count": dg.MetadataValue.int(manifest.rows),
        "dagster/size_bytes": dg.MetadataValue.int(manifest.bytes),
        "dagster/uri": dg.MetadataValue.text(f"s3://{bucket}/{prefix}"),
        "dagster/column_schema": dg.MetadataValue.table_schema(column_schema(manifest)),
        "source_rows": dg.MetadataValue.int(manifest.source_rows),
        "undated_rows": dg.MetadataValue.int(manifest.undated_rows),
        "files": dg.MetadataValue.int(len(manifest.files)),
        "seconds": dg.MetadataValue.float(float(manifest.seconds)),
        **{key: dg.MetadataValue.text(text) for key, text in texts.items() if text is not None},
        "folder": dg.MetadataValue.url(console_links.folder_url(execution_arn, bucket, prefix)),
        **execution_metadata(execution_arn, bucket=bucket, job_run=job_run),
    }


def execution_metadata(execution_arn: str, *, bucket: str, job_run: ExecutionJob | None) -> Metadata:
    """Names of execution and job run, with links to their pages."""
    metadata: dict[str, dg.MetadataValue] = {
        EXECUTION_NAME: dg.MetadataValue.text(execution_arn.rpartition(":")[2]),
        "execution": dg.MetadataValue.url(console_links.execution_url(execution_arn)),
    }
    if job_run and job_run.job_run_id:
        page = console_links.job_run_url(execution_arn, bucket, job_run.application_id, job_run.job_run_id)
        metadata["job_run"] = dg.MetadataValue.url(page)
        metadata["job_run_id"] = dg.MetadataValue.text(job_run.job_run_id)
        metadata["application_id"] = dg.MetadataValue.text(job_run.application_id)
    return metadata


def column_schema(manifest: Manifest) -> dg.TableSchema:
    """The columns of the files with their types, what was done to their values, and the comments of the database."""
    return dg.TableSchema([_column(column) for column in manifest.columns])


def source_schema(manifest: Manifest) -> dg.TableSchema:
    """The columns of the source that leave it, with their types and the comments of the database."""
    return dg.TableSchema(
        [
            dg.TableColumn(column.name, type=column.source_type or column.type, description=column.comment)
            for column in manifest.columns
        ]
    )


def _column(column: Column) -> dg.TableColumn:
    if column.treatment is None:
        return dg.TableColumn(column.name, type=column.type, description=column.comment)
    texts = (column.comment, f"({column.source_type} in the source, {column.treatment})")
    return dg.TableColumn(
        column.name,
        type=column.type,
        description=" ".join(filter(None, texts)),
        constraints=dg.TableColumnConstraints(other=[column.treatment]),
    )
