"""The job on Hadoop's S3A, over an object store, as EMR 7.10 and newer have it."""
