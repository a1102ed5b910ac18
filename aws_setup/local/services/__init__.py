"""The servers of the local account that run as separate programs: PostgreSQL and S3.

May import `aws_setup.local.processes`.
"""
