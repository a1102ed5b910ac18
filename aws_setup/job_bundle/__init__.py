"""What `deploy` uploads for the Spark job: its code, the tables and the JDBC driver. Also the Java that Spark needs.

Imports nothing of `commands`, `checks`, `cloudformation` and `local`.
"""
