"""What keeps a snapshot valid while others use the database: advisory locks, table locks, the watch over rewrites.

May import `contract`, `driver` and `postgres`.
"""
