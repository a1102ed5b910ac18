"""The checks of a raw layer: which there are, and the result that a month has in each.

May import `aws`, metadata, partitions and tables; the results are logged by `lineage`.
"""
