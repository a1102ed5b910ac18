"""AWS as Dagster and the commands see it: executions, job runs, costs, messages, errors in words.

No Dagster here: `aws_setup` imports it too. May import `spark_scripts.contract`.
"""
