"""The Dagster code location: assets, checks, sensors and schedules of the raw layer."""
