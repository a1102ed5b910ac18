"""The ingestion workflow as a Dagster resource: the settings of executions."""

# No `from __future__ import annotations`: Dagster looks for ResourceDependency in the annotations themselves.

from collections.abc import Callable, Sequence

import dagster as dg
from pydantic import Field

from ingest_assets.aws.cost import LIST_PRICES, Prices
from ingest_assets.resources.account import AwsAccount
from ingest_assets.resources.raw_layer import RawLayerResource
from ingest_assets.workflow.execution_run import ExecutionRun, Order, Settings
from ingest_assets.workflow.ingested import Ingested


class IngestionWorkflow(dg.ConfigurableResource):  # type: ignore[type-arg]  # Dagster's value type, unused here
    """Runs executions of the state machine."""

    account: dg.ResourceDependency[AwsAccount]
    raw_layer: dg.ResourceDependency[RawLayerResource]
    state_machine_arn: str | None = Field(default=None, description="Default: the stack's output.")
    application_id: str | None = Field(
        default=None,
        description="An EMR Serverless application to use. Default: each execution creates its own and deletes it.",
    )
    poll_seconds: float = Field(default=2.0, gt=0, description="Pause between two looks at the execution.")
    outage_minutes: float = Field(
        default=2.0, ge=0, description="How long AWS may be unreachable before the run fails."
    )
    deadline_minutes: float = Field(default=36 * 60.0, gt=0, description="An execution is terminated after this time.")
    # us-east-1, x86_64, of https://aws.amazon.com/emr/pricing/
    usd_per_vcpu_hour: float = Field(
        default=LIST_PRICES.vcpu_hour, ge=0, description="Price of EMR Serverless in your region."
    )
    usd_per_gb_hour: float = Field(
        default=LIST_PRICES.gb_hour, ge=0, description="Price of EMR Serverless in your region."
    )

    def run(
        self,
        *,
        context: dg.AssetExecutionContext,
        table: str,
        months: Sequence[str],
        on_termination: Callable[[Ingested], None],
        refresh: bool = False,
    ) -> Ingested:
        """Ingest these months of the table in one execution.

        With `refresh` only those that have changed are ingested, and no months stand for every month of the table.
        ExecutionRun.run says what is raised and when `on_termination` is called.
        """
        order = Order(context, table, tuple(sorted(months)), refresh)
        run = ExecutionRun.prepare(order, self.account, self.raw_layer, self._settings())
        return run.run(on_termination)

    def _settings(self) -> Settings:
        return Settings(
            state_machine_arn=self.state_machine_arn or self.account.outputs().state_machine_arn,
            application_id=self.application_id,
            poll_seconds=self.poll_seconds,
            outage_seconds=self.outage_minutes * 60,
            deadline_seconds=self.deadline_minutes * 60,
            prices=Prices(self.usd_per_vcpu_hour, self.usd_per_gb_hour),
        )
