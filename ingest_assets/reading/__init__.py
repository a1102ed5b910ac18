"""What a month's files hold, as Arrow tables with the types of PostgreSQL. It does not import Dagster.

`ingest_assets.read` is the entrance.
"""
