"""What Dagster's event log gets and holds of each month: materialisation, check results, observation of the source.

May import `aws`, `checks`, `resources` and the tables; the assets and sensors import it.
"""
