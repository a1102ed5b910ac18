"""The Spark job that ingests PostgreSQL tables into the raw layer.

Runs on EMR Serverless with nothing but pyspark, boto3 and the standard library, in Python 3.9 syntax (the
interpreter of EMR 7). `main.py` is the entry point. The rules that Dagster, the commands and the job share (months,
prefixes, manifests, the execution's input) are in `contract` and nowhere else.
"""
