"""What Dagster's event log holds of each month: materialisation, metadata, checks."""
