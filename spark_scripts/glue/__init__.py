"""The Glue catalog, written from committed manifests.

May import `contract`.
"""
