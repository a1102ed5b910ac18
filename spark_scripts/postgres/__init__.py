"""Reading the source: connections, sessions, the snapshot, counts, and the SQL that the job sends.

May import `contract` and `driver`.
"""
