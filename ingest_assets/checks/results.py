"""The results of the checks of a month, from its manifest and the bucket, whoever started its execution.

Each result is an event of its own that names its month, because an AssetCheckResult of a run over several months cannot
name one (dagster 1.13).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import dagster as dg

from ingest_assets._compat import CheckTarget
from ingest_assets.aws.content import differences
from ingest_assets.aws.raw_layer import RawLayer
from ingest_assets.checks import column_types, reviewed
from ingest_assets.checks.specs import (
    CHECKS,
    COLUMNS_REVIEWED,
    COLUMNS_UNCHANGED,
    CONTENT_UNCHANGED,
    EXECUTION_SUCCEEDED,
    INGESTED_IN_TIME,
    OBJECTS_MATCH_MANIFEST,
    ROWS_MATCH_SOURCE,
)
from ingest_assets.metadata import EXECUTION_NAME, Metadata
from ingest_assets.tables import TableSpec
from spark_scripts.contract.manifest import Column, Manifest
from spark_scripts.contract.months import Month
from spark_scripts.contract.wording import counted, spans


@dataclass(frozen=True)
class _Verdict:
    """The outcome of a check. Dagster plots `numbers` over the months."""

    passed: bool
    description: str
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    numbers: Mapping[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluated:
    """What a check is about: a month of an asset (or all of it for None), and the materialisation that holds it.

    `table` is the entry of today in tables.yaml.
    """

    asset: dg.AssetKey
    month: str | None
    target: CheckTarget | None = None
    table: TableSpec | None = None

    def result(self, check: str, verdict: _Verdict, metadata: Metadata) -> dg.AssetCheckEvaluation:
        """The result, with the month in front of the verdict's text."""
        return dg.AssetCheckEvaluation(
            asset_key=self.asset,
            check_name=check,
            passed=verdict.passed,
            severity=verdict.severity,
            description=f"{self.month}: {verdict.description}" if self.month else verdict.description,
            metadata={**metadata, **verdict.numbers, **({"month": self.month} if self.month else {})},
            partition=self.month,
            target_materialization_data=self.target,
        )

    def repeated(self, done: dg.AssetCheckEvaluation) -> dg.AssetCheckEvaluation:
        """An earlier result, which still holds, as a result of now."""
        return dg.AssetCheckEvaluation(
            asset_key=self.asset,
            check_name=done.check_name,
            passed=done.passed,
            severity=done.severity,
            description=done.description,
            metadata=done.metadata,
            partition=self.month,
            target_materialization_data=self.target,
        )


def evaluations(
    raw_layer: RawLayer,
    evaluated: Evaluated,
    manifest: Manifest,
    names: Collection[str] = CHECKS,
    *,
    read_files: bool = False,
) -> Iterator[dg.AssetCheckEvaluation]:
    """The results for the month that an execution committed. Raises AwsError when the bucket cannot be read.

    With `read_files` the content is read from the bucket, every byte of it.
    """
    checks: dict[str, Callable[[], _Verdict]] = {
        EXECUTION_SUCCEEDED: lambda: _committed(manifest),
        ROWS_MATCH_SOURCE: lambda: _rows(manifest),
        OBJECTS_MATCH_MANIFEST: lambda: _objects(raw_layer, manifest),
        CONTENT_UNCHANGED: lambda: _content(raw_layer, manifest, read_files),
        COLUMNS_UNCHANGED: lambda: replace(_columns(raw_layer, manifest), numbers={"columns": len(manifest.columns)}),
        COLUMNS_REVIEWED: lambda: _reviewed(evaluated.table, manifest),
        INGESTED_IN_TIME: lambda: _Verdict(True, f"ingested at {manifest.finished}."),
    }
    metadata = {EXECUTION_NAME: dg.MetadataValue.text(manifest.execution)}
    for name, check in checks.items():
        if name in names:
            yield evaluated.result(name, check(), metadata)


def evaluations_of_nothing(
    raw_layer: RawLayer, evaluated: Evaluated, names: Collection[str]
) -> Iterator[dg.AssetCheckEvaluation]:
    """The results for a month that has never been ingested: they pass unless its folder has objects.

    Without results Dagster shows the checks of a run that failed or was terminated, and with them the whole asset, as
    failed or skipped. Raises AwsError when the bucket cannot be read.
    """
    stray = raw_layer.objects(evaluated.asset.path[-1], str(evaluated.month))
    for name in names:
        if name == OBJECTS_MATCH_MANIFEST and stray:
            text = f"not in any manifest: {', '.join(sorted(stray))}. The month has never been ingested."
            verdict = _Verdict(False, text, numbers={"unlisted_objects": len(stray)})
        else:
            verdict = _Verdict(True, "never ingested, so there is no data to judge.")
        yield evaluated.result(name, verdict, {})


def not_ingested(evaluated: Evaluated, reason: str, execution_name: str, links: Metadata) -> dg.AssetCheckEvaluation:
    """The result for a month that an execution should have ingested and did not."""
    metadata = {**links, EXECUTION_NAME: dg.MetadataValue.text(execution_name), "reason": dg.MetadataValue.text(reason)}
    return evaluated.result(EXECUTION_SUCCEEDED, _Verdict(False, reason), metadata)


def refreshed(evaluated: Evaluated, execution_name: str) -> dg.AssetCheckEvaluation:
    """The result for the whole asset after a refresh that succeeded, where an execution of every month had failed."""
    metadata = {EXECUTION_NAME: dg.MetadataValue.text(execution_name)}
    return evaluated.result(EXECUTION_SUCCEEDED, _Verdict(True, f"refreshed by execution {execution_name}."), metadata)


