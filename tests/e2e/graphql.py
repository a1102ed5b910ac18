"""A client of the GraphQL interface of Dagster's webserver: what people ask and command in its UI."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

from spark_scripts.contract.months import Month
from tests.e2e import ui
from tests.e2e.waiting import until

CODE_LOCATION = {"repositoryName": "__repository__", "repositoryLocationName": "ingest_assets.definitions"}

_RUN = "runId status parentRunId tags { key value }"
_METADATA = """metadataEntries {
    label
    ... on IntMetadataEntry { value: intValue }
    ... on FloatMetadataEntry { number: floatValue }
    ... on TextMetadataEntry { text }
}"""


@dataclass(frozen=True)
class Run:
    """A run as the webserver tells of it."""

    id: str
    status: str
    parent: str | None
    tags: dict[str, str]

    @property
    def months(self) -> tuple[str, str]:
        """The first and the last month of its range; the same twice when it is of one."""
        ends = [f"dagster/asset_partition_range_{end}" for end in ("start", "end")]
        first, last = (self.tags.get(end) or self.tags["dagster/partition"] for end in ends)
        return first, last

    @property
    def execution(self) -> str:
        """The name of its execution; empty before that has started."""
        return self.tags.get("ingest/execution", "")

    @property
    def finished(self) -> bool:
        return self.status in ("SUCCESS", "FAILURE", "CANCELED")


@dataclass(frozen=True)
class Materialization:
    """A month in the history of an asset. `metadata` are the numbers and texts."""

    month: str
    run_id: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Backfill:
    """A backfill of one asset: the numbers are of months."""

    status: str
    materialized: int
    failed: int
    runs: list[Run]

    @property
    def finished(self) -> bool:
        return self.status.startswith("COMPLETED") or self.status in ("FAILED", "CANCELED")


class Webserver:
    """Dagster's webserver on this port of 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, query: str, **variables: Any) -> Any:
        """The field that the query asks for. Raises OSError or HTTPException when nobody answers."""
        answer, *_ = self.ask_all(query, **variables).values()
        assert not isinstance(answer, dict) or "message" not in answer, answer
        return answer

    def ask_all(self, query: str, **variables: Any) -> dict[str, Any]:
        """The fields that the query asks for. Raises OSError or HTTPException when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = json.dumps({"query": query, "variables": variables})
        connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
        document = json.loads(connection.getresponse().read())
        assert "errors" not in document, document["errors"]
        fields: dict[str, Any] = document["data"]
        return fields

    def loaded(self) -> bool:
        """Whether it answers, and has the code location."""
        try:
            workspace = self.ask("{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }")
        except (OSError, http.client.HTTPException):
            return False
        return [entry["loadStatus"] for entry in workspace["locationEntries"]] == ["LOADED"]

    def limit_pool(self, pool: str) -> None:
        """Let one run at a time use the pool."""
        self.ask("mutation($pool: String!) { setConcurrencyLimit(concurrencyKey: $pool, limit: 1) }", pool=pool)

    def backfill(self, table: str, *months: str) -> str:
        """Launch a backfill of these months; its id."""
        parameters = {"assetSelection": [_key(table)], "partitionNames": months}
        launched = self.ask(
            """mutation($it: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $it) {
                ... on LaunchBackfillSuccess { backfillId } ... on Error { message } } }""",
            it=parameters,
        )
        return str(launched["backfillId"])

    def reexecute_from_failure(self, backfill: str) -> str:
        """What the button of a failed backfill does; the id of the new one."""
        launched = self.ask(
            """mutation($it: ReexecutionParams!) { reexecutePartitionBackfill(reexecutionParams: $it) {
                ... on LaunchBackfillSuccess { backfillId } ... on Error { message } } }""",
            it={"parentRunId": backfill, "strategy": "FROM_FAILURE"},
        )
        return str(launched["backfillId"])

    def find_backfill(self, backfill: str) -> Backfill:
        """The backfill as it is now, its runs in the order of their months."""
        found = self.ask(
            f"""query($id: String!) {{ partitionBackfillOrError(backfillId: $id) {{
                ... on PartitionBackfill {{ status runs {{ {_RUN} }} assetBackfillData {{ assetBackfillStatuses {{
                    ... on AssetPartitionsStatusCounts {{ numPartitionsMaterialized numPartitionsFailed }} }} }} }}
                ... on Error {{ message }} }} }}""",
            id=backfill,
        )
        [counts] = found["assetBackfillData"]["assetBackfillStatuses"] or [{}]
        return Backfill(
            found["status"],
            counts.get("numPartitionsMaterialized", 0),
            counts.get("numPartitionsFailed", 0),
            sorted(map(_run, found["runs"]), key=lambda run: run.months),
        )

    def backfilled(self, table: str) -> list[list[str]]:
        """The months of each backfill of the table."""
        found = self.ask(
            """{ partitionBackfillsOrError(limit: 100) { ... on PartitionBackfills {
                results { partitionNames assetSelection { path } } } } }"""
        )
        return [one["partitionNames"] for one in found["results"] if one["assetSelection"] == [_key(table)]]

    def completed(self, backfill: str) -> Backfill:
        """The backfill once it has ended, which Dagster notices up to 30 seconds after its runs have."""
        until(lambda: self.find_backfill(backfill).finished, 300, lambda: self.find_backfill(backfill))
        return self.find_backfill(backfill)

    def materialize(self, table: str, first: str, last: str) -> str:
        """Launch one run of these months, without a backfill; its id."""
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        launched = self.ask(
            """mutation($it: ExecutionParams!) { launchPipelineExecution(executionParams: $it) {
                ... on LaunchRunSuccess { run { runId } } ... on Error { message } } }""",
            it={
                "selector": {"pipelineName": "__ASSET_JOB", "assetSelection": [_key(table)], **CODE_LOCATION},
                "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
            },
        )
        return str(launched["run"]["runId"])

    def launch(self, job: str) -> str:
        """Launch a run of a job without partitions and config; its id."""
        launched = self.ask(
            """mutation($it: ExecutionParams!) { launchPipelineExecution(executionParams: $it) {
                ... on LaunchRunSuccess { run { runId } } ... on Error { message } } }""",
            it={
                "selector": {"pipelineName": job, **CODE_LOCATION},
                "mode": "default",
                "executionMetadata": {},
                "runConfigData": "{}",
            },
        )
        return str(launched["run"]["runId"])

    def backfill_of_job(self, job: str, table: str, *months: str) -> str:
        """What the dialog of the months on a job's page launches (LaunchAssetChoosePartitionsDialog.tsx); its id."""
        launched = self.ask(
            """mutation($it: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $it) {
                ... on LaunchBackfillSuccess { backfillId } ... on Error { message } } }""",
            it={
                "assetSelection": [_key(table)],
                "partitionNames": months,
                "fromFailure": False,
                "selector": {"partitionSetName": f"{job}_partition_set", "repositorySelector": CODE_LOCATION},
            },
        )
        return str(launched["backfillId"])

    def run(self, run_id: str) -> Run:
        """The run as it is now."""
        query = f"query($id: ID!) {{ runOrError(runId: $id) {{ ... on Run {{ {_RUN} }} ... on Error {{ message }} }} }}"
        return _run(self.ask(query, id=run_id))

    def details(self, run_id: str) -> dict[str, Any]:
        """What the run's page shows of a run: its assets, its times and its plan."""
        found: dict[str, Any] = self.ask(
            """query($id: ID!) { runOrError(runId: $id) { ... on Run {
                assetSelection { path } startTime endTime executionPlan { steps { key } } }
                ... on Error { message } } }""",
            id=run_id,
        )
        return found

    def ended(self, run_id: str) -> Run:
        """The run once it has ended."""
        until(lambda: self.run(run_id).finished, 240, lambda: self.log(run_id))
        return self.run(run_id)

    def runs(self, **tags: str) -> list[Run]:
        """The runs that have all of these tags, `dagster/` put before the names; the newest first."""
        found = self.ask(
            f"query($it: RunsFilter) {{ runsOrError(filter: $it) {{ ... on Runs {{ results {{ {_RUN} }} }} }} }}",
            it={"tags": [{"key": f"dagster/{name}", "value": value} for name, value in tags.items()]},
        )
        return [_run(run) for run in found["results"]]

    def terminate(self, run_id: str) -> None:
        """What the button of a run does."""
        self.ask(
            """mutation($id: String!) { terminateRun(runId: $id) {
                ... on TerminateRunSuccess { __typename } ... on TerminateRunFailure { message }
                ... on Error { message } } }""",
            id=run_id,
        )

    def log(self, run_id: str) -> list[str]:
        """The messages of the run."""
        found = self.ask(
            """query($id: ID!) { logsForRun(runId: $id) {
                ... on EventConnection { events { ... on MessageEvent { message } } } ... on Error { message } } }""",
            id=run_id,
        )
        return [event.get("message", "") for event in found["events"]]

    def stale(self, table: str, month: str, layer: str = "raw_layer") -> tuple[str, list[str]]:
        """The state of the month beside its name in the UI, such as FRESH, and the reasons why it is *Unsynced*."""
        found = self.ask(
            """query($key: AssetKeyInput!, $month: String) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
                staleStatus(partition: $month) staleCauses(partition: $month) { reason } } } }""",
            key={"path": [layer, table]},
            month=month,
        )
        return found["staleStatus"], [cause["reason"] for cause in found["staleCauses"]]

    def months(self, table: str, layer: str = "raw_layer") -> dict[str, str]:
        """The status of each month that has one: MATERIALIZED, MATERIALIZING or FAILED."""
        found = self.ask(
            """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
                assetPartitionStatuses { ... on TimePartitionStatuses { ranges { startKey endKey status } } } } } }""",
            key={"path": [layer, table]},
        )
        statuses = {}
        for part in found["assetPartitionStatuses"]["ranges"]:
            month, last = Month.parse(part["startKey"]), Month.parse(part["endKey"])
            while month <= last:
                statuses[str(month)] = part["status"]
                month = month.plus(1)
        return statuses

    def materializations(self, table: str, *months: str) -> list[Materialization]:
        """Every materialisation of these months, in the order of the months, the oldest first."""
        found = self.ask(
            f"""query($key: AssetKeyInput!, $months: [String!]) {{ assetNodeOrError(assetKey: $key) {{
                ... on AssetNode {{ assetMaterializations(partitions: $months) {{
                    partition runId timestamp {_METADATA} }} }} }} }}""",
            key=_key(table),
            months=months,
        )
        events = sorted(found["assetMaterializations"], key=lambda event: (event["partition"], event["timestamp"]))
        return [Materialization(event["partition"], event["runId"], _metadata(event)) for event in events]

    def checks(self, table: str, month: str) -> dict[str, bool]:
        """Whether each check of the month passed when it was last made."""
        found = self.ask(
            """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
                assetChecksOrError { ... on AssetChecks { checks { name partitionDefinition { name } } } } } } }""",
            key=_key(table),
        )
        names = [check["name"] for check in found["assetChecksOrError"]["checks"] if check["partitionDefinition"]]
        return {name: result for name in names if (result := self._check(table, month, name)) is not None}

    def _check(self, table: str, month: str, name: str) -> bool | None:
        found = self.ask(
            """query($key: AssetKeyInput!, $name: String!, $month: String) {
                assetCheckExecutions(assetKey: $key, checkName: $name, partition: $month, limit: 1) {
                    evaluation { success } } }""",
            key=_key(table),
            name=name,
            month=month,
        )
        return found[0]["evaluation"]["success"] if found and found[0]["evaluation"] else None

    def check_tab(self, table: str, check: str) -> dict[str, int]:
        """The numbers of the Partitions tab of a check: how many months are Passed, Missing and so on."""
        found = self.ask(ui.query(*ui.CHECK_PARTITIONS), assetKey=_key(table), checkName=check)
        return ui.tab(found["assetCheckOrError"])

    def lineage(self, table: str) -> dict[str, str]:
        """What the box of the table in the lineage counts each check as."""
        [node] = self.ask_all(ui.query(*ui.LINEAGE), assetKeys=[_key(table)])["assetNodes"]
        return {check["name"]: ui.icon(check) for check in node["assetChecksOrError"]["checks"]}

    def execute_checks(self, table: str, *checks: str) -> str:
        """What the button *Execute all* of an asset's checks does; the id of the run."""
        selection = [{"assetKey": _key(table), "name": check} for check in checks]
        launched = self.ask(
            """mutation($it: ExecutionParams!) { launchPipelineExecution(executionParams: $it) {
                ... on LaunchRunSuccess { run { runId } } ... on Error { message } } }""",
            it={
                "selector": {
                    "jobName": "__ASSET_JOB",
                    "assetSelection": [],
                    "assetCheckSelection": selection,
                    **CODE_LOCATION,
                },
                "mode": "default",
                "executionMetadata": {},
                "runConfigData": "{}",
            },
        )
        return str(launched["run"]["runId"])

    def ticks(self, sensor: str, since: float = 0) -> list[str]:
        """What the last ticks of the sensor said, the newest first, those after a time in seconds since 1970.

        A failed tick fails the test.
        """
        found = self.ask(
            """query($it: SensorSelector!) { sensorOrError(sensorSelector: $it) { ... on Sensor { sensorState {
                status ticks(limit: 20) { timestamp status skipReason error { message } } } }
                ... on Error { message } } }""",
            it={"sensorName": sensor, **CODE_LOCATION},
        )["sensorState"]
        assert found["status"] == "RUNNING"
        assert all(tick["status"] != "FAILURE" for tick in found["ticks"]), found["ticks"]
        return [tick["skipReason"] or "" for tick in found["ticks"] if tick["timestamp"] > since]


def _key(table: str) -> dict[str, list[str]]:
    return {"path": ["raw_layer", table]}


def _run(found: dict[str, Any]) -> Run:
    tags = {tag["key"]: tag["value"] for tag in found["tags"]}
    return Run(found["runId"], found["status"], found["parentRunId"], tags)


def _metadata(event: dict[str, Any]) -> dict[str, Any]:
    entries = event["metadataEntries"]
    values = (entry.get("value", entry.get("number", entry.get("text"))) for entry in entries)
    return {entry["label"]: value for entry, value in zip(entries, values, strict=True) if value is not None}
