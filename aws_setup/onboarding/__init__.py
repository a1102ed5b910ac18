"""From a database to proposed entries of tables.yaml: what `python -m aws_setup suggest` finds and writes.

It reads the catalog and statistics of PostgreSQL as the job's user, and decides
by the job's own rules where there are any.
"""