def summary(evaluated: Evaluated, check: str, results: Sequence[dg.AssetCheckEvaluation]) -> dg.AssetCheckEvaluation:
    """One result for the whole asset, from the results of its months, for a run without partitions."""
    failed = [result for result in results if not result.passed]
    text = f"{counted(len(results), 'month')} checked"
    verdict = (
        f"{text}; failed: {spans(str(result.partition) for result in failed)}." if failed else f"{text}, all passed."
    )
    worst = {result.severity for result in failed}
    severity = dg.AssetCheckSeverity.WARN if worst == {dg.AssetCheckSeverity.WARN} else dg.AssetCheckSeverity.ERROR
    numbers = {"months": len(results), "months_not_passed": len(failed)}
    return evaluated.result(check, _Verdict(not failed, verdict, severity, numbers), {})


def _committed(manifest: Manifest) -> _Verdict:
    numbers = {"rows": manifest.rows, "seconds": float(manifest.seconds)}
    text = f"committed by execution {manifest.execution} at {manifest.finished}."
    return _Verdict(True, text, numbers=numbers)


def _rows(manifest: Manifest) -> _Verdict:
    text = f"{counted(manifest.rows, 'row')} written, {manifest.source_rows:,} counted in the source"
    same = manifest.rows == manifest.source_rows
    if manifest.row_security:
        text = f"{text} as its row-level security policies show it"
    numbers = {"rows": manifest.rows, "source_rows": manifest.source_rows}
    if manifest.snapshot is None:
        return _Verdict(same, f"{text}, without a common snapshot.", dg.AssetCheckSeverity.WARN, numbers)
    return _Verdict(same, f"{text}, in snapshot {manifest.snapshot}.", numbers=numbers)


def _objects(raw_layer: RawLayer, manifest: Manifest) -> _Verdict:
    """Compare the folder with the current manifest, because a later execution may have written the month since."""
    current = raw_layer.current(manifest.table, manifest.month) or manifest
    found = raw_layer.objects(manifest.table, manifest.month)
    listed = {file.key: file.bytes for file in current.files}
    groups = {
        "missing": listed.keys() - found.keys(),
        "not in the manifest": found.keys() - listed.keys(),
        "of another size": {key for key in listed.keys() & found.keys() if listed[key] != found[key]},
    }
    wrong = {f"objects {what}".replace(" ", "_"): len(keys) for what, keys in groups.items()}
    numbers = {"objects": len(found), "bytes": sum(found.values()), **wrong}
    if found == listed:
        return _Verdict(True, f"{counted(len(found), 'object')}, {numbers['bytes']:,} bytes.", numbers=numbers)
    found_wrong = [f"{what}: {', '.join(sorted(keys))}" for what, keys in groups.items() if keys]
    text = f"{'; '.join(found_wrong)}. Ingest the month again: that deletes every file that no manifest lists."
    return _Verdict(False, text, numbers=numbers)


def _content(raw_layer: RawLayer, manifest: Manifest, read_files: bool) -> _Verdict:
    """The digest of the files, where it was taken and is asked for."""
    if manifest.content is None:
        return _Verdict(True, "ingested by an older release, which took no digest: nothing to compare with.")
    if not read_files:
        return _Verdict(
            True, f"ingested with digest {manifest.content}. Execute checks reads the files and compares it."
        )
    if found := differences(raw_layer, manifest):
        return _Verdict(False, f"{'; '.join(found)}. Ingest the month again.")
    text = f"{counted(manifest.rows, 'row')} read, as ingested: digest {manifest.content}."
    return _Verdict(True, text, numbers={"rows": manifest.rows})


def _columns(raw_layer: RawLayer, manifest: Manifest) -> _Verdict:
    before = str(Month.parse(manifest.month).plus(-1))
    previous = raw_layer.current(manifest.table, before)
    changes = list(_changes(previous.columns, manifest.columns)) if previous else []
    sentences = [f"Since {before}: {'; '.join(changes)}."] if changes else []
    sentences += filter(None, [column_types.disagreement(raw_layer, manifest)])
    if sentences:
        return _Verdict(False, " ".join(sentences))
    if previous is None:
        return _Verdict(True, f"{before} has not been ingested: nothing to compare with.")
    return _Verdict(True, f"The columns are those of {before}.")


def _reviewed(table: TableSpec | None, manifest: Manifest) -> _Verdict:
    kinds, plain = reviewed.to_review(table, manifest), reviewed.still_plain(table, manifest)
    numbers = {"columns_to_review": len(kinds), "columns_still_plain": len(plain)}
    if kinds or plain:
        text = reviewed.explained(manifest, kinds, plain)
        return _Verdict(False, text, dg.AssetCheckSeverity.WARN, numbers)
    return _Verdict(True, "tables.yaml names every column that looks like personal data.", numbers=numbers)


def _changes(before: Sequence[Column], now: Sequence[Column]) -> Iterator[str]:
    old, new = ({column.name: _type(column) for column in columns} for columns in (before, now))
    yield from (f"{name} {kind} is new" for name, kind in new.items() if name not in old)
    yield from (f"{name} {kind} is gone" for name, kind in old.items() if name not in new)
    yield from (f"{name} was {old[name]}, is {new[name]}" for name in new if name in old and old[name] != new[name])
    if list(old) != list(new) and old.keys() == new.keys():
        yield "the columns are in another order"


def _type(column: Column) -> str:
    return f"{column.type} ({column.treatment})" if column.treatment else column.type
