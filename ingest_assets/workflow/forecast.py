"""The estimate at the start of a run's log, and its error at the end of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from ingest_assets.aws import estimate
from ingest_assets.aws.cost import Prices, workers
from ingest_assets.aws.errors import aws_errors
from ingest_assets.aws.estimate import Estimate
from ingest_assets.aws.executions import Execution
from ingest_assets.aws.raw_layer import RawLayer
from ingest_assets.metadata import Metadata
from ingest_assets.resources.account import AwsAccount
from spark_scripts.contract.errors import DataLakeError
from spark_scripts.contract.months import Month


@dataclass(frozen=True)
class Forecast:
    """A sentence about what an execution will probably take and cost, and the estimate if there is one."""

    sentence: str
    found: Estimate | None = None

    def compared(self, execution: Execution, usd: float | None) -> Metadata:
        """The error of the estimate as metadata; empty if the whole execution was not estimated."""
        if self.found is None or not self.found.whole or execution.started is None or execution.stopped is None:
            return {}
        seconds = (execution.stopped - execution.started).total_seconds()
        return {
            "estimate": dg.MetadataValue.text(self.found.against(seconds, usd)),
            "estimate_off_percent": dg.MetadataValue.float(self.found.off_percent(seconds)),
        }


def forecast(
    account: AwsAccount, raw_layer: RawLayer, state_machine_arn: str, prices: Prices, table: str, months: Sequence[str]
) -> Forecast:
    """The forecast for these months of a table; it fails no run, but gives the reason why there is no estimate."""
    asked = {table: [Month.parse(month) for month in months]}
    try:
        with aws_errors("estimating the execution"):
            work, past = estimate.look(raw_layer, account.step_functions(), state_machine_arn, asked)
            found = estimate.estimate(work, past, workers(account.parameters()), prices)
    except DataLakeError as error:
        return Forecast(f"No estimate: {error}")
    return Forecast(str(found or estimate.nothing_known(work)), found)
