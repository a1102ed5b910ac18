"""The Spark driver's surroundings: its JVM, its log and progress object, the versions it runs on.

May import `contract`.
"""
