"""The servers of the local account that are programs of their own: PostgreSQL and S3."""
