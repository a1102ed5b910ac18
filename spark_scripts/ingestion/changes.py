"""Which partitions of a table a refresh ingests: those that differ from the raw layer, or are not whole there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Optional

from spark_scripts.contract import layout
from spark_scripts.contract.errors import DocumentError
from spark_scripts.contract.refresh import Findings, Look, Refresh
from spark_scripts.contract.source_state import difference
from spark_scripts.ingestion.summary import Outcome

if TYPE_CHECKING:
    from spark_scripts.contract.manifest import File, Manifest
    from spark_scripts.contract.months import Partition
    from spark_scripts.contract.tables import Table
    from spark_scripts.ingestion.context import JobContext
    from spark_scripts.ingestion.states import States
    from spark_scripts.lake.bucket import Lake
    from spark_scripts.lake.current import CurrentManifests, FilesBefore
    from spark_scripts.postgres.counts import Count

_SNAPSHOT_TIME = (
    """SELECT pg_catalog.to_char(pg_catalog.now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS at"""
)


class PublishedTable:
    """What the raw layer holds of a table: the current manifests, and the files in the table's folder."""

    def __init__(self, lake: Lake, current: CurrentManifests, files: FilesBefore) -> None:
        self._lake = lake
        self.manifests: Mapping[str, Manifest] = {each.month: each for each in current.all()}
        self._files = files

    def missing(self, manifest: Manifest) -> Optional[File]:
        """A file of the manifest that is not there with its size."""
        return next((file for file in manifest.files if self._files.by_key().get(file.key) != file), None)

    def delete_leftovers(self, manifest: Manifest) -> None:
        """Delete what a killed execution left in the folder of an unchanged partition."""
        self._lake.delete_files(self._files.unlisted(manifest))


def changed_counts(
    job: JobContext,
    table: Table,
    published: PublishedTable,
    states: States,
    counts: Sequence[Count],
    *,
    dry_run: bool,
) -> list[Count]:
    """Return the counts of the partitions that a refresh has to ingest, and write what was found.

    What was found includes the partitions that an earlier attempt of the same execution has ingested.
    """
    keys = [each.partition.key for each in counts]
    changed = {each.partition.key: _reason(published, table, states, each.partition) for each in counts}
    reasons = job.changes.setdefault(table.name, {})
    reasons.update({key: reason for key, reason in changed.items() if reason is not None})
    unchanged = {key: published.manifests[key].execution for key in keys if key not in reasons}
    execution = job.source.execution
    write_findings(job, Refresh(table.name, execution, dry_run, dict(reasons), unchanged, states.reason or None))
    _remember(job, published, table.name, changed)
    if not dry_run:
        for key in unchanged:
            published.delete_leftovers(published.manifests[key])
    return [each for each in counts if changed[each.partition.key] is not None]


def write_findings(job: JobContext, found: Refresh) -> None:
    """Write what a refresh found of a table, and say it in a line. Raises LakeError."""
    job.lake.write(layout.refresh_key(found.execution, found.table), found.to_json())
    job.reporter.say(f"{found.table}: {found.summary()}")
    job.outcomes[found.table] = Outcome(found.summary(), changed=bool(found.changed))


def _remember(job: JobContext, published: PublishedTable, name: str, changed: Mapping[str, Optional[str]]) -> None:
    """Write what is now known of the table's partitions: those that were looked at now, and the others as before.

    The table's lock is held, so that no other execution writes it. Raises LakeError.
    """
    at = job.source.connection.rows(_SNAPSHOT_TIME)[0]["at"]
    ingested = {key: manifest.finished for key, manifest in published.manifests.items()}
    looks = {key: Look(at, job.source.execution, reason, ingested.get(key)) for key, reason in changed.items()}
    known = Findings(name, {**_known(job.lake, name), **looks})
    job.lake.write(layout.findings_key(name), known.to_json())


def _known(lake: Lake, name: str) -> Mapping[str, Look]:
    """The looks of before; none where another release wrote them, since the next refresh looks again."""
    text = lake.read(layout.findings_key(name))
    try:
        return Findings.from_json(text).looks if text is not None else {}
    except DocumentError as error:
        print(f"{name}: {error}; what earlier refreshes found is forgotten", flush=True)
        return {}


def _reason(published: PublishedTable, table: Table, states: States, partition: Partition) -> Optional[str]:
    manifest, state = published.manifests.get(partition.key), states.of(partition)
    if manifest is None:
        return "was not ingested before"
    if state is None:
        return states.reason or "the calendar of time zones does not reach the month"
    missing = published.missing(manifest)
    if missing:
        return f"{missing.key} is not there with its {missing.bytes} bytes"
    return difference(manifest.source_state, state, trust_restarts=table.trust_restarts)
