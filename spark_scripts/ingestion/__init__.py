"""The ingestion of one table: survey the source, read its months, publish each, update the catalog.

May import every other folder of the job.
"""
