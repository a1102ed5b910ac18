"""Writing the raw layer: staging by Spark, row formats, publishing a month.

May import `contract`, `driver`, `postgres` and `locking`.
"""
