"""AWS as Dagster and the commands see it: executions, job runs, costs, messages, explained errors.

Nothing here imports Dagster, because `aws_setup` uses it too. May import `environment` and `spark_scripts.contract`.
"""
