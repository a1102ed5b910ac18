"""The AWS side of the project: its template, the commands that deploy and run it, and an AWS account on localhost.

May import `ingest_assets.aws`, the tables of `ingest_assets`, and `spark_scripts.contract`.
"""
