"""Runs an execution of the state machine for a Dagster run: start or re-attach, follow, explain a failure.

May import `aws`, `resources`, metadata and tables.
"""
