"""What the Spark job takes along: its code, the tables, the JDBC driver, and the Java that finds it.

May import nothing from `commands`, `checks` and `local`.
"""
