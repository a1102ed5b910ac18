"""Runs jobs of EMR Serverless as spark-submit processes. May import `emrserverless` and `aws_setup.local.processes`."""
